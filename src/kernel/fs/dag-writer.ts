// A file that is being written, anywhere in it: a change in the middle stores the leaves that it touches and the nodes
// above them, and nothing else. Above: file handles. Below: dag-builder.ts, chunker.ts, dag.ts.
//
// The content is leaves that are stored, of which some have changed since (held until there are too many of them), and
// a tail behind them that is no whole leaf yet. However a file cut by content came about, it has the leaves that it would
// have if all of it were written at once: what has changed is cut anew at the end.
import { concat, owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions, Piece } from '../blocks/blocks.ts'
import { BLOCK_BYTES, MAX_CHANGED_LEAVES, MAX_DAG_LEAVES } from '../limits.ts'
import { type Chunker, type Chunks, chunkerOf } from './chunker.ts'
import { DagReader, type FileRoot, findLeaf, leafContent } from './dag.ts'
import { type Child, DagBuilder } from './dag-builder.ts'

/** Leaves cut by content that are cut again in one piece: half a mebibyte. */
const RECUT_LEAVES = 128

export interface DagWriterOptions extends FetchOptions {
  /** How it is cut, where that is not every mebibyte. */
  chunks?: Chunks | undefined
}

export class DagWriter {
  readonly #blocks: Blocks
  readonly #options: DagWriterOptions
  readonly #builder: DagBuilder
  readonly #chunker: Chunker
  /** Bytes that the file may have. */
  readonly #most: number
  #leaves: Child[] = []
  /** Bytes in the leaves. */
  #leafBytes = 0
  /** All leaves but the last are of one size, and that one is not larger, as those that are written here. */
  #uniform: boolean
  /** Where each leaf starts; made when it is asked for. */
  #starts: { start: number }[] | undefined
  /** Contents of leaves that have changed, by number; the one changed longest ago first. */
  readonly #changed = new Map<number, Uint8Array>()
  #changedBytes = 0
  /** Leaves that have changed since they were cut by content. */
  readonly #uncut = new Set<number>()
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #zeros: Child | undefined
  /** Bytes at its beginning that were here before they were written, when it was stored last. */
  alreadyHere = 0

  constructor(blocks: Blocks, options: DagWriterOptions = {}) {
    this.#blocks = blocks
    this.#options = options
    this.#builder = new DagBuilder(blocks)
    this.#chunker = chunkerOf(options.chunks)
    this.#most = MAX_DAG_LEAVES * this.#chunker.leafBytes
    this.#uniform = this.#fixed
  }

