import { beforeEach, describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Network } from '../../ports/network.ts'
import { ANSWER_MS, CALM_MS, MAX_CALM_MS, OWN_STALL_MS, UNHEARD_MS } from '../limits.ts'
import type { Member } from './member.ts'
import { StackProbe } from './stack-probe.ts'

const member = { id: 'peer' as NodeId } as Member

let clock: VirtualClock
let said: string[]
/** What the network counts. */
let packets: number | undefined
/** Whether the peer's stack acknowledges what it is asked. */
let alive: boolean
let silentInMs: number
/** Resolved before a count is told: a page that is busy. */
let page: Promise<void>
let probe: StackProbe

beforeEach(() => {
  clock = new VirtualClock()
  said = []
  packets = 100
  alive = false
  silentInMs = 0
  page = Promise.resolve()
  probe = new StackProbe({
    clock,
    network: { heardPackets: () => page.then(() => packets) } as unknown as Network,
    log: { log: (_level, _subsystem, text) => said.push(text) },
    ask: () => {
      said.push('asked')
      if (alive && packets !== undefined) packets++
    },
    unheard: () => said.push('unheard'),
    gone: () => {
      said.push('gone')
      probe.end(member.id)
    },
    silentInMs: () => silentInMs,
  })
})

async function advance(ms: number): Promise<void> {
  const endMs = clock.nowMs() + ms
  await settled()
  while (clock.step(endMs)) await settled()
  clock.jump(endMs - clock.nowMs())
}
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('the network stack of a silent member', () => {
  it('that sends nothing although it is asked is gone, and said to be unheard before', async () => {
    probe.begin(member)
    await advance(ANSWER_MS + 1)
    expect(said).toEqual(['asked', 'unheard'])
    await advance(UNHEARD_MS - ANSWER_MS + 1)
    expect(said).toEqual(['asked', 'unheard', 'gone'])
    expect(clock.pending()).toEqual([])
  })

  it('is not gone before the member is held to be silent', async () => {
    silentInMs = 3_000
    probe.begin(member)
    await advance(ANSWER_MS + 2_900)
    expect(said).not.toContain('gone')
    silentInMs = 0
    await advance(200)
    expect(said).toContain('gone')
  })

  it('and of whom nobody says that it is silent, is left alone', async () => {
    silentInMs = Number.POSITIVE_INFINITY
    probe.begin(member)
    await advance(60_000)
    expect(said).toEqual(['asked', 'unheard'])
  })

  it('that acknowledges what it is asked is there, and is asked ever less often', async () => {
    alive = true
    for (let i = 0; i < 600; i++) {
      probe.begin(member)
      await advance(1_000)
    }
    expect(new Set(said)).toEqual(new Set(['asked']))
    // 2, 4, 8, … s apart, then once a minute.
    expect(said.length).toBeLessThan(Math.log2(MAX_CALM_MS / CALM_MS) + 600_000 / MAX_CALM_MS + 4)
    alive = false
    await advance(MAX_CALM_MS)
    probe.begin(member)
    await advance(UNHEARD_MS + 1)
    expect(said.at(-1)).toBe('gone')
  })

  it('is not judged by what it acknowledged before the page had counted', async () => {
    alive = true
    const busy = Promise.withResolvers<void>()
    page = busy.promise
    probe.begin(member)
    await advance(5_000)
    expect(said).toEqual([]) // asked only after the count: what it acknowledges is not in it
    busy.resolve()
    await advance(UNHEARD_MS + 1)
    expect(said).toEqual(['asked'])
  })

  it('is not judged while this machine stood still', async () => {
    probe.begin(member)
    await advance(ANSWER_MS - 10)
    clock.jump(3_600_000)
    await advance(UNHEARD_MS + OWN_STALL_MS)
    expect(said).toEqual(['asked'])
  })

  it.each([ANSWER_MS, UNHEARD_MS])(
    'is not judged by a count that comes after this machine stood still, at %i',
    async (atMs) => {
      probe.begin(member)
      await advance(atMs - 10)
      const before = [...said]
      const late = Promise.withResolvers<void>()
      page = late.promise
      await advance(20)
      clock.jump(3_600_000)
      late.resolve()
      await settled()
      await advance(UNHEARD_MS)
      expect(said).toEqual(before)
    },
  )

  it('of which nothing is counted is not judged', async () => {
    packets = undefined
    probe.begin(member)
    await advance(60_000)
    expect(said).toEqual([])
  })

  it('is forgotten when the member is heard, and when this node closes', async () => {
    probe.begin(member)
    await advance(ANSWER_MS / 2)
    probe.end(member.id)
    await advance(60_000)
    probe.begin(member)
    await advance(ANSWER_MS / 2)
    probe.close()
    await advance(60_000)
    expect(said).toEqual(['asked', 'asked'])
    expect(clock.pending()).toEqual([])
  })
})
