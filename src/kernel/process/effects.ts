// File changes of a completed event, made in the tree exactly once, whatever dies in between. Above: home.ts.
import { isOsError } from '../../base/errors.ts'
import type { Namespace } from '../fs/namespace.ts'
import type { SharedTree } from '../fs/shared-tree.ts'
import type { TreeOp } from '../rpc/bodies.ts'

/** Homes of the tree that may vanish under one set of file changes before the process gives up. */
const MAX_REPEATS = 5

interface Making {
  /** They may be in the tree already: a restart came between the two. */
  perhapsMade: boolean
  signal: AbortSignal
}

/**
 * All or none, where they are of one keg; of several, one after the other.
 * @throws {OsError} POSIX codes of a change that cannot be made; EHOSTUNREACH, ECANCELED.
 */
export async function makeChanges(namespace: Namespace, ops: readonly TreeOp[], making: Making): Promise<void> {
  const { perhapsMade, signal } = making
  try {
    // Whether changes of several kegs were made is asked keg by keg.
    if (!perhapsMade) return await makeIn(namespace.root, ops, making)
  } catch (error) {
    if (!isOsError(error, 'EXDEV')) throw error
  }
  for await (const { tree, ops: some } of namespace.parts(ops, perhapsMade, signal)) await makeIn(tree, some, making)
}

async function makeIn(tree: SharedTree, ops: readonly TreeOp[], { perhapsMade, signal }: Making): Promise<void> {
  let perhaps = perhapsMade
  for (let attempt = 0; ; attempt++) {
    try {
      if (!perhaps) await tree.apply({ ops }, signal)
      else if (!(await wereMade(tree, ops, signal))) await tree.apply({ ops: ops.map(repeatable) }, signal)
      return
    } catch (error) {
      // Perhaps made, perhaps not: repeated in a form that has the same effect twice.
      perhaps = true
      const unanswered = isOsError(error, 'ECONNRESET') || isOsError(error, 'ETIMEDOUT')
      if (!unanswered || attempt === MAX_REPEATS) throw error
    }
  }
}

/** Changes are made all or none: one that cannot be repeated tells whether they were. */
async function wereMade(tree: SharedTree, ops: readonly TreeOp[], signal: AbortSignal): Promise<boolean> {
  for (const [i, op] of ops.entries()) {
    if (op.op !== 'move' && !(op.op === 'put' && op.exclusive)) continue
    const path = op.op === 'move' ? op.to : op.path
    if (ops.slice(i + 1).some((later) => touches(later, path))) continue
    // What the event itself has made before it moved it can be made and moved again.
    if (op.op === 'move' && ops.slice(0, i).some((earlier) => touches(earlier, op.from))) continue
    const there = await lookup(tree, path, signal)
    if (op.op === 'put') return there?.cid === op.cid
    return there !== undefined && (await lookup(tree, op.from, signal)) === undefined
  }
  return false
}

async function lookup(tree: SharedTree, path: string, signal: AbortSignal) {
  try {
    return await tree.lookup(path, signal)
  } catch (error) {
    if (isOsError(error, 'ENOENT') || isOsError(error, 'ENOTDIR')) return undefined
    throw error
  }
}

/** The same change in a form that may have been made already. */
function repeatable(op: TreeOp): TreeOp {
  switch (op.op) {
    case 'remove':
      return { ...op, force: true }
    case 'mkdir':
      return { ...op, recursive: true }
    case 'symlink':
    case 'copy':
    case 'set':
      return { ...op, again: true }
    default:
      return op
  }
}

/** Whether the change may alter what stands at `path`. */
function touches(op: TreeOp, path: string): boolean {
  const paths = 'from' in op ? [op.op === 'move' ? op.from : op.to, op.to] : [op.path]
  return paths.some((each) => each === path || path.startsWith(`${each}/`))
}
