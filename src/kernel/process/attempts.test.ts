import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { nodeId } from '../harness.contract.ts'
import { type Attempt, Attempts } from './attempts.ts'
import type { EventState } from './events.ts'

const [a, b] = [nodeId('a'), nodeId('b')]
const event = (id: string): EventState => ({
  ...{ id, number: 1, task: 'work', key: undefined, data: new Uint8Array(0), after: null, missing: 0 },
  ...{ status: 'leased', token: 1, leases: [{ token: 1, node: a }], result: undefined },
})
const at = (node: typeof a) => ({ node, slots: 2, rooms: 1, reason: 'there is room' })

describe('runs of events', () => {
  it('are as many as the node has slots; others wait there for their turn', () => {
    const attempts = new Attempts(new VirtualClock(), () => new Set())
    const [first, second, third] = ['0.1', '0.2', '0.3'].map((id) => attempts.begin([event(id)], at(a))[0])
    const elsewhere = attempts.begin([event('0.4')], at(b))[0]
    const states = () => [first, second, third, elsewhere].map((attempt) => attempt?.state)
    expect(states()).toEqual(['running', 'running', 'waiting', 'running'])
    if (second) attempts.answered(second)
    expect(states()).toEqual(['running', 'answered', 'running', 'running'])
    expect([...attempts.nodes()]).toEqual([a, b])
  })

  it('that were leased together share a slot, and whatever befalls it', () => {
    const attempts = new Attempts(new VirtualClock(), () => new Set())
    const leased = [['0.1', '0.2'], ['0.3'], ['0.4', '0.5']].map((ids) => attempts.begin(ids.map(event), at(a)))
    const states = () => leased.map((together) => together.map(({ state }) => state))
    expect(states()).toEqual([['running', 'running'], ['running'], ['waiting', 'waiting']])
    const [first, second] = leased[0] as [Attempt, Attempt]
    attempts.answered(first)
    expect(states()).toEqual([['answered', 'running'], ['running'], ['waiting', 'waiting']])
    attempts.end(second)
    expect(states()).toEqual([['answered', 'answered'], ['running'], ['running', 'running']])
  })

  it('that are late get company once, and are asked about again while there is none', () => {
    const clock = new VirtualClock()
    const attempts = new Attempts(clock, () => new Set())
    for (const id of ['0.1', '0.2', '0.3']) {
      const [done] = attempts.begin([event(id)], at(a)) as [Attempt]
      attempts.ran(done, 5)
      attempts.completed(done)
      attempts.end(done)
    }
    expect(attempts.runsMs('work')).toBe(5)
    const [late] = attempts.begin([event('0.4')], at(a)) as [Attempt]
    const asked: number[] = []
    attempts.watchLate((found) => {
      expect(found).toEqual([late])
      asked.push(clock.nowMs())
      if (asked.length === 3) late.of.leases.push({ token: 2, node: b })
    })
    while (clock.step(60_000));
    expect(asked).toEqual([1_000, 2_000, 3_000])
  })

  it('on a node that stands still are late, though nobody knows how long they take; company that stands still is none', () => {
    const clock = new VirtualClock()
    const still = new Set([a])
    const attempts = new Attempts(clock, () => still)
    const shared = event('0.1')
    const [first] = attempts.begin([shared], at(a)) as [Attempt]
    const asked: [number, Attempt][] = []
    const watch = () => {
      attempts.lookAgain()
      attempts.watchLate(([late]) => asked.push([clock.nowMs(), late as Attempt]))
    }
    watch()
    clock.step(1_000)
    expect(asked).toEqual([[1_000, first]])
    // It gets company, which moves: nothing is late.
    shared.leases.push({ token: 2, node: b })
    shared.token = 2
    const [second] = attempts.begin([shared], at(b)) as [Attempt]
    watch()
    while (clock.step(60_000));
    expect(asked).toHaveLength(1)
    // That stands still, too.
    still.add(b)
    watch()
    clock.step(120_000)
    expect(asked).toEqual([
      [1_000, first],
      [2_000, second],
    ])
  })

  it('are late after a while on a node that has shown nothing, and sooner once it is known how long they take', () => {
    const clock = new VirtualClock()
    const attempts = new Attempts(
      clock,
      () => new Set(),
      (node) => (node === a ? 70_000 : undefined),
    )
    const asked: number[] = []
    const watch = () => attempts.watchLate(() => asked.push(clock.nowMs()))
    attempts.begin([event('0.1')], at(b))
    watch()
    expect(clock.step(1e6)).toBe(false)
    const [first] = attempts.begin([event('0.2')], at(a)) as [Attempt]
    watch()
    clock.step(1e6)
    expect(asked).toEqual([70_000])
    attempts.end(first)
    attempts.begin([event('0.3')], at(a))
    watch()
    for (const id of ['0.4', '0.5', '0.6']) {
      const [done] = attempts.begin([event(id)], at(b)) as [Attempt]
      attempts.ran(done, 5)
      attempts.end(done)
    }
    watch()
    clock.step(1e6)
    expect(asked.at(-1)).toBeLessThanOrEqual(72_000)
  })

  it('are ended when another was faster, and all of them with the process', () => {
    const attempts = new Attempts(new VirtualClock(), () => new Set())
    const shared = event('0.1')
    const [first] = attempts.begin([shared], at(a)) as [Attempt]
    const [second, other] = attempts.begin([shared, event('0.2')], at(b)) as [Attempt, Attempt]
    attempts.ran(first, 5)
    attempts.completed(first)
    expect([second.abort.signal.aborted, other.abort.signal.aborted]).toEqual([true, false])
  })
})
