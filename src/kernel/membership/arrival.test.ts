import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../base/ids.ts'
import { MAX_MESH_PEERS } from '../limits.ts'
import { Arrival } from './arrival.ts'

const [a, b, c] = ['a', 'b', 'c'] as unknown as [NodeId, NodeId, NodeId]

function newArrival() {
  const linked = new Set<NodeId>()
  return { linked, arrival: new Arrival(() => [...linked]) }
}

describe('a node that has come', () => {
  it('knows nothing of others before the relay has answered', () => {
    const { arrival, linked } = newArrival()
    arrival.note({ type: 'relay', state: 'connecting', detail: '' })
    linked.add(a)
    expect(arrival).toMatchObject({ alone: false, unmet: true })
  })

  it('is alone when nobody is listed, when those who were have gone, or when the relay is away', () => {
    const { arrival } = newArrival()
    arrival.note({ type: 'listed', peers: [a] })
    expect(arrival.alone).toBe(false)
    arrival.note({ type: 'hint-gone', peer: a })
    expect(arrival).toMatchObject({ alone: true, unmet: false })
    const other = newArrival().arrival
    other.note({ type: 'relay', state: 'offline', detail: '' })
    expect(other).toMatchObject({ alone: true, unmet: false })
  })

  it('has met all when it is linked to everybody who was listed and is still there, whoever comes later', () => {
    const { arrival, linked } = newArrival()
    arrival.note({ type: 'listed', peers: [a, b] })
    linked.add(a).add(c)
    expect(arrival.unmet).toBe(true)
    arrival.note({ type: 'hint-gone', peer: b })
    expect(arrival.unmet).toBe(false)
  })

  it('is not alone because the relay that listed others goes away', () => {
    const { arrival } = newArrival()
    arrival.note({ type: 'listed', peers: [a] })
    arrival.note({ type: 'relay', state: 'offline', detail: '' })
    expect(arrival).toMatchObject({ alone: false, unmet: true })
  })

  it('need not be linked to all of a large cluster', () => {
    const { arrival, linked } = newArrival()
    const many = Array.from({ length: MAX_MESH_PEERS * 3 }, (_, i) => `${i}` as NodeId)
    arrival.note({ type: 'listed', peers: many })
    for (const each of many.slice(0, MAX_MESH_PEERS / 2 - 1)) linked.add(each)
    expect(arrival.unmet).toBe(true)
    linked.add(c)
    expect(arrival.unmet).toBe(false)
  })
})
