// Checker: every block on every disk hashes to its KID (design §8, invariant 4).
import { sha256 } from '../../adapters/memory/crypto.ts'
import { equalBytes } from '../../base/bytes.ts'
import { parseCid } from '../../kernel/blocks/cid.ts'
import type { Cluster } from '../cluster.ts'
import { Violation } from '../violation.ts'

/** @throws {Violation} */
export function checkHashes(cluster: Cluster): void {
  for (const { id, disk } of cluster.nodes) {
    for (const [cid, bytes] of disk.blocks) {
      if (equalBytes(parseCid(cid).multihash.digest, sha256(bytes))) continue
      throw new Violation(`${id} has other bytes for block ${cid}`)
    }
  }
}
