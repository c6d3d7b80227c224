// Blocks that are known to be in this node's store, and what their bytes summed up to when they were hashed. A disk that
// corrupts a block does so by accident, and nobody but this node writes to it: a checksum that costs an eighth of the hash
// finds that as well. Whatever was not hashed in this session is hashed when it is read.
import type { CidText } from './cid.ts'

export class KnownBlocks {
  readonly #here = new Set<CidText>()
  readonly #sums = new Map<CidText, number>()
  readonly #most: number

  /** @param most are remembered of each; those before are forgotten then. */
  constructor(most: number) {
    this.#most = most
  }

  /** Whether it is known to be in the store. */
  has(cid: CidText): boolean {
    return this.#here.has(cid)
  }

  /** It is in the store. */
  add(cid: CidText): void {
    if (this.#here.size >= this.#most) this.#here.clear()
    this.#here.add(cid)
  }

  /** It may not be in the store any more. */
  delete(cid: CidText): void {
    this.#here.delete(cid)
  }

  /** Any of them may not. */
  clear(): void {
    this.#here.clear()
  }

  /** These bytes hash to it, wherever they are: that stays true, also when the store loses them. */
  hashed(cid: CidText, bytes: Uint8Array): void {
    if (this.#sums.size >= this.#most) this.#sums.clear()
    this.#sums.set(cid, checksum(bytes))
  }

  /** Whether these are the bytes that were hashed; false when none were. */
  same(cid: CidText, bytes: Uint8Array): boolean {
    const sum = this.#sums.get(cid)
    return sum !== undefined && sum === checksum(bytes)
  }
}

/** Words that are summed up side by side: one multiplication waits for the one before it, four do not for each other. */
const LANES = 4

/**
 * 53 bits that change with any one word, and with others but for once in billions of times: rounds as in xxHash. Not for
 * what somebody may have chosen: use a hash there.
 */
export function checksum(bytes: Uint8Array): number {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >>> 2)
  let a = bytes.byteLength
  let b = 1
  let c = 2
  let d = 3
  const even = words.length - (words.length % LANES)
  for (let i = 0; i < even; i += LANES) {
    a = round(a, words[i] as number)
    b = round(b, words[i + 1] as number)
    c = round(c, words[i + 2] as number)
    d = round(d, words[i + 3] as number)
  }
  for (let i = even; i < words.length; i++) a = round(a, words[i] as number)
  for (let i = words.length * 4; i < aligned.byteLength; i++) a = round(a, aligned[i] as number)
  const high = spread(spread(spread(spread(a) ^ b) ^ c) ^ d)
  const low = spread(spread(spread(spread(d) ^ c) ^ b) ^ a)
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}

/** Tells any two words apart, and any two sums. */
function round(sum: number, word: number): number {
  const added = (sum + Math.imul(word, 0x85ebca77)) | 0
  return Math.imul((added << 13) | (added >>> 19), 0x9e3779b1)
}

/** One to one; each bit has an effect on all bits. */
function spread(word: number): number {
  const once = Math.imul(word ^ (word >>> 15), 0x85ebca77)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae3d)
  return twice ^ (twice >>> 16)
}
