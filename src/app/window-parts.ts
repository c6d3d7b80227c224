// What a page hosts for its kernels and the prompt does not need: one chunk, which kernel.ts loads when the prompt is there.
export { default as taskRuntime } from 'virtual:brittlestar-task-runtime'
export { hostPeerConnections } from '../adapters/rtc/page.ts'
export { hostSandboxes } from '../adapters/sandbox/page.ts'
export { isSlotWanted, orphanSlots } from '../adapters/system/slots.ts'
export { keepOrphans } from './orphans.ts'
