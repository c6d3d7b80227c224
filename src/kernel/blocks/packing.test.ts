import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { SeededRandom } from '../../adapters/memory/random.ts'
import { concat, utf8 } from '../../base/bytes.ts'
import { blockNode, Lab } from '../harness.contract.ts'
import { BLOCK_ITEM_BYTES } from '../limits.ts'
import { RAW } from './cid.ts'
import { createPack, unpack } from './packing.ts'

const pack = createPack()
const text = utf8('Close a tab and nothing is lost: another takes over. '.repeat(400))

/** No two pieces alike, and nothing to be found in them. */
const noise = (length: number) => new SeededRandom(1).bytes(length)

describe('packing', () => {
  it('makes text smaller, and the same of it again', () => {
    const packed = pack(text) as Uint8Array
    expect(packed.byteLength).toBeLessThan(text.byteLength / 10)
    expect(unpack(packed, text.byteLength)).toEqual(text)
  })

  it('leaves alone what would hardly be smaller', () => {
    expect(pack(noise(BLOCK_ITEM_BYTES))).toBeUndefined()
    expect(pack(new Uint8Array(0))).toBeUndefined()
    expect(pack(utf8('x'))).toBeUndefined()
  })

  it('is Snappy, as its description says', () => {
    // length 12; a literal of four bytes; a copy of eight bytes from four bytes back
    const packed = Uint8Array.from([12, (4 - 1) << 2, ...utf8('abab'), ((8 - 4) << 2) | 1, 4])
    expect(unpack(packed, 12)).toEqual(utf8('abababababab'))
  })

  it('gives back any piece', () => {
    const word = fc.uint8Array({ minLength: 1, maxLength: 12 })
    const words = fc.array(fc.tuple(word, fc.integer({ min: 1, max: 200 })), { maxLength: 60 })
    fc.assert(
      fc.property(words, (pieces) => {
        const whole = concat(pieces.flatMap(([bytes, times]) => Array<Uint8Array>(times).fill(bytes)))
        const piece = whole.subarray(0, BLOCK_ITEM_BYTES)
        const packed = pack(piece)
        if (packed) expect(unpack(packed, piece.byteLength)).toEqual(piece)
      }),
      { numRuns: 500 },
    )
  })
})

