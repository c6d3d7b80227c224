// A file that is being written, anywhere in it: a change in the middle stores the leaves that it touches and the nodes
// above them, and nothing else. Above: file handles. Below: dag-builder.ts, dag.ts.
//
// The content is leaves that are stored, of which some have changed since (held until there are too many of them), and
// a tail behind them that is no whole leaf yet.
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { BLOCK_BYTES, MAX_CHANGED_LEAVES, MAX_DAG_LEAVES } from '../limits.ts'
import { DagReader, type FileRoot, findLeaf, leafContent } from './dag.ts'
import { type Child, DagBuilder } from './dag-builder.ts'

const MOST_BYTES = MAX_DAG_LEAVES * BLOCK_BYTES

export class DagWriter {
  readonly #blocks: Blocks
  readonly #options: FetchOptions
  readonly #builder: DagBuilder
  #leaves: Child[] = []
  /** Bytes in the leaves. */
  #leafBytes = 0
  /** All leaves but the last are of one size, and that one is not larger, as those that are written here. */
  #uniform = true
  /** Contents of leaves that have changed, by number; the one changed longest ago first. */
  readonly #changed = new Map<number, Uint8Array>()
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #zeros: Child | undefined

  constructor(blocks: Blocks, options: FetchOptions = {}) {
    this.#blocks = blocks
    this.#options = options
    this.#builder = new DagBuilder(blocks)
  }

  /** Goes on with an existing file; its content is read where it is needed. @throws {OsError} EIO. */
  static async open(blocks: Blocks, root: FileRoot, options: FetchOptions): Promise<DagWriter> {
    const writer = new DagWriter(blocks, options)
    if (root.size === 0) return writer
    const leaves = await new DagReader(blocks, root, options).leaves()
    blocks.touch(leaves.map(({ cid }) => cid)) // they are named again when it is closed
    writer.#leaves = leaves.map(({ cid, size }) => ({ cid, size, totalBytes: size }))
    writer.#leafBytes = root.size
    writer.#uniform = leaves.every(
      ({ size }, i) => size === BLOCK_BYTES || (i === leaves.length - 1 && size < BLOCK_BYTES),
    )
    return writer
  }

  get size(): number {
    return this.#leafBytes + this.#tailBytes
  }

  /** Takes a private copy of what it cannot store at once. @throws {OsError} ENOSPC, EFBIG. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.size + bytes.byteLength > MOST_BYTES) throw tooLarge()
    await this.#reopenLast()
    let rest = bytes
    while (this.#tailBytes + rest.byteLength >= BLOCK_BYTES) {
      const part = rest.subarray(0, BLOCK_BYTES - this.#tailBytes)
      rest = rest.subarray(part.byteLength)
      this.#push(await this.#builder.leaf(concat([...this.#tail, part])))
      this.#setTail([])
    }
    if (rest.byteLength === 0) return
    this.#tail.push(rest.slice())
    this.#tailBytes += rest.byteLength
  }

  /** Writes over what is there, and behind it; a gap is filled with zeros. @throws {OsError} ENOSPC, EFBIG, EIO. */
  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength === 0) return
    if (offset + bytes.byteLength > MOST_BYTES) throw tooLarge()
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
  async readAt(offset: number, length: number): Promise<Uint8Array> {
    if (offset >= this.#leafBytes) {
      const within = offset - this.#leafBytes
      return this.#wholeTail().slice(within, within + length)
    }
    const { index, start } = this.#find(offset)
    return (await this.#content(index)).slice(offset - start, offset - start + length)
  }

  /** Stores all that there is; more may be written afterwards. @throws {OsError} ENOSPC, EIO. */
  async finish(): Promise<FileRoot> {
    await this.#storeChanged(0)
    const tail = this.#tailBytes > 0 || this.#leaves.length === 0 ? [await this.#builder.leaf(concat(this.#tail))] : []
    return this.#builder.finish([...this.#leaves, ...tail])
  }

  /** What is behind the last whole leaf is the tail. */
  async #reopenLast(): Promise<void> {
    const last = this.#leaves.at(-1)
    if (this.#tailBytes > 0 || !last || last.size >= BLOCK_BYTES) return
    const index = this.#leaves.length - 1
    const content = (await this.#content(index)).slice()
    this.#drop(index)
    this.#setTail([content])
  }

  async #extend(size: number): Promise<void> {
    if (size > MOST_BYTES) throw tooLarge()
    while (this.size < size) {
      await this.#reopenLast()
      const missing = size - this.size
      if (this.#tailBytes > 0 || missing < BLOCK_BYTES) {
        await this.write(new Uint8Array(Math.min(missing, BLOCK_BYTES - this.#tailBytes)))
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
    const starts = this.#leaves.map(({ size }) => {
      end += size
      return { start: end - size }
    })
    const found = findLeaf(starts, offset)
    return { index: found, start: starts[found]?.start ?? 0 }
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
    const content = this.#changed.get(index) ?? (await this.#content(index)).slice()
    this.#changed.delete(index)
    this.#changed.set(index, content)
    await this.#storeChanged(MAX_CHANGED_LEAVES)
    return content
  }

  async #storeChanged(most: number): Promise<void> {
    for (const [index, content] of this.#changed) {
      if (this.#changed.size <= most) return
      this.#leaves[index] = await this.#builder.leaf(content)
      this.#changed.delete(index)
    }
  }

  #push(leaf: Child): void {
    this.#leaves.push(leaf)
    this.#leafBytes += leaf.size
  }

  /** The leaves from `index` on are no longer part of the file. */
  #drop(index: number): void {
    for (const { size } of this.#leaves.splice(index)) this.#leafBytes -= size
    for (const changed of this.#changed.keys()) if (changed >= index) this.#changed.delete(changed)
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
}

function tooLarge(): OsError {
  return new OsError('EFBIG', `a file has at most ${MOST_BYTES} bytes`)
}
