// Bounds of the page, each with its reason.

/** What is typed or pasted while a command runs waits for the next prompt: a script of some pages; more is a cat on the keyboard. */
export const MAX_TYPE_AHEAD = 64 * 1024
/** Characters that the terminal may have unprocessed before output waits: half a second of drawing at most. */
export const TERMINAL_BACKLOG_BYTES = 256 * 1024
/** Storage figures are asked for again at most this often while files change. */
export const STORAGE_REFRESH_MS = 2000
/** The kernel waits for the prompt to be painted, which a hidden tab never does, at most so long. */
export const PAINT_TIMEOUT_MS = 500
/** After this long without an answer the status line says that the kernel is still starting. */
export const SLOW_BOOT_MS = 8000
/** Files of one dropped folder: beyond it the drop is a mistake such as a whole disk. */
export const MAX_DROPPED_FILES = 100_000
/** A file that a user downloads is offered at this URL until the browser has surely taken it. */
export const DOWNLOAD_URL_MS = 60_000
/** Whether journals wait for slots of closed tabs is looked at so often… */
export const ORPHAN_LOOK_MS = 1_000
/** …and so many times: linking with everybody and electing takes some seconds. */
export const ORPHAN_PATIENCE_LOOKS = 12
/** Started slots stay for so many looks after nothing waits any more: what they keep is copied to those who stay. */
export const ORPHAN_STAY_LOOKS = 15
/** Between two that leave: longer than journals wait for one that took its leave (kernel: GROUP_REPLACE_MS). */
export const ORPHAN_LEAVE_MS = 7_000
/** A slot's kernel that is not there by then is of no use. */
export const ORPHAN_BOOT_MS = 20_000
/** Slots tried in one go, and how long one that was of no use is not tried again. */
export const MAX_ORPHAN_TRIES = 8
export const ORPHAN_USELESS_MS = 3_600_000
/** A kernel that does not end by itself by then is ended. */
export const LEAVE_TIMEOUT_MS = 3_000
/** Slots that may be open at once: two of three keepers are enough; each is a kernel of its own. */
export const MAX_ORPHANS = 3
/** Loading what the prompt does not need waits for an idle moment, but not longer than this. */
export const IDLE_TIMEOUT_MS = 250
/** The rest of the page's code (parser, programs, task runtime) may come this much later than the terminal. */
export const REST_TIMEOUT_MS = 1_000
/** Parts of the page that did not load are asked for again after these pauses: a relay restarts within seconds. */
export const LOAD_RETRY_MIN_MS = 300
export const LOAD_RETRY_MAX_MS = 5_000
