import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../base/bytes.ts'
import { BLOCK_ITEM_BYTES, MAX_BLOCK_BYTES } from '../limits.ts'
import { createAssembler } from './assemble.ts'
import { createPack } from './packing.ts'

const pack = createPack()
describe('the assembler of block pieces', () => {
  it('puts blocks together from pieces that come in order', () => {
    const assembler = createAssembler(3)
    expect(assembler.add([0, 0, 4, utf8('ab')])).toEqual({ came: 2, whole: [] })
    expect(assembler.add([0, 2, 4, utf8('cd')])).toEqual({ came: 2, whole: [{ index: 0, bytes: utf8('abcd') }] })
    expect(assembler.add([2, 0, 1, utf8('x')])).toEqual({ came: 1, whole: [{ index: 2, bytes: utf8('x') }] })
  })

  it('takes several small blocks at once, and the beginning of another behind them', () => {
    const assembler = createAssembler(5)
    const one = [0, 0, 1, utf8('x'), 2, 0, 2, utf8('yz'), 3, 0, 3, utf8('a')]
    const whole = [
      { index: 0, bytes: utf8('x') },
      { index: 2, bytes: utf8('yz') },
    ]
    expect(assembler.add(one)).toEqual({ came: 4, whole })
    expect(assembler.progress).toBeCloseTo(3 + 1 / 3)
    expect(assembler.add([3, 1, 3, utf8('bc')]).whole).toEqual([{ index: 3, bytes: utf8('abc') }])
  })

  it('accepts an empty block', () => {
    expect(createAssembler(1).add([0, 0, 0, utf8('')])).toEqual({ came: 0, whole: [{ index: 0, bytes: utf8('') }] })
  })

  it('takes pieces that are packed, between others', () => {
    const content = utf8('a line of text\n'.repeat(2_000))
    const total = content.byteLength + 3
    const assembler = createAssembler(1)
    const packed = pack(content) as Uint8Array
    expect(assembler.add([0, 0, total, content.byteLength, packed])).toEqual({ came: content.byteLength, whole: [] })
    const [whole] = assembler.add([0, content.byteLength, total, utf8('end')]).whole
    expect(whole).toEqual({ index: 0, bytes: concat([content, utf8('end')]) })
  })

  const zeros = pack(new Uint8Array(1_000)) as Uint8Array
  it.each([
    ['what cannot be unpacked', [[0, 0, 1_000, 1_000, utf8('x')]]],
    ['what is packed and longer than it says', [[0, 0, 1_000, 999, zeros]]],
    ['what is packed and longer than the block', [[0, 0, 999, 1_000, zeros]]],
    ['what is packed and goes on beyond the block', [[0, 0, 1_500, 1_000, zeros], [0, 1_000, 1_500, 1_000, zeros]]], // biome-ignore format: one case, one line
    ['a packed piece that is larger than any', [[0, 0, MAX_BLOCK_BYTES, BLOCK_ITEM_BYTES + 1, zeros]]],
    ['nothing, packed', [[0, 0, 1_000, 0, Uint8Array.from([0])]]],
    ['a packed piece and another', [[0, 0, 1_000, 1_000, zeros, 1, 0, 1, utf8('x')]]],
    ['what is no piece', [[0, 0]]],
    ['nothing at all', [[]]],
    ['bytes by themselves', [utf8('x')]],
    ['a piece and half of another', [[0, 0, 1, utf8('x'), 1, 0]]],
    ['the same block twice at once', [[0, 0, 1, utf8('x'), 0, 0, 1, utf8('x')]]],
    ['a piece that is no bytes', [[0, 0, 1, 'x']]],
    ['a negative offset', [[0, -1, 1, utf8('x')]]],
    ['a block that was not asked for', [[2, 0, 1, utf8('x')]]],
    ['a block larger than any block', [[0, 0, MAX_BLOCK_BYTES + 1, utf8('x')]]],
    ['more bytes than were announced', [[0, 0, 1, utf8('xy')]]],
    ['a beginning that is missing', [[0, 1, 3, utf8('x')]]],
    ['a gap', [[0, 0, 3, utf8('x')], [0, 2, 3, utf8('z')]]], // biome-ignore format: one case, one line
    ['another total than before', [[0, 0, 3, utf8('x')], [0, 1, 4, utf8('y')]]], // biome-ignore format: one case, one line
    ['a piece of another block in between', [[0, 0, 3, utf8('x')], [1, 1, 3, utf8('y')]]], // biome-ignore format: one case, one line
    ['an empty piece, which could go on for ever', [[0, 0, 3, utf8('')]]],
    ['a new beginning of an unfinished block', [[0, 0, 3, utf8('x')], [0, 0, 3, utf8('x')]]], // biome-ignore format: one case, one line
    ['a finished block once more', [[0, 0, 1, utf8('x')], [0, 0, 1, utf8('x')]]], // biome-ignore format: one case, one line
    ['a block that comes too late', [[1, 0, 1, utf8('x')], [0, 0, 1, utf8('x')]]], // biome-ignore format: one case, one line
  ] as [string, unknown[]][])('refuses %s', (_what, items) => {
    const assembler = createAssembler(2)
    expect(() => items.map((item) => assembler.add(item))).toThrow(/^sent /)
  })
})
