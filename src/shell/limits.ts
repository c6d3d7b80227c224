// Bounds of the shell, each with its reason.

/** Output of one `execute` that is kept for its caller; beyond it the caller wants a file or a stream. */
export const MAX_CAPTURE_BYTES = 64 * 1024 * 1024
/** Bytes that a pipe holds before its writer waits: one block, so that both stages keep working. */
export const PIPE_BYTES = 1024 * 1024
/** What a terminal is given at a time: it needs some milliseconds for it, and hears the keyboard in between. */
export const PRINT_BYTES = 64 * 1024
/** Lines are joined until they are so long together, or the last ones were printed so long ago: nobody sees the difference. */
export const LINES_BYTES = 16 * 1024
export const LINES_MS = 50
/** Small writes to a redirected file are collected up to this size: one syscall instead of thousands. */
export const FILE_BUFFER_BYTES = 256 * 1024
/** One piece of a file that comes from or goes to the host: a syscall's worth that never fills memory. */
export const TRANSFER_BYTES = 1024 * 1024
/** Files up to this size are stored so many at a time: each waits until several tabs have it on their disks. */
export const SMALL_FILE_BYTES = 256 * 1024
export const SMALL_FILES = 32
/** A file of which so much was here already is said to go on where it was: less takes no time worth a word. */
export const RESUMED_BYTES = 1024 * 1024
/** Longest command in characters; the kernel bounds arguments again (ARG_MAX). */
export const MAX_LINE_LENGTH = 1024 * 1024
/** Paths that one pattern may expand to; more is a mistake such as a pattern over a million files. */
export const MAX_GLOB_PATHS = 65_536
/** Lines of history that are kept: what bash keeps, twice. */
export const MAX_HISTORY_LINES = 1000
/** Characters of one remembered line: pasted scripts beyond it are run and forgotten. */
export const MAX_HISTORY_LINE_LENGTH = 16_384
/** Detached processes that `wait` without arguments remembers. */
export const MAX_DETACHED = 1024
/** Commands and bytes in one pipeline: every stage holds a pipe. */
export const MAX_PIPELINE_STAGES = 64
/** Progress is drawn at most this often: fast enough for the eye, slow enough for a phone. */
export const PROGRESS_INTERVAL_MS = 150
/** Names offered by one Tab. */
export const MAX_COMPLETIONS = 200
