// Checkers of the past: every version that is remembered is whole, on the disks that are there; and what is freed when
// versions are forgotten was needed by nobody (design §8, invariants 4 and 6).
import { errorLine } from '../../base/errors.ts'
import { type CidText, DAG_PB, parseCid } from '../../kernel/blocks/cid.ts'
import { allCids } from '../../kernel/fs/dag.ts'
import { decodeDirectory } from '../../kernel/fs/directory.ts'
import { SWEEP_AFTER_MS, TOUCHED_MS } from '../../kernel/limits.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { VersionRow } from '../../syscalls/types.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

const ALL = 10_000

/** Blocks on the disks of tabs that are open. */
export function storedOn(cluster: Cluster) {
  return {
    get: async (cid: CidText) => {
      const found = cluster
        .up()
        .find(({ disk }) => disk.blocks.has(cid))
        ?.disk.blocks.get(cid)
      if (!found) throw new Error(`block ${cid} is on no disk`)
      return found
    },
  }
}

/** @returns how many there are. @throws {Violation} when a block of a version is on no disk. */
export async function checkVersions(cluster: Cluster, kegs: readonly string[] = ['/']): Promise<number> {
  const [reader] = cluster.up() as [SimNode]
  const rows: VersionRow[] = []
  for (const path of kegs) rows.push(...(await cluster.run(new Keg(reader.os).log({ path, all: true, limit: ALL }))))
  const seen = new Set<CidText>()
  const { get } = storedOn(cluster)
  const visit = async (cid: CidText): Promise<void> => {
    if (seen.has(cid)) return
    seen.add(cid)
    for (const entry of decodeDirectory(cid, await get(cid)).values()) {
      if (entry.kind === 'directory') await visit(entry.cid)
      else if (entry.kind === 'symlink' || parseCid(entry.cid).code !== DAG_PB) await get(entry.cid)
      else for (const each of await allCids({ get }, entry, {})) await get(each)
    }
  }
  for (const { version, cid, proof } of rows) {
    if (proof === 'wrong') throw new Violation(`version ${version} is not what was signed`)
    try {
      await visit(cid)
    } catch (error) {
      throw new Violation(`version ${version} is remembered and not whole: ${errorLine(error)}`, { cause: error })
    }
  }
  return rows.length
}

/** Somebody forgets all but the newest few; then the blocks of the others are freed. */
export async function forgetVersions(cluster: Cluster, kegs: readonly string[]): Promise<void> {
  const [reader] = cluster.up() as [SimNode]
  // What was touched just now is not freed, whoever needs it.
  await cluster.advance(TOUCHED_MS)
  for (const path of kegs) await cluster.run(new Keg(reader.os).gc({ keep: 2, forMs: 0, path }))
  await cluster.advance(SWEEP_AFTER_MS + 10_000)
}
