// The output of a process at its home: takes what events print, in order and once, and gives it to whoever reads.
// Above: home.ts. Below: the journal (through `keep`), blocks.
import { concat } from '../../base/bytes.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { mutated } from '../mutations.ts'
import type { ProcessStep } from './entries.ts'
import type { OutputPiece, ProcessState } from './state.ts'

/** Output longer than this is kept as a block instead of in memory. */
const INLINE_OUTPUT_BYTES = 4 * 1024

/** Output of one attempt to run an event. */
export interface Printing {
  event: string
  token: number
  /** Bytes that it has sent so far, by stream. */
  sent: Record<1 | 2, number>
}

export class ProcessOutput {
  readonly #state: ProcessState
  readonly #blocks: Blocks
  /** Journals and applies; resolves with false when this node is no longer the home. */
  readonly #keep: (step: ProcessStep) => Promise<boolean>
  /** The last piece under way, by event and stream: two attempts at one event take turns. */
  readonly #turns = new Map<string, Promise<void>>()

  constructor(state: ProcessState, blocks: Blocks, keep: (step: ProcessStep) => Promise<boolean>) {
    this.#state = state
    this.#blocks = blocks
    this.#keep = keep
  }

  /**
   * Takes a piece; what another attempt has sent already is dropped. @returns false when the process may not print any
   * more. @throws {OsError} EIO, ENOSPC.
   */
  async take(from: Printing, stream: 1 | 2, bytes: Uint8Array): Promise<boolean> {
    const key = `${from.event}/${stream}`
    const before = this.#turns.get(key)
    const taken = before
      ? before.catch(() => undefined).then(() => this.#take(from, stream, bytes))
      : this.#take(from, stream, bytes)
    const turn = taken.then(() => undefined)
    turn.catch(() => undefined) // whoever sent it is told
    this.#turns.set(key, turn)
    try {
      return await taken
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key)
    }
  }

  async #take({ event, token, sent }: Printing, stream: 1 | 2, bytes: Uint8Array): Promise<boolean> {
    if (!this.#state.holds(event, token)) return true
    const taken = mutated('repeat-output') ? 0 : (this.#state.taken.get(`${event}/${stream}`) ?? 0)
    const fresh = bytes.subarray(Math.min(bytes.byteLength, Math.max(0, taken - sent[stream])))
    sent[stream] += bytes.byteLength
    const length = fresh.byteLength
    if (length === 0) return true
    if (length > this.#state.outputLeft) return false
    // Shown only once it cannot be lost: another home would have to show the same.
    await this.#keep({ t: 'output', event, stream, length, ...(await this.#content(fresh)) })
    return true
  }

  async #content(bytes: Uint8Array): Promise<{ bytes: Uint8Array } | { cid: string }> {
    if (bytes.byteLength <= INLINE_OUTPUT_BYTES) return { bytes: bytes.slice() }
    return { cid: await this.#blocks.put(RAW, bytes.slice()) }
  }

  has(stream: 1 | 2, offset: number): boolean {
    return this.#state.outputLength(stream) > offset
  }

  /** At most `length` bytes from `offset`. @throws {OsError} EIO, ECANCELED. */
  async read(stream: 1 | 2, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const pieces = this.#state.output[stream]
    const parts: Uint8Array[] = []
    let at = offset
    for (let i = findPiece(pieces, offset); i < pieces.length && at < offset + length; i++) {
      const piece = pieces[i]
      if (!piece) break
      const bytes = piece.bytes ?? (await this.#blocks.get(piece.cid as string, { signal }))
      const part = bytes.subarray(at - piece.offset, Math.min(piece.length, offset + length - piece.offset))
      parts.push(part)
      at += part.byteLength
    }
    return concat(parts)
  }
}

function findPiece(pieces: readonly OutputPiece[], offset: number): number {
  let low = 0
  let high = pieces.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((pieces[middle]?.offset ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  return low
}
