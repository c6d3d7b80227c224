// What an event does to files, kept until it completes. Above: fs.ts, process/lease-run.ts. Below: nothing.
import { OsError } from '../../base/errors.ts'
import { MAX_EVENT_CHANGE_BYTES, MAX_EVENT_CHANGES } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { type FileRoot, fileRoot } from './dag.ts'

/** Changes of one event, in order, not yet visible to others (process/lease-run.ts). */
export class Staging {
  readonly ops: TreeOp[] = []
  #bytes = 0

  /** @throws {OsError} EAGAIN beyond what one event may change. */
  add(op: TreeOp): void {
    const texts = 'from' in op ? [op.from, op.to] : [op.path, op.op === 'symlink' ? op.target : '']
    const bytes = texts.reduce((sum, text) => sum + text.length, 0)
    if (this.ops.length >= MAX_EVENT_CHANGES || this.#bytes + bytes > MAX_EVENT_CHANGE_BYTES) {
      throw new OsError('EAGAIN', `one event may change at most ${MAX_EVENT_CHANGES} files: emit more events`)
    }
    this.#bytes += bytes
    this.ops.push(op)
  }

  /** What this event itself did to exactly this path: a file, `null` when removed, undefined when untouched. */
  file(path: string): FileRoot | null | undefined {
    for (let i = this.ops.length - 1; i >= 0; i--) {
      const op = this.ops[i] as TreeOp
      if (op.op === 'put' && op.path === path) return fileRoot(op)
      if (op.op === 'remove' && (op.path === path || path.startsWith(`${op.path}/`))) return null
    }
    return undefined
  }
}
