// The source of a program: a file of the tree, kept as blocks. Above: worker-pools.ts, homes.ts, fold.ts.
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import { MAX_PROGRAM_BYTES } from '../../syscalls/limits.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { allCids, DagReader, rootSize } from '../fs/dag.ts'

/** Makes sure that a program is in the local store. @throws {OsError} EFBIG, EIO, ENOSPC. */
export async function holdProgram(blocks: Blocks, cid: string, from: NodeId): Promise<void> {
  const options = { hints: [from] }
  const { byteLength: size } = await readProgram(blocks, cid, [from])
  await blocks.hold(await allCids(blocks, { cid, size }, options), options)
}

/** A program's bytes from its CID. @throws {OsError} EFBIG, EIO. */
export async function readProgram(blocks: Blocks, cid: string, hints: NodeId[]): Promise<Uint8Array> {
  const block = await blocks.get(cid, { hints })
  const size = rootSize(cid, block)
  if (size > MAX_PROGRAM_BYTES)
    throw new OsError('EFBIG', `a program is at most ${MAX_PROGRAM_BYTES} bytes, not ${size}`)
  const parts: Uint8Array[] = []
  for await (const part of new DagReader(blocks, { cid, size }, { hints, keep: 'always' }).read(0, size))
    parts.push(part)
  return concat(parts)
}
