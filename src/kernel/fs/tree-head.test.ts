import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Kid } from '../../base/ids.ts'
import { nodeId } from '../harness.contract.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import { TreeClaims } from './tree-claims.ts'
import { precedes } from './tree-head.ts'

const [A, B, C] = [nodeId('a'), nodeId('b'), nodeId('c')]
const tree = (letter: string) => `K-${letter.repeat(64)}` as Kid
const head = (change: Partial<TreeHead> = {}): TreeHead => {
  return { tree: tree('a'), bornMs: 5, term: 1, version: 5, root: 'bafy', home: A, ...change }
}
const any = fc
  .tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(2), fc.nat(2), fc.constantFrom(A, B, C))
  // A tree has one birth.
  .map(([letter, term, version, home]) => head({ tree: tree(letter), bornMs: letter === 'a' ? 7 : 8, term, version, home })) // biome-ignore format: one line

describe('the order of trees', () => {
  it('puts a written tree first, then the older one, whatever has been written since', () => {
    expect(precedes(head({ bornMs: 9 }), head({ tree: tree('b'), bornMs: 1, version: 0 }))).toBe(true)
    expect(precedes(head({ bornMs: 4, version: 1 }), head({ tree: tree('b'), version: 99, term: 9 }))).toBe(true)
    expect(precedes(head({ bornMs: 6 }), head({ tree: tree('b') }))).toBe(false)
  })

  it('of nodes that say that they lead one tree puts the one that was elected last first', () => {
    expect(precedes(head({ term: 2, version: 1 }), head({ home: B }))).toBe(true)
    expect(precedes(head({ version: 6 }), head({ home: B }))).toBe(true)
  })

  it('has no ties between trees, no cycles, and nothing before itself', () => {
    fc.assert(
      fc.property(any, any, any, (a, b, c) => {
        expect(precedes(a, a)).toBe(false)
        if (a.tree !== b.tree) expect(precedes(a, b)).toBe(!precedes(b, a))
        if (precedes(a, b) && precedes(b, c)) expect(precedes(a, c)).toBe(true)
      }),
    )
  })
})

describe('claims', () => {
  it('go with whoever made them', () => {
    const claims = new TreeClaims(8)
    claims.set(head())
    claims.set(head({ home: B, term: 2 }))
    expect(claims.best()?.home).toBe(B)
    expect(claims.drop(B)).toBe(true)
    expect(claims.best()?.home).toBe(A)
    expect(claims.drop(B)).toBe(false)
  })

  it('are replaced by what their maker says later, be it less', () => {
    const claims = new TreeClaims(8)
    claims.set(head({ term: 9 }))
    claims.set(head({ term: 1 }))
    expect(claims.best()?.term).toBe(1)
  })

  it('are bounded: the ones that would be used least go first', () => {
    const claims = new TreeClaims(4)
    claims.set(head())
    for (let i = 0; i < 100; i++) claims.set(head({ tree: tree('b'), bornMs: 10 + i, home: nodeId(`n${i}`) }))
    expect(claims.best()?.home).toBe(A)
    expect(claims.get(nodeId('n99'))).toBeUndefined()
  })
})
