// Open files and streams: what a reference stands for. Made by fs.ts, kept in a caller's reference table
// (io/references.ts). Offsets belong to the caller; a handle that writes appends.
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Ack, FileKind } from '../../syscalls/types.ts'
import type { DagReader, FileRoot } from './dag.ts'
import type { DagWriter } from './dag-writer.ts'

export interface Handle {
  readonly kind: FileKind
  readonly size: number
  /** Empty at the end. Streams wait for data. */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
  /** @returns bytes written through this handle so far. */
  write(bytes: Uint8Array, signal: AbortSignal): Promise<number>
  /** Commits, unless `discard`, as safely as `ack` asks. @returns what was written, if this handle wrote. */
  close(discard: boolean, signal: AbortSignal, ack?: Ack['level']): Promise<Closed>
}

export interface Closed {
  file?: FileRoot
  ack?: Ack
}

const readOnly = async (): Promise<never> => {
  throw new OsError('EBADF', 'this reference was opened for reading')
}
const nothing = async (): Promise<Closed> => ({})

export function fileReader(reader: DagReader, size: number): Handle {
  return {
    kind: 'file',
    size,
    read: async (offset, length, signal) => {
      signal.throwIfAborted()
      const first = await reader.readAt(offset, length)
      if (first.byteLength === length || offset + first.byteLength >= size) return first
      const parts = [first]
      let filled = first.byteLength
      while (filled < length && offset + filled < size) {
        signal.throwIfAborted()
        const part = await reader.readAt(offset + filled, length - filled)
        parts.push(part)
        filled += part.byteLength
      }
      return concat(parts)
    },
    write: readOnly,
    close: nothing,
  }
}

/** A generated or built-in file: its bytes as they were when it was opened. */
export function bytesReader(bytes: Uint8Array): Handle {
  return {
    kind: 'file',
    size: bytes.byteLength,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    write: readOnly,
    close: nothing,
  }
}

/** A growing stream, such as a process's output. */
export function streamReader(
  read: (offset: number, length: number, signal: AbortSignal) => Promise<Uint8Array>,
): Handle {
  return { kind: 'stream', size: 0, read, write: readOnly, close: nothing }
}

/** Collects what is written and hands the finished DAG to `commit` on close. */
export function fileWriter(
  writer: DagWriter,
  commit: (file: FileRoot, signal: AbortSignal, ack?: Ack['level']) => Promise<Ack>,
): Handle {
  // Writes of one handle run one after the other, whoever sends them without waiting.
  let tail: Promise<unknown> = Promise.resolve()
  return {
    kind: 'file',
    get size() {
      return writer.size
    },
    read: async () => {
      throw new OsError('EBADF', 'this reference was opened for writing')
    },
    write: (bytes, signal) => {
      const done = tail.then(async () => {
        signal.throwIfAborted()
        await writer.write(bytes)
        return writer.size
      })
      tail = done
      return done
    },
    close: async (discard, signal, ack) => {
      if (discard) return {}
      await tail
      const file = await writer.finish()
      return { file, ack: await commit(file, signal, ack) }
    },
  }
}
