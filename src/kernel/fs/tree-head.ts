// Which of several trees, and of several nodes that say they lead one, is the one to use. Pure. Above: tree-claims.ts.
import type { Kid } from '../../base/ids.ts'
import type { TreeHead } from '../rpc/bodies.ts'

/**
 * Whether `a` is rather used than `b`. Where two trees meet, everybody has to choose alike, and choose the same for as
 * long as both exist: one that has ever been written goes before one that has not, then the older one.
 */
export function precedes(a: TreeHead, b: TreeHead): boolean {
  const [aBorn, bBorn] = [a.version > 0, b.version > 0]
  if (aBorn !== bBorn) return aBorn
  if (a.tree !== b.tree) return a.bornMs === b.bornMs ? a.tree < b.tree : a.bornMs < b.bornMs
  return a.term === b.term ? a.version > b.version : a.term > b.term
}

/** What is said of a tree of that keg: nothing more where it is `/`. */
export function ofKeg<T extends object>(said: T, keg: Kid | undefined): T & { keg?: Kid } {
  return keg ? { ...said, keg } : said
}
