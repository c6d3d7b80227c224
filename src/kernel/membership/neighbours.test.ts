import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../base/ids.ts'
import { nodeId } from '../harness.contract.ts'
import { MAX_MESH_PEERS } from '../limits.ts'
import { ringPosition, wantedNeighbours } from './neighbours.ts'

const many = (count: number, salt = 0) => Array.from({ length: count }, (_, i) => nodeId(`n${salt}x${i}`))

describe('wanted neighbours', () => {
  it('are everybody in a small cluster', () => {
    const all = many(MAX_MESH_PEERS - 1)
    expect([...wantedNeighbours(nodeId('me'), all)]).toEqual(all)
    expect(wantedNeighbours(nodeId('me'), [])).toEqual(new Set())
  })

  it('are bounded in a large one, however large', () => {
    fc.assert(
      fc.property(fc.integer({ min: MAX_MESH_PEERS, max: 3_000 }), fc.nat(), (count, salt) => {
        const known = many(count, salt)
        const wanted = wantedNeighbours(nodeId('me'), known)
        expect(wanted.size).toBeLessThanOrEqual(MAX_MESH_PEERS)
        expect(wanted.size).toBeGreaterThanOrEqual(MAX_MESH_PEERS / 2)
        expect(known).toEqual(expect.arrayContaining([...wanted]))
      }),
      { numRuns: 30 },
    )
  })

  it('contain the nearest by XOR, whom the DHT needs', () => {
    const me = nodeId('me')
    const known = many(500)
    const wanted = wantedNeighbours(me, known)
    const distance = (id: NodeId) => (ringPosition(id) ^ ringPosition(me)) >>> 0
    const nearest = [...known].sort((a, b) => distance(a) - distance(b)).slice(0, MAX_MESH_PEERS / 2)
    for (const id of nearest) expect(wanted.has(id)).toBe(true)
  })

  it('do not depend on the order in which nodes became known', () => {
    const known = many(200)
    expect([...wantedNeighbours(nodeId('me'), known)].sort()).toEqual(
      [...wantedNeighbours(nodeId('me'), [...known].reverse())].sort(),
    )
  })

  it('connect any cluster into one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 33, max: 300 }), fc.nat(1000), (count, salt) => {
        const all = many(count, salt)
        const links = new Map<NodeId, Set<NodeId>>(all.map((id) => [id, new Set()]))
        for (const id of all)
          for (const other of wantedNeighbours(
            id,
            all.filter((each) => each !== id),
          )) {
            links.get(id)?.add(other)
            links.get(other)?.add(id)
          }
        const seen = new Set<NodeId>()
        const queue = all.slice(0, 1)
        for (let id = queue.pop(); id; id = queue.pop()) {
          if (seen.has(id)) continue
          seen.add(id)
          queue.push(...(links.get(id) ?? []))
        }
        expect(seen.size).toBe(count)
      }),
      { numRuns: 15 },
    )
  })
})
