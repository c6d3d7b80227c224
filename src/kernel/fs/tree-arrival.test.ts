import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import type { NodeId } from '../../base/ids.ts'
import { TREE_EXPECT_MS } from '../limits.ts'
import { Arrival } from '../membership/arrival.ts'
import { TreeArrival } from './tree-arrival.ts'
import { TreeNews } from './tree-news.ts'

const [a, b] = ['a', 'b'] as unknown as [NodeId, NodeId]

/** A node for which the relay lists two others. */
function arrived() {
  const clock = new VirtualClock()
  const linked = new Set<NodeId>()
  const membership = { linked: () => [...linked] }
  const arrival = new Arrival(() => [...linked])
  const tree = new TreeArrival({ arrival, membership, clock, news: new TreeNews(clock) })
  arrival.note({ type: 'listed', peers: [a, b] })
  tree.start()
  const pass = (ms: number) => {
    const untilMs = clock.nowMs() + ms
    while (clock.step(untilMs));
    clock.jump(untilMs - clock.nowMs())
  }
  return { tree, arrival, linked, pass }
}

describe('a newcomer', () => {
  it('waits for the word of everybody who is linked, not only for links', () => {
    const { tree, linked, pass } = arrived()
    linked.add(a).add(b)
    tree.said(a)
    pass(20_000)
    expect(tree.settled).toBe(false)
    tree.said(b)
    expect(tree.settled).toBe(true)
  })

  it('does not wait for those who leave', () => {
    const { tree, arrival, linked, pass } = arrived()
    linked.add(a)
    tree.said(a)
    pass(20_000)
    expect(tree.settled).toBe(false)
    arrival.note({ type: 'hint-gone', peer: b })
    pass(2_000)
    expect(tree.settled).toBe(true)
  })

  it('does not wait for ever', () => {
    const { tree, pass } = arrived()
    pass(TREE_EXPECT_MS - 2_000)
    expect(tree.settled).toBe(false)
    pass(4_000)
    expect(tree.settled).toBe(true)
  })
})
