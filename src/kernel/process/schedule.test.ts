import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerState } from '../../syscalls/types.ts'
import { nodeId } from '../harness.contract.ts'
import { LEASE_DEPTH } from '../limits.ts'
import { type NodeLoad, place } from './schedule.ts'

const node = (name: string, more: Partial<NodeLoad> = {}): NodeLoad => {
  return { id: nodeId(name), slots: 2, state: 'alive', leased: 0, running: 0, ...more }
}
const chosen = (...nodes: NodeLoad[]) => place(nodes)?.node

describe('placement', () => {
  it('takes the node with the most room per slot', () => {
    expect(chosen(node('a', { leased: 1 }), node('b'))).toBe(nodeId('b'))
    expect(chosen(node('a', { leased: 1, slots: 8 }), node('b', { leased: 1 }))).toBe(nodeId('a'))
  })

  it('counts a hidden tab as half as fast, and does not use frozen, stalled or half-connected ones', () => {
    expect(chosen(node('a', { state: 'hidden', leased: 1 }), node('b', { leased: 1 }))).toBe(nodeId('b'))
    expect(chosen(node('a', { state: 'hidden' }), node('b', { leased: 1 }))).toBe(nodeId('a'))
    for (const state of ['frozen', 'stalled', 'connecting'] as PeerState[])
      expect(chosen(node('a', { state }))).toBeUndefined()
  })

  it('counts what others run on a node', () => {
    expect(chosen(node('a', { running: 4 }), node('b', { leased: 1, running: 1 }))).toBe(nodeId('b'))
  })

  it('waits when all are full, and when there is nobody', () => {
    expect(chosen(node('a', { leased: 2 * LEASE_DEPTH }))).toBeUndefined()
    expect(chosen(node('a', { slots: 0 }))).toBeUndefined()
    expect(chosen()).toBeUndefined()
  })

  it('says why', () => {
    expect(place([node('a')])?.reason).toBe('least loaded: 0 leased on 2 slots, fill 0.00')
  })

  it('spreads any number of events over equal nodes as evenly as they can be', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 4 }), (count, slots) => {
        const nodes = Array.from({ length: count }, (_, i) => node(`n${i}`, { slots }))
        for (let placed = 0; ; placed++) {
          const leased = nodes.map((each) => each.leased)
          expect(Math.max(...leased) - Math.min(...leased)).toBeLessThanOrEqual(1)
          const next = place(nodes)
          if (!next) {
            expect(placed).toBe(count * slots * LEASE_DEPTH)
            return
          }
          const target = nodes.find(({ id }) => id === next.node)
          if (target) target.leased++
        }
      }),
    )
  })

  it('never exceeds a node’s depth, whatever the loads', () => {
    const load = fc.record({
      slots: fc.nat(16),
      leased: fc.nat(40),
      running: fc.nat(40),
      state: fc.constantFrom<PeerState>('alive', 'hidden', 'frozen', 'stalled', 'connecting'),
    })
    fc.assert(
      fc.property(fc.array(load, { maxLength: 10 }), (loads) => {
        const nodes = loads.map((each, i) => node(`n${i}`, each))
        const placed = place(nodes)
        const target = nodes.find(({ id }) => id === placed?.node)
        const room = nodes.filter(({ slots, leased, state }) => {
          return leased < slots * LEASE_DEPTH && (state === 'alive' || state === 'hidden')
        })
        if (room.length === 0) expect(placed).toBeUndefined()
        else expect(room).toContain(target)
      }),
    )
  })
})
