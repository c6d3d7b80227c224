// What heads of the shared tree say about each other: which is newer, which contains which, which cannot be true.
// Pure. Above: shared-tree.ts.
import { MAX_GENERATION_LEAP, MAX_VERSION_LEAP } from '../limits.ts'
import type { TreeHead } from '../rpc/methods.ts'

/** The order of heads: of two homes the one with the newer head stays. */
export function newer(a: TreeHead, b: TreeHead): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation
  if (a.version !== b.version) return a.version > b.version
  if (a.sinceMs !== b.sinceMs) return a.sinceMs < b.sinceMs
  return a.home > b.home
}

/** Whether everything that `own` was is part of what `head` has become. */
export function contains(head: TreeHead, own: TreeHead): boolean {
  if (own.generation === 0 && own.version === 0) return true // never had anything
  if (head.home === own.home && head.generation === own.generation) return head.version >= own.version
  return head.bases.some(([generation, version, home]) => {
    return generation === own.generation && home === own.home && version >= own.version
  })
}

/** A head far ahead of ours is a lie or a fault: believing it would leave no numbers for true ones. */
export function plausible(head: TreeHead, own: TreeHead): boolean {
  return head.generation <= own.generation + MAX_GENERATION_LEAP && head.version <= own.version + MAX_VERSION_LEAP
}
