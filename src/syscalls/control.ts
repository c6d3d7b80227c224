// What the page may ask of its own kernel worker, over comlink. Both sides are ours and trusted. Everything a
// user or program does goes through syscalls instead; this is boot, the tab's life, and nothing else.

export interface BootOptions<Port> {
  /** Where the page came from; `/relay.json` is fetched from here. */
  origin: string
  /** Slot that this tab held before a reload, from sessionStorage; null for a new tab. */
  preferredSlot: number | null
  /** Opened for the sake of what this slot keeps: only that slot will do, and it runs no programs. */
  orphan: boolean
  /** True after a reload or history navigation: the old worker may hold its slot a moment longer. */
  reloaded: boolean
  /** A secret of this page: with it, it tells the relay that it is being closed, when its worker may not live to. */
  goodbye: string
  /** The page's half of adapters/rtc. */
  rtcPort: Port
  /** The page's half of adapters/sandbox. */
  sandboxPort: Port
  /** Calls of the page and its shell (protocol.ts). Messages queue in it until the kernel listens. */
  syscallPort: Port
}

export interface Booted {
  slot: number
  nodeId: string
}

/** What the tab's page lives through, as the kernel must know it (Page Lifecycle API). */
export type LifecycleEvent = 'visible' | 'hidden' | 'freeze' | 'resume' | 'online' | 'offline' | 'pagehide'

export interface KernelControl<Port> {
  /** Resolves when programs and files work, whether or not a relay answers. Call once. */
  boot(options: BootOptions<Port>): Promise<Booted>
  /** `pagehide` says goodbye to all peers before it resolves. */
  lifecycle(event: LifecycleEvent): Promise<void>
}
