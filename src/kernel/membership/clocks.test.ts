import { describe, expect, it } from 'vitest'
import type { DeviceId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { eventsOf, meshed, newCluster, type TestCluster } from '../cluster.contract.ts'
import { clockTrouble } from './clocks.ts'

const OWN = '0'.repeat(32) as DeviceId
const MINUTE = 60_000
const rows = (...minutes: (number | null)[]) =>
  minutes.map((each, i) => ({ device: `${i + 1}`.repeat(32), clockMs: each === null ? null : each * MINUTE }))

const told = async (cluster: TestCluster, node: SimNode) =>
  (await eventsOf(cluster, node)).flatMap((event) =>
    event.type === 'notice' && event.message.includes('clock') ? [event.message] : [],
  )

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
      text: 'the clock of this device is 61 minutes behind those of 2 of 3 other devices: set it; from a quarter of an hour on they refuse what this one publishes',
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
    const [late, right2] = rows(60, 0)
    expect(clockTrouble([right2, { ...late, device: right2?.device }] as ReturnType<typeof rows>, OWN)).toBeUndefined()
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
    expect(await told(cluster, c)).toEqual([expect.stringContaining('2 hours behind')])
    for (const node of [a, b]) expect(await told(cluster, node)).toEqual([])
  })

  it('of a tab that stood still while a link was set up is not said to be wrong', async () => {
    for (let ms = 1; ms < 30; ms += 2) {
      const cluster = newCluster({ seed: 1 })
      const [a, b] = [cluster.addNode(), cluster.addNode()]
      await cluster.run(a.boot())
      await cluster.advance(5_000)
      const booted = b.boot()
      await cluster.advance(ms)
      const thaw = a.freeze()
      await cluster.advance(20 * MINUTE)
      thaw()
      await cluster.run(booted)
      await cluster.advance(30_000)
      expect({ ms, told: [...(await told(cluster, a)), ...(await told(cluster, b))] }).toEqual({ ms, told: [] })
    }
  })

  it('a clock that was put right before anybody was told is not complained of', async () => {
    const cluster = newCluster({ seed: 2 })
    const [a, b] = [cluster.addNode(), cluster.addNode()]
    for (const node of [a, b]) await cluster.run(node.boot())
    await cluster.advance(10_000)
    const c = cluster.addNode()
    c.skew.wallMs = -120 * MINUTE
    await cluster.run(c.boot())
    await cluster.advance(2_000)
    c.skew.wallMs = 0 // NTP answers
    await cluster.advance(20_000)
    expect(await told(cluster, c)).toEqual([])
  })

  it('a clock that goes wrong while the tab runs is told when somebody comes', async () => {
    const cluster = newCluster({ seed: 3 })
    const nodes = [cluster.addNode(), cluster.addNode(), cluster.addNode()] as const
    for (const node of nodes) await cluster.run(node.boot())
    await cluster.advance(10_000)
    nodes[2].skew.wallMs = 120 * MINUTE
    await cluster.advance(60 * MINUTE)
    await cluster.run(cluster.addNode().boot())
    await cluster.advance(20_000)
    expect(await told(cluster, nodes[2])).toEqual([expect.stringContaining('2 hours ahead')])
  })

  it('links that break and come back measure anew', async () => {
    const cluster = newCluster({ seed: 3 })
    const nodes = [cluster.addNode(), cluster.addNode()] as const
    nodes[1].skew.wallMs = 120 * MINUTE
    for (const node of nodes) await cluster.run(node.boot())
    await cluster.advance(10_000)
    nodes[1].skew.wallMs = 0
    cluster.hub.breakLink(nodes[0].id, nodes[1].id)
    await cluster.advance(10_000)
    const [row] = await cluster.run(nodes[0].os.info('peers'))
    expect(Math.abs(row?.clockMs ?? Number.NaN)).toBeLessThan(MINUTE)
  })

  it('the same trouble is told once though others come and go', async () => {
    const cluster = newCluster({ seed: 4 })
    const [a, wrong, c] = [cluster.addNode(), cluster.addNode(), cluster.addNode()]
    wrong.skew.wallMs = 120 * MINUTE
    await cluster.run(a.boot())
    await cluster.run(wrong.boot())
    await cluster.advance(20_000)
    for (let i = 0; i < 5; i++) {
      await cluster.run(c.boot())
      await cluster.advance(20_000)
      await cluster.run(c.close())
      await cluster.advance(20_000)
      await cluster.run(wrong.close())
      await cluster.run(wrong.boot())
      await cluster.advance(20_000)
    }
    expect(await told(cluster, a)).toHaveLength(1)
  })

  it('a device whose clock is before 1970 takes part', async () => {
    const cluster = newCluster({ seed: 5 })
    const [a, b] = [cluster.addNode(), cluster.addNode()]
    b.skew.wallMs = -Date.UTC(2026, 0, 1) - 120 * MINUTE
    await cluster.run(a.boot())
    await cluster.run(b.boot())
    await meshed(cluster, [a, b])
  })
})
