// Files that events wrote: their blocks have to be where their process is kept. Above: home.ts, processes.ts.
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { allCids } from '../fs/dag.ts'
import type { TreeOp } from '../rpc/methods.ts'

/** Makes sure that every file which these changes put into the tree is here. @throws {OsError} EIO, ENOSPC. */
export async function holdFiles(blocks: Blocks, ops: readonly TreeOp[], options: FetchOptions): Promise<void> {
  for (const op of ops) if (op.op === 'put') await blocks.hold(await allCids(blocks, op, options), options)
}
