// Bounds of the IndexedDB adapter, each with its reason.

/** Most log writes that one strict transaction takes: a flush of some megabytes still ends within a few ms. */
export const MAX_GROUP_COMMIT = 512

/** New tabs make new slots: they are looked for again after so long at the soonest. */
export const SLOTS_KNOWN_MS = 5_000
/** Another slot's database that does not open in this time is passed over until it does. */
export const SLOT_OPEN_MS = 300
/** Connections to other slots that nobody used for so long are closed. */
export const SLOT_UNUSED_MS = 10_000

/** Writes of blocks up to this size share a transaction with others, up to so many: 8 MiB at most. */
export const SMALL_WRITE_BYTES = 64 * 1024
export const MAX_SMALL_WRITES = 128

/** Keys that are read for each that is asked for in order: to read so many takes half the time of asking for it alone. */
export const OTHERS_IN_RANGE = 7
