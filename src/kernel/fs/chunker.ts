// Where a file's content is cut into leaves, and their list into nodes. Fixed: every mebibyte, as IPFS tools do it. By
// content: where a rolling hash of the bytes says so, so that a change moves only the cuts around it, and what is the
// same in two files, or in two versions of one, is the same blocks. Either is plain UnixFS that any tool can read. Pure.
// Above: dag-writer.ts, dag-builder.ts. Source: gear hash and normalized chunk sizes as in FastCDC (Xia et al., 2016).
import type { CidText } from '../blocks/cid.ts'
import { BLOCK_BYTES, DAG_FANOUT } from '../limits.ts'

/** How content is cut where that is not every mebibyte. */
export type Chunks = 'content'

export interface Chunker {
  /** A leaf's size, or about that on average. */
  readonly leafBytes: number
  /**
   * @param bytes content behind the last cut. @param end nothing follows.
   * @returns bytes of the next leaf; 0 when more content is needed to tell. What follows a cut does not move it.
   */
  leaf(bytes: Uint8Array, end: boolean): number
  /** How many of the children from `from` on are in one node: at least one. */
  node(children: readonly { cid: CidText }[], from: number): number
}

export function chunkerOf(chunks: Chunks | undefined): Chunker {
  return chunks === 'content' ? contentChunker : fixedChunker
}

export const fixedChunker: Chunker = {
  leafBytes: BLOCK_BYTES,
  leaf: ({ byteLength }, end) => (byteLength >= BLOCK_BYTES ? BLOCK_BYTES : end ? byteLength : 0),
  node: () => DAG_FANOUT,
}

/** Small, because each version that is kept costs one leaf and the nodes above it; not smaller, as each leaf is a row of the store. */
const LEAF = { min: 512, normal: 2560, max: 12_288 } as const
/**
 * Before the normal size a cut is less likely than after it: sizes lie closer together. Were it much less likely, a cut
 * behind a change would more often not stay. (Tried on 100 versions of 10 MiB with 1 and 4 KiB changed in each.)
 */
const EARLY = 0xfff0_0000 | 0 // the 12 bits that depend on the most bytes
const LATE = 0xffc0_0000 | 0 // 10 bits
const NODE = { min: 8, max: 64 } as const
/** A child whose hash ends in three zero bits, one in eight, ends its node: a CID's 288 bits leave three for the last letter. */
const NODE_ENDS = 'a'

export const contentChunker: Chunker = {
  leafBytes: LEAF.normal,
  leaf(bytes, end) {
    const last = Math.min(bytes.byteLength, LEAF.max)
    const early = Math.min(last, LEAF.normal)
    let hash = 0
    let at: number = LEAF.min
    for (; at < early; at++) {
      hash = ((hash << 1) + (GEAR[bytes[at] as number] as number)) | 0
      if ((hash & EARLY) === 0) return at + 1
    }
    for (; at < last; at++) {
      hash = ((hash << 1) + (GEAR[bytes[at] as number] as number)) | 0
      if ((hash & LATE) === 0) return at + 1
    }
    if (last === LEAF.max) return last
    return end ? bytes.byteLength : 0
  },
  node(children, from) {
    const last = Math.min(children.length, from + NODE.max)
    for (let at = from + NODE.min - 1; at < last; at++) {
      if (children[at]?.cid.endsWith(NODE_ENDS)) return at + 1 - from
    }
    return last - from
  },
}

/** One random number for each byte: always the same ones, or nothing would be found again. (SplitMix32 of 1 to 256.) */
const GEAR = Int32Array.from({ length: 256 }, (_, i) => {
  let z = Math.imul(i + 1, 0x9e37_79b9)
  z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a_2d97)
  return z ^ (z >>> 15)
})
