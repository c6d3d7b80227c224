import { describe, expect, it } from 'vitest'
import type { DeviceId } from '../../base/ids.ts'
import { eventsOf, newCluster } from '../cluster.contract.ts'
import { clockTrouble } from './clocks.ts'

const OWN = '0'.repeat(32) as DeviceId
const MINUTE = 60_000
const rows = (...minutes: (number | null)[]) =>
  minutes.map((each, i) => ({ device: `${i + 1}`.repeat(32), clockMs: each === null ? null : each * MINUTE }))

describe('the clock of a device', () => {
  it.each([
    ['alone', rows()],
    ['among others that have the time', rows(0, 0.1, -2)],
    ['beside one of several that is wrong', rows(0, 1, 600)],
    ['where as many say so as do not', rows(0, 60)],
    ['where others do not agree', rows(60, -60, 0)],
    ['beside those that say nothing', rows(null, null)],
  ])('%s is right', (_what, others) => {
    expect(clockTrouble(others, OWN)).toBeUndefined()
  })

  it('is wrong when most of the others have another time', () => {
    expect(clockTrouble(rows(61, 60, 0), OWN)).toEqual({
      side: 'behind',
      text: 'the clock of this device is 61 minutes behind those of 2 of 3 other devices: set it, or they refuse what this one publishes',
    })
    expect(clockTrouble(rows(-300, -301), OWN)).toMatchObject({
      side: 'ahead',
      text: expect.stringContaining('5 hours'),
    })
    expect(clockTrouble(rows(-5000, -5001), OWN)).toMatchObject({ text: expect.stringContaining('3 days ahead of') })
  })

  it('or that of the only other one is', () => {
    expect(clockTrouble(rows(20), OWN)).toMatchObject({ side: 'either', text: expect.stringContaining('one of them') })
  })

  it('is compared device by device: one with many tabs is one', () => {
    const [wrong, right, other] = rows(60, 0, 0)
    expect(clockTrouble([wrong, wrong, wrong, right, other] as ReturnType<typeof rows>, OWN)).toBeUndefined()
    expect(clockTrouble([{ device: OWN, clockMs: 60 * MINUTE }], OWN)).toBeUndefined()
  })

  it('that is wrong: its owner is told, once, and nobody else when there are more', async () => {
    const cluster = newCluster({ seed: 11 })
    const [a, b] = [cluster.addNode(), cluster.addNode()]
    for (const node of [a, b]) await cluster.run(node.boot())
    await cluster.advance(5_000)
    const c = cluster.addNode()
    c.skew.wallMs = -2 * 60 * MINUTE
    await cluster.run(c.boot())
    await cluster.advance(20_000)
    await cluster.run(cluster.addNode().boot())
    await cluster.advance(20_000)
    const told = async (node: typeof a) =>
      (await eventsOf(cluster, node)).flatMap((event) =>
        event.type === 'notice' && event.message.includes('clock') ? [event.message] : [],
      )
    expect(await told(c)).toEqual([expect.stringContaining('2 hours behind')])
    for (const node of [a, b]) expect(await told(node)).toEqual([])
  })
})
