import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nodeId } from '../harness.contract.ts'
import { MAX_GENERATION_LEAP, MAX_VERSION_LEAP } from '../limits.ts'
import type { TreeHead } from '../rpc/methods.ts'
import { contains, newer, plausible } from './tree-head.ts'

const [A, B, C] = [nodeId('a'), nodeId('b'), nodeId('c')]
const head = (change: Partial<TreeHead> = {}): TreeHead => {
  return { generation: 1, version: 5, root: 'bafy', home: A, bases: [], sinceMs: 0, ...change }
}
const any = fc
  .tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.constantFrom(A, B, C))
  .map(([generation, version, sinceMs, home]) => head({ generation, version, sinceMs, home }))

describe('heads of the tree', () => {
  it('are in a strict order that all nodes see alike', () => {
    fc.assert(
      fc.property(any, any, any, (x, y, z) => {
        expect(newer(x, x)).toBe(false)
        expect(newer(x, y) && newer(y, x)).toBe(false)
        const same = x.generation === y.generation && x.version === y.version && x.sinceMs === y.sinceMs && x.home === y.home // biome-ignore format: one line
        if (!same) expect(newer(x, y) || newer(y, x)).toBe(true)
        if (newer(x, y) && newer(y, z)) expect(newer(x, z)).toBe(true)
      }),
    )
  })

  it('contain what they began from, as far as they had it', () => {
    const own = head({ home: A, generation: 1, version: 5 })
    expect(contains(head({ home: B, generation: 2, bases: [[1, 5, A]] }), own)).toBe(true)
    expect(contains(head({ home: C, generation: 3, bases: [[2, 9, B], [1, 5, A]] }), own)).toBe(true) // biome-ignore format: one line
    expect(contains(head({ home: B, generation: 2, bases: [[1, 4, A]] }), own)).toBe(false)
    expect(contains(head({ home: C, generation: 2, bases: [[1, 5, B]] }), own)).toBe(false) // another's generation 1
    expect(contains(head({ home: A, version: 6 }), own)).toBe(true)
    expect(contains(head({ home: A, version: 4 }), own)).toBe(false)
    expect(contains(head({ home: C, generation: 9 }), head({ generation: 0, version: 0 }))).toBe(true)
  })

  it('that leap ahead are not believed', () => {
    const own = head()
    expect(plausible(head({ generation: 1 + MAX_GENERATION_LEAP }), own)).toBe(true)
    expect(plausible(head({ generation: 2 + MAX_GENERATION_LEAP }), own)).toBe(false)
    expect(plausible(head({ version: 6 + MAX_VERSION_LEAP }), own)).toBe(false)
    expect(plausible(head({ generation: 0, version: 0 }), own)).toBe(true)
  })
})