  /** Goes on with an existing file, cut as it is; its content is read where it is needed. @throws {OsError} EIO. */
  static async open(blocks: Blocks, root: FileRoot, options: FetchOptions): Promise<DagWriter> {
    const writer = new DagWriter(blocks, { ...options, chunks: root.chunks })
    if (root.size === 0) return writer
    const leaves = await new DagReader(blocks, root, options).leaves()
    blocks.touch(leaves.map(({ cid }) => cid)) // they are named again when it is closed
    writer.#leaves = leaves.map(({ cid, size }) => ({ cid, size, totalBytes: size }))
    writer.#leafBytes = root.size
    writer.#uniform &&= leaves.every(
      ({ size }, i) => size === BLOCK_BYTES || (i === leaves.length - 1 && size < BLOCK_BYTES),
    )
    return writer
  }

  get #fixed(): boolean {
    return this.#options.chunks === undefined
  }

  get size(): number {
    return this.#leafBytes + this.#tailBytes
  }

  /**
   * @param bytes copied, but for a buffer that is one leaf, which is taken over: nobody may change it any more.
   * @throws {OsError} ENOSPC, EFBIG.
   */
  async write(bytes: Uint8Array): Promise<void> {
    this.#demandRoom(this.size + bytes.byteLength)
    await this.#reopenLast()
    let rest = bytes
    while (this.#tailBytes + rest.byteLength >= BLOCK_BYTES) {
      // What was cut anew may have made the tail longer than that.
      const part = rest.subarray(0, Math.max(0, BLOCK_BYTES - this.#tailBytes))
      rest = rest.subarray(part.byteLength)
      const content = this.#tailBytes === 0 ? owned(part) : concat([...this.#tail, part])
      const { leaves, left } = await this.#cut(content, false)
      for (const leaf of leaves) this.#push(leaf)
      this.#setTail(left.byteLength > 0 ? [left] : [])
    }
    if (rest.byteLength === 0) return
    this.#tail.push(rest.slice())
    this.#tailBytes += rest.byteLength
  }

  /** Writes over what is there, and behind it; a gap is filled with zeros. @throws {OsError} ENOSPC, EFBIG, EIO. */
  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength === 0) return
    this.#demandRoom(offset + bytes.byteLength)
    if (offset > this.size) await this.#extend(offset)
    let [at, rest] = [offset, bytes]
    while (rest.byteLength > 0 && at < this.#leafBytes) {
      const { index, start } = this.#find(at)
      const leaf = await this.#change(index)
      const part = rest.subarray(0, leaf.byteLength - (at - start))
      leaf.set(part, at - start)
      at += part.byteLength
      rest = rest.subarray(part.byteLength)
    }
    const within = at - this.#leafBytes
    if (rest.byteLength > 0 && within < this.#tailBytes) {
      const tail = this.#wholeTail()
      const part = rest.subarray(0, tail.byteLength - within)
      tail.set(part, within)
      rest = rest.subarray(part.byteLength)
    }
    if (rest.byteLength > 0) await this.write(rest)
  }

  /** Cuts the file, or fills it up with zeros. @throws {OsError} ENOSPC, EFBIG, EIO. */
  async truncate(size: number): Promise<void> {
    if (size >= this.size) return this.#extend(size)
    if (size >= this.#leafBytes) return this.#setTail([this.#wholeTail().slice(0, size - this.#leafBytes)])
    const { index, start } = this.#find(size)
    const kept = size > start ? (await this.#content(index)).slice(0, size - start) : new Uint8Array(0)
    this.#drop(index)
    this.#setTail([])
    // Less than a leaf, unless the leaves are of another tool's size.
    await this.write(kept)
  }

  /** Up to `length` bytes at `offset`, short only at the end of a leaf or of the file. @throws {OsError} EIO. */
  async readAt(offset: number, length: number): Promise<Piece> {
    if (offset >= this.#leafBytes) {
      const within = offset - this.#leafBytes
      return { bytes: this.#wholeTail().slice(within, within + length), own: true }
    }
    const { index, start } = this.#find(offset)
    return { bytes: (await this.#content(index)).slice(offset - start, offset - start + length), own: true }
  }

  /** Stores all that there is; more may be written afterwards. @throws {OsError} ENOSPC, EIO. */
  async finish(): Promise<FileRoot> {
    if (this.#fixed) await this.#storeChanged(0)
    else await this.#recut()
    const whole = this.#tailBytes === 0 && this.#leaves.length > 0
    const tail = whole ? [] : (await this.#cut(this.#wholeTail().slice(), true)).leaves
    if (this.#leaves.length + tail.length > MAX_DAG_LEAVES) throw tooLarge(`${MAX_DAG_LEAVES} parts`)
    const { chunks } = this.#options
    const leaves = [...this.#leaves, ...tail]
    const root = await this.#builder.finish(leaves, this.#chunker)
    this.alreadyHere = this.#builder.alreadyHere(leaves)
    return { ...root, ...(chunks ? { chunks } : {}) }
  }

  /** What was stored so far is part of a file now. */
  named(): void {
    this.#builder.named()
  }

  /** It will not be named: frees what was stored of it, and no longer takes anything. @throws {OsError} EIO. */
  takeBack(): Promise<void> {
    return this.#builder.takeBack()
  }

  /** @param end nothing follows. @returns leaves, which are stored, and what is too little to tell where it is cut. */
  async #cut(content: Uint8Array, end: boolean): Promise<{ leaves: Child[]; left: Uint8Array }> {
    const parts: Uint8Array[] = []
    let left = content
    for (;;) {
      const length = this.#chunker.leaf(left, end)
      if (length === 0 && (left.byteLength > 0 || parts.length > 0 || !end)) break
      // The store would copy all of the memory that a part is a view of.
      parts.push(length === content.byteLength ? content : left.slice(0, length))
      left = left.subarray(length)
      if (left.byteLength === 0) break
    }
    const leaves = await this.#builder.leaves(parts)
    return { leaves, left: left.byteLength === content.byteLength ? content : left.slice() }
  }

  /** Where content has changed, from the leaf that it is in to the next cut that stays, it is cut by content again. */
  async #recut(): Promise<void> {
    if (this.#uncut.size === 0) return
    const old = this.#leaves
    const leaves: Child[] = []
    for (let index = 0; index < old.length; ) {
      if (!this.#uncut.has(index)) {
        leaves.push(old[index++] as Child)
        continue
      }
      const { cut, next, left } = await this.#recutFrom(index)
      for (const leaf of cut) leaves.push(leaf)
      index = next
      // It goes on in the tail, which is cut with it.
      if (left.byteLength > 0) this.#setTail([left, ...this.#tail])
    }
    this.#uncut.clear()
    this.#changed.clear()
    this.#changedBytes = 0
    this.#starts = undefined
    this.#leaves = leaves
    this.#leafBytes = leaves.reduce((sum, { size }) => sum + size, 0)
  }

  /** @returns leaves for those from `index` to before `next`; `left` only when all leaves are used up. */
  async #recutFrom(index: number): Promise<{ cut: Child[]; next: number; left: Uint8Array }> {
    const cut: Child[] = []
    let left: Uint8Array = new Uint8Array(0)
    for (let next = index; next < this.#leaves.length; ) {
      const parts = [left]
      do parts.push(await this.#content(next++))
      while (this.#uncut.has(next) && parts.length < RECUT_LEAVES)
      const made = await this.#cut(concat(parts), false)
      for (const leaf of made.leaves) cut.push(leaf)
      left = made.left
      if (left.byteLength === 0 && !this.#uncut.has(next)) return { cut, next, left }
    }
    return { cut, next: this.#leaves.length, left }
  }

  /** What is behind the last whole leaf is the tail; of a file cut by content that leaf may be longer with what follows. */
  async #reopenLast(): Promise<void> {
    const last = this.#leaves.at(-1)
    if (this.#tailBytes > 0 || !last || (this.#fixed && last.size >= BLOCK_BYTES)) return
    const index = this.#leaves.length - 1
    const content = (await this.#content(index)).slice()
    this.#drop(index)
    this.#setTail([content])
  }

  async #extend(size: number): Promise<void> {
    this.#demandRoom(size)
    while (this.size < size) {
      await this.#reopenLast()
      const missing = size - this.size
      if (this.#tailBytes > 0 || missing < BLOCK_BYTES || !this.#fixed) {
        await this.write(new Uint8Array(Math.min(missing, BLOCK_BYTES)))
      } else {
        this.#zeros ??= await this.#builder.leaf(new Uint8Array(BLOCK_BYTES))
        this.#push(this.#zeros)
      }
    }
  }

  #find(offset: number): { index: number; start: number } {
    const index = Math.floor(offset / BLOCK_BYTES)
    if (this.#uniform) return { index, start: index * BLOCK_BYTES }
    let end = 0
    this.#starts ??= this.#leaves.map(({ size }) => {
      end += size
      return { start: end - size }
    })
    const found = findLeaf(this.#starts, offset)
    return { index: found, start: this.#starts[found]?.start ?? 0 }
  }

  /** A leaf's content as it is now, not to be changed. */
  async #content(index: number): Promise<Uint8Array> {
    const changed = this.#changed.get(index)
    if (changed) return changed
    const { cid, size } = this.#leaves[index] as Child
    return this.#builder.pending(cid) ?? leafContent({ cid, size }, await this.#blocks.get(cid, this.#options))
  }

  /** A leaf's content, to be changed. */
  async #change(index: number): Promise<Uint8Array> {
    const held = this.#changed.get(index)
    const content = held ?? (await this.#content(index)).slice()
    if (!held) this.#changedBytes += content.byteLength
    this.#changed.delete(index)
    this.#changed.set(index, content)
    this.#uncut.add(index)
    await this.#storeChanged(MAX_CHANGED_LEAVES * BLOCK_BYTES)
    return content
  }

  /** @param most bytes that may be held. */
  async #storeChanged(most: number): Promise<void> {
    for (const [index, content] of this.#changed) {
      if (this.#changedBytes <= most) return
      this.#leaves[index] = await this.#builder.leaf(content)
      this.#changed.delete(index)
      this.#changedBytes -= content.byteLength
    }
  }

  #push(leaf: Child): void {
    this.#starts = undefined
    this.#leaves.push(leaf)
    this.#leafBytes += leaf.size
  }

  /** The leaves from `index` on are no longer part of the file. */
  #drop(index: number): void {
    this.#starts = undefined
    for (const { size } of this.#leaves.splice(index)) this.#leafBytes -= size
    for (const [changed, { byteLength }] of this.#changed) {
      if (changed < index) continue
      this.#changed.delete(changed)
      this.#changedBytes -= byteLength
    }
    for (const uncut of this.#uncut) if (uncut >= index) this.#uncut.delete(uncut)
  }

  /** In one piece, which is nobody else's. */
  #wholeTail(): Uint8Array {
    if (this.#tail.length !== 1) this.#tail = [concat(this.#tail)]
    return this.#tail[0] as Uint8Array
  }

  #setTail(parts: Uint8Array[]): void {
    this.#tail = parts
    this.#tailBytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
  }

  /** @throws {OsError} EFBIG. */
  #demandRoom(size: number): void {
    if (size > this.#most) throw tooLarge(`${this.#most} bytes`)
  }
}

/** The same content, cut in another way. @throws {OsError} EIO, ENOSPC, EFBIG. */
export async function rewritten(
  blocks: Blocks,
  root: FileRoot,
  chunks: Chunks | undefined,
  options: FetchOptions,
): Promise<FileRoot> {
  const writer = new DagWriter(blocks, { ...options, chunks })
  for await (const piece of new DagReader(blocks, root, options).read(0, root.size)) await writer.write(piece)
  return writer.finish()
}

function tooLarge(most: string): OsError {
  return new OsError('EFBIG', `a file has at most ${most}`)
}
