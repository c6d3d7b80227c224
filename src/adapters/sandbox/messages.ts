// Messages between the halves of this adapter. Kernel worker, page and frame document are all ours and trusted;
// what a task says never travels here, only over its own port.

/** Kernel worker → page. `frame` comes with one port: the kernel's line to that frame. */
export type ToPage = { t: 'frame'; domain: number } | { t: 'drop'; domain: number }

/** Page → kernel worker. */
export type FromPage = { t: 'frame-failed'; domain: number; reason: string }

/** Kernel worker → frame. `spawn` comes with one port: the task's. */
export type ToFrame = { t: 'spawn'; id: number } | { t: 'terminate'; id: number } | { t: 'ping' }

/** Frame → kernel worker. */
export type FromFrame = { t: 'exit'; id: number; reason: string } | { t: 'pong' }

/**
 * Page → frame, with a port. `alive`: the frame says something on it. `start`, once: it is the kernel's, and the task runtime is
 * one script without imports.
 */
export type ToNewFrame = { t: 'alive' } | { t: 'start'; runtime: string }
