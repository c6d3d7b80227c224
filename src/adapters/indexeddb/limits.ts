// Bounds of the IndexedDB adapter, each with its reason.

/** Most log writes that one strict transaction takes: a flush of some megabytes still ends within a few ms. */
export const MAX_GROUP_COMMIT = 512
