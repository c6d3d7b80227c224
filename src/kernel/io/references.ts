// A caller's open references: small numbers that stand for handles, as file descriptors do. One table per caller;
// a caller can name nothing that is not in its table.
import { OsError } from '../../base/errors.ts'
import { MAX_OPEN_REFS } from '../../syscalls/limits.ts'
import type { Handle } from '../fs/handles.ts'

/** 0, 1 and 2 are standard streams; files begin here. */
const FIRST_REF = 3

export class References {
  readonly #handles = new Map<number, Handle>()
  #next = FIRST_REF
  #ended = false

  /** @throws {OsError} EAGAIN when too many are open; ECANCELED when it comes too late. */
  add(handle: Handle): number {
    if (this.#ended) throw new OsError('ECANCELED', 'whoever asked for it has ended')
    if (this.#handles.size >= MAX_OPEN_REFS) {
      throw new OsError('EAGAIN', `more than ${MAX_OPEN_REFS} files are open: close some`)
    }
    const ref = this.#next++
    this.#handles.set(ref, handle)
    return ref
  }

  /** @throws {OsError} EBADF. */
  get(ref: number): Handle {
    const handle = this.#handles.get(ref)
    if (!handle) throw new OsError('EBADF', `reference ${ref} is not open`)
    return handle
  }

  take(ref: number): Handle {
    const handle = this.get(ref)
    this.#handles.delete(ref)
    return handle
  }

  /** Nobody is left who could use them, nor what is being opened. */
  end(): void {
    this.#ended = true
    for (const handle of this.#handles.values()) handle.release?.()
    this.#handles.clear()
  }
}
