// Open files and streams: what a reference stands for. Made by fs.ts, kept in a caller's reference table
// (io/references.ts). Offsets belong to the caller.
import { orAborted } from '../../base/abort.ts'
import { concat } from '../../base/bytes.ts'
import { isOsError, OsError, toOsError } from '../../base/errors.ts'
import type { Ack, FileKind } from '../../syscalls/types.ts'
import type { Piece } from '../blocks/blocks.ts'
import type { DagReader, FileRoot } from './dag.ts'
import type { DagWriter } from './dag-writer.ts'

export interface Handle {
  readonly kind: FileKind
  readonly size: number
  /**
   * Empty at the end. Streams wait for data.
   * @param until up to where the caller goes on reading from there, where it knows.
   */
  read(offset: number, length: number, signal: AbortSignal, until?: number): Promise<Piece>
  /** @param at undefined: behind what is there. @returns the size of the file now. */
  write(bytes: Uint8Array, at: number | undefined, signal: AbortSignal): Promise<number>
  /** Cuts the file, or fills it up with zeros. */
  resize(size: number, signal: AbortSignal): Promise<number>
  /** Commits what was written, as safely as `ack` asks. @returns what was written, if this handle wrote. */
  commit(signal: AbortSignal, ack?: Ack['level']): Promise<Closed>
  /** Nobody uses it any more, whether it was committed or not. */
  release?(): void
}

export interface Closed {
  file?: FileRoot
  ack?: Ack
  /** Bytes at its beginning that were here before they were written. */
  alreadyHere?: number
}

const readOnly = async (): Promise<never> => {
  throw new OsError('EBADF', 'this reference was opened for reading')
}
const nothing = async (): Promise<Closed> => ({})
const reading = { write: readOnly, resize: readOnly, commit: nothing }

export function fileReader(reader: DagReader, size: number): Handle {
  let reads = 0
  let released = false
  return {
    kind: 'file',
    size,
    read: async (offset, length, signal, until) => {
      reads++
      try {
        const read = readFull(reader, size, { offset, length, until }, signal)
        return await orAborted(read, signal, () => toOsError(signal.reason, 'ECANCELED'))
      } finally {
        if (--reads === 0 && released) reader.close()
      }
    },
    ...reading,
    release: () => {
      released = true
      if (reads === 0) reader.close() // else when what was asked for before is read
    },
  }
}

/** A generated or built-in file: its bytes as they were when it was opened. */
export function bytesReader(bytes: Uint8Array): Handle {
  return {
    kind: 'file',
    size: bytes.byteLength,
    read: async (offset, length) => ({ bytes: bytes.subarray(offset, offset + length), own: false }),
    ...reading,
  }
}

/** A file that is made when it is read. */
export function madeReader(size: number, read: ReadBytes): Handle {
  return { kind: 'file', size, read: shared(read), ...reading }
}

/** A growing stream, such as a process's output. */
export function streamReader(read: ReadBytes): Handle {
  return { kind: 'stream', size: 0, read: shared(read), ...reading }
}

export type ReadBytes = (offset: number, length: number, signal: AbortSignal) => Promise<Uint8Array>

/** Of bytes that somebody else may have, too. */
function shared(read: ReadBytes): Handle['read'] {
  return async (offset, length, signal) => ({ bytes: await read(offset, length, signal), own: false })
}

export interface WriterOptions {
  /** Also for reading. */
  readable: boolean
  /** Every write goes behind what is there, wherever it is meant for. */
  appends: boolean
  /** Makes what was written visible. @returns the file as it is then: with what others have appended, where it appends. */
  commit(file: FileRoot, signal: AbortSignal, ack?: Ack['level']): Promise<{ file: FileRoot; ack: Ack }>
  /** Nobody uses it any more. */
  release?: (() => void) | undefined
  /** Goes on with a file that was committed. */
  reopen(file: FileRoot, signal: AbortSignal): Promise<DagWriter>
}

/** An open file that is written. @param changed it has to be committed even if nothing is written. */
export function fileWriter(first: DagWriter, changed: boolean, options: WriterOptions): Handle {
  let writer = first
  let dirty = changed
  // What is done with one handle is done one after the other, whoever asks without waiting.
  let tail: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    const done = tail.then(() => {
      signal.throwIfAborted()
      return work()
    })
    tail = done.catch(() => undefined) // whoever asked for it is told
    return done
  }
  /** After one that failed nothing more is written: the file would have a hole that nobody knows of. */
  let failed: Promise<never> | undefined
  const fail = (error: unknown) => {
    failed ??= Promise.reject(error)
    failed.catch(() => undefined) // whoever goes on is told
  }
  /** Of a file for which there is no room nothing stays. */
  const withoutRoom = async (error: unknown): Promise<never> => {
    if (isOsError(error, 'ENOSPC')) {
      fail(error)
      await writer.takeBack().catch(() => undefined) // whoever writes is told of the disk already
    }
    throw error
  }
  const writing = async (signal: AbortSignal, work: () => Promise<void>): Promise<number> => {
    const done = inTurn(signal, async () => {
      await failed
      await work()
      return writer.size
    })
    return done.catch((error: unknown) => {
      fail(error)
      return withoutRoom(error)
    })
  }
  return {
    kind: 'file',
    ...(options.release ? { release: options.release } : {}),
    get size() {
      return writer.size
    },
    read: (offset, length, signal) => {
      if (options.readable) return inTurn(signal, () => readFull(writer, writer.size, { offset, length }, signal))
      return Promise.reject(new OsError('EBADF', 'this reference was opened for writing'))
    },
    write: (bytes, at, signal) =>
      writing(signal, async () => {
        dirty = true
        if (at === undefined || options.appends) await writer.write(bytes)
        else await writer.writeAt(at, bytes)
      }),
    resize: (size, signal) =>
      writing(signal, async () => {
        dirty ||= size !== writer.size
        await writer.truncate(size)
      }),
    commit: (signal, ack) =>
      inTurn(signal, async () => {
        await failed
        if (!dirty) return {}
        const written = await writer.finish().catch(withoutRoom)
        const { alreadyHere } = writer
        const committed = await options.commit(written, signal, ack).catch(withoutRoom)
        dirty = false
        writer.named()
        if (committed.file.cid !== written.cid) writer = await options.reopen(committed.file, signal)
        return { ...committed, alreadyHere: written.size === committed.file.size ? alreadyHere : 0 }
      }),
  }
}

/** Short only at the end of the file. */
async function readFull(
  from: Pick<DagReader, 'readAt'>,
  size: number,
  { offset, length, until }: { offset: number; length: number; until?: number | undefined },
  signal: AbortSignal,
): Promise<Piece> {
  const parts: Piece[] = []
  let filled = 0
  do {
    signal.throwIfAborted()
    const part = await from.readAt(offset + filled, length - filled, until)
    parts.push(part)
    filled += part.bytes.byteLength
  } while (filled < length && offset + filled < size)
  const [only, ...others] = parts
  return only && others.length === 0 ? only : { bytes: concat(parts.map(({ bytes }) => bytes)), own: true }
}