describe('what a peer says is packed', () => {
  const packed = pack(text) as Uint8Array

  it('is refused when it is of another length than it says', () => {
    expect(unpack(packed, text.byteLength - 1)).toBeUndefined()
    expect(unpack(packed, text.byteLength + 1)).toBeUndefined()
    expect(unpack(packed, 0)).toBeUndefined()
  })

  it.each([
    ['nothing', []],
    ['a length that does not end', [0x80, 0x80]],
    ['a length of more than 32 bits', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['no more than a length', [100]],
    ['a copy of what is not there', [100, ((8 - 4) << 2) | 1, 200]],
    ['a copy from nowhere', [100, 0, 0x61, ((8 - 4) << 2) | 1, 0]],
    ['a literal that is longer than what came', [100, (60 - 1) << 2, 1, 2]],
    ['more than it said', [20, ((20 - 1) << 2), ...new Uint8Array(20), ((8 - 4) << 2) | 1, 4]], // biome-ignore format: one case, one line
  ])('is refused when it is %s', (_what, bytes) => {
    const given = Uint8Array.from(bytes)
    for (const length of [20, 100, BLOCK_ITEM_BYTES]) expect(unpack(given, length)).toBeUndefined()
    expect(unpack(packed, text.byteLength)).toEqual(text) // and what is right goes on being unpacked
  })

  it('does no harm, whatever it is', () => {
    const change = fc.record({ at: fc.nat(), to: fc.nat({ max: 255 }) })
    const length = fc.constantFrom(100, 3_000, text.byteLength, BLOCK_ITEM_BYTES)
    const head = (n: number) => [(n & 0x7f) | 0x80, ((n >> 7) & 0x7f) | 0x80, n >> 14]
    const garbage = fc.tuple(fc.uint8Array({ maxLength: 2_000 }), length).map(([bytes, n]) => ({
      length: n,
      bytes: Uint8Array.from([...head(n), ...bytes]),
    }))
    const changed = fc.array(change, { minLength: 1, maxLength: 8 }).map((changes) => {
      const bytes = packed.slice()
      for (const { at, to } of changes) bytes[at % bytes.byteLength] = to
      return { length: text.byteLength, bytes }
    })
    fc.assert(
      fc.property(fc.oneof(garbage, changed), ({ bytes, length: wanted }) => {
        const unpacked = unpack(bytes, wanted)
        if (unpacked) expect(unpacked.byteLength).toBe(wanted)
        expect(unpack(packed, text.byteLength)).toEqual(text)
      }),
      { numRuns: 2_000 },
    )
  })
})

it('a block is sent packed as far as that makes it smaller, and plain from there on', async () => {
  const lab = new Lab({ split: true })
  const holder = await blockNode(lab, 'h')
  const reader = await blockNode(lab, 'r')
  await lab.link(reader, holder)
  const zeros = new Uint8Array(BLOCK_ITEM_BYTES)
  const contents = [
    [zeros, text],
    [noise(BLOCK_ITEM_BYTES), zeros],
    [zeros, noise(BLOCK_ITEM_BYTES), zeros],
  ].map(concat)
  const cids = await Promise.all(contents.map((bytes) => holder.blocks.put(RAW, bytes)))
  const items: unknown[][] = []
  const onItem = async (item: unknown) => {
    items.push(item as unknown[])
  }
  await lab.run(reader.rpc.call(holder.id, 'blocks.get', { cids }, { onItem }))
  const shapes = items.map((item) => `${item[0]} ${item.length === 5 ? 'packed' : 'plain'}`)
  const wanted = ['0 packed', '0 packed', '1 plain', '1 plain', '2 packed', '2 plain', '2 plain']
  expect(shapes).toEqual(wanted)
  expect(await lab.run(reader.blocks.getMany(cids, { hints: [holder.id] }))).toEqual(contents)
})

it('a node that has no WebAssembly asks for what is not packed, and packs nothing', async () => {
  const lab = new Lab({ split: true })
  const holder = await blockNode(lab, 'h')
  const cid = await holder.blocks.put(RAW, concat(Array<Uint8Array>(5).fill(text)))
  vi.resetModules()
  vi.stubGlobal('WebAssembly', undefined)
  try {
    const without = await import('./packing.ts')
    expect([without.unpacks(), without.createPack()(text)]).toEqual([false, undefined])
    const { blockNode: nodeOf } = await import('../harness.contract.ts')
    const reader = await nodeOf(lab, 'r')
    await lab.link(reader, holder)
    const got = await lab.run(reader.blocks.get(cid, { hints: [holder.id] }))
    expect(got).toEqual(concat(Array<Uint8Array>(5).fill(text)))
    const items: unknown[] = []
    const onItem = async (item: unknown) => void items.push(item)
    await lab.run(reader.rpc.call(holder.id, 'blocks.get', { cids: [cid], plain: true }, { onItem }))
    expect(items.map((item) => (item as unknown[]).length)).toEqual([4, 4])
  } finally {
    vi.unstubAllGlobals()
    vi.resetModules()
  }
})

it('a tab without memory for WebAssembly sends and asks for what is not packed, and calls nobody a liar for it', async () => {
  const lab = new Lab({ split: true })
  const piece = concat(Array<Uint8Array>(4).fill(text)).subarray(0, BLOCK_ITEM_BYTES)
  const packed = pack(piece) as Uint8Array
  vi.resetModules()
  const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => {
    throw new RangeError('WebAssembly.Memory.grow(): Unable to grow instance memory')
  })
  try {
    const without = await import('./packing.ts')
    const { blockNode: nodeOf } = await import('../harness.contract.ts')
    const reader = await nodeOf(lab, 'r')
    const holder = await lab.node('h')
    holder.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
    holder.rpc.handle('blocks.get', async ({ plain }, { item }) => {
      await item([0, 0, piece.byteLength, ...(plain ? [piece] : [piece.byteLength, packed])])
      return null
    })
    await lab.link(reader, holder)
    const cid = await reader.blocks.cidOf(RAW, piece)
    expect(await lab.run(reader.blocks.get(cid, { hints: [holder.id] }))).toEqual(piece)
    expect(grow).toHaveBeenCalled()
    expect(without.createPack()(piece)).toBeUndefined()
  } finally {
    vi.restoreAllMocks()
    vi.resetModules()
  }
})
