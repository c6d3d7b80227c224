// Bounds of the syscall ABI, each with its reason. The kernel enforces them; clients may rely on them.

/** Longest path in characters: POSIX PATH_MAX. */
export const MAX_PATH_LENGTH = 4096
/** Longest name in bytes: what ext4, APFS and UnixFS tools agree on. */
export const MAX_NAME_BYTES = 255
/** Most bytes in one read or write: big enough to amortise a message, small enough to keep tasks' memory bounded. */
export const MAX_IO_BYTES = 4 * 1024 * 1024
/** Most open references of one caller: a leak shows itself long before it hurts the kernel. */
export const MAX_OPEN_REFS = 256
/** Most calls of one caller under way at once; a task that exceeds it is flooding and is ended. */
export const MAX_CALLS_IN_FLIGHT = 256
/** Calls that the client library of a task has under way; further ones wait in the task. */
export const CALL_WINDOW = 128
/** The same for a page and its shell, some of whose calls wait for long; there is room for those that it cancels. */
export const PAGE_CALL_WINDOW = 192
/** Calls that wait for that window: what one event may emit without awaiting. Beyond, EAGAIN. */
export const MAX_WAITING_CALLS = 65_536
/** Encoded size of one event's data or result; larger state belongs in a file. */
export const MAX_EVENT_BYTES = 1024 * 1024
/** The name of a fold, in UTF-16 units. */
export const MAX_KEY_LENGTH = 256
/** Results that one `gather` may hand to a single event, encoded. */
export const MAX_GATHER_BYTES = 16 * 1024 * 1024
/** Events one handler may emit: the home journals them in one entry. */
export const MAX_EMITS_PER_EVENT = 65_536
/** Devices that keep one block: beyond, more copies cost more than they save. */
export const MAX_COPIES = 8
/** Events of one process not yet finished from which on `emit` waits for room. */
export const QUEUE_EVENTS = 65_536
/** Events of one process not yet finished: with more it ends. */
export const MAX_PENDING_EVENTS = 1_000_000
/** Arguments of a program, and their total length: as `getconf ARG_MAX`, scaled to a journal entry. */
export const MAX_ARGS = 4096
export const MAX_ARG_LENGTH = 65_536
/** A program's source text: it travels to every executor. */
export const MAX_PROGRAM_BYTES = 8 * 1024 * 1024
/** KIDs in one `wait`. */
export const MAX_WAIT_KIDS = 1024
/** What one call removes or moves, and the characters of its paths together: they travel to the tree in one frame. */
export const MAX_TOGETHER = 1024
export const MAX_TOGETHER_LENGTH = 256 * 1024
