// Bounds of the sandbox adapter, each with its reason.

/** A worker starts in some 20 ms; a machine that is this slow, or a frame that died, is given up on. */
export const SPAWN_TIMEOUT_MS = 15_000
/** Frames of one page: each is a document, in Chromium in a process that they share. One per process that runs here. */
export const MAX_FRAMES = 64
/** Workers of one frame; the kernel starts about one per logical processor. */
export const MAX_WORKERS_PER_FRAME = 64
/** Messages kept until the kernel listens to a worker: it does so in the same turn in which the spawn resolves. */
export const MAX_EARLY_MESSAGES = 64
/** How often a frame with workers is asked whether it lives: its renderer may be killed without any event. */
export const FRAME_PING_MS = 2_000
/** Pings without an answer before a frame counts as dead: half a minute, longer than any page is merely busy. */
export const FRAME_MISSED_PINGS = 15
/** How long a frame that waits for a process may be about to say that it lives: mostly a millisecond, a new one takes some hundred. */
export const SPARE_ANSWER_MS = 200
/** A tab that has run nothing for so long gives up the frame that waits: its process takes some 20 MB. */
export const SPARE_UNUSED_MS = 5 * 60_000
