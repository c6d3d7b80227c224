// The real thing: tabs of one Chromium, their networks in workers, a relay process. Contracts run inside a worker.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dhtContract } from '../../ports/dht.contract.ts'
import { networkContract } from '../../ports/network.contract.ts'
import { type DrivenTab, type Mode, Testbed, until } from './testbed.contract.ts'

const MIB = 1024 * 1024
let bed: Testbed
/** What the browser itself reports when a relay is gone. */
let expectedComplaints: RegExp | undefined

beforeAll(async () => {
  bed = await Testbed.start()
}, 60_000)
afterAll(() => bed?.close())
afterEach(async () => {
  const complaints = await bed.clear()
  const unexpected = complaints.filter((text) => !expectedComplaints?.test(text))
  expectedComplaints = undefined
  expect(unexpected).toEqual([])
})

const never = () => Promise.reject(new Error('runs in the browser only'))

async function relayInfo(): Promise<unknown> {
  return (await fetch(new URL('/relay.json', bed.relay.url))).json()
}

describe.each<{ how: string; mode: Mode }>([
  { how: 'transferred channels', mode: '' },
  { how: 'forwarded messages', mode: 'forward' },
  { how: 'bulk streams through libp2p', mode: 'plain' },
])('libp2p in a worker, with $how, keeps the network contract', ({ mode }) => {
  let tab: DrivenTab
  beforeAll(async () => {
    tab = await bed.tab({ mode, kept: true })
  }, 60_000)
  afterAll(() => bed.clear({ kept: true }))

  test.each(networkContract(never))('$name', { timeout: 60_000 }, async ({ name }) => {
    await tab.run('networkContract', await relayInfo(), name)
    await until(async () => (await tab.connections()) === 0, 'no RTCPeerConnection is left')
  })
})

describe('libp2p in a worker keeps the DHT contract', () => {
  test.each(dhtContract(never))('$name', { timeout: 60_000 }, async ({ name }) => {
    const tab = await bed.tab()
    await tab.run('dhtContract', await relayInfo(), name)
  })
})

describe('two tabs', () => {
  test('end up with one direct connection and without the relayed one that led to it', async () => {
    const [a, b] = await bed.pair()
    expect(await a.connections()).toBe(1)
    expect(await b.connections()).toBe(1)
    await until(async () => (await bed.relay.metric('brittlestar_circuits')) === 0, 'the circuit is closed')
    expect((await a.run<number[]>('rtt', b.id, 5)).length).toBe(5)
  })

  test('that dial each other at the same moment, ten times, use one connection each time', async () => {
    const [a, b] = await bed.pair()
    for (let round = 1; round <= 10; round++) {
      await a.run('disconnect', b.id)
      await until(async () => (await b.count('disconnected', a.id)) === round, 'b hears of it')
      await Promise.all([a.run('connect', b.id), b.run('connect', a.id)])
      await until(async () => (await a.connections()) === 1 && (await b.connections()) === 1, 'one connection is left')
      expect((await a.run<number[]>('rtt', b.id, 1)).length).toBe(1)
    }
    expect(await a.count('connected', b.id)).toBe(11)
    expect(await b.count('connected', a.id)).toBe(11)
  })

  test('move 64 MiB over a bulk stream', { timeout: 60_000 }, async () => {
    const [a, b] = await bed.pair()
    await a.run('bulk', b.id, 64 * MIB, MIB)
    await a.run('bulk', b.id, MIB, 1000)
  })

  test('do not notice on an open stream that the page of one is busy for 5 seconds', { timeout: 60_000 }, async () => {
    const [a, busy] = await bed.pair()
    const idle = await bed.tab()
    await a.found(idle)
    await a.run('connect', idle.id)
    const took: { busy: number[]; idle: number[] } = { busy: [], idle: [] }
    const blocked = busy.block(5_000)
    while (took.busy.length < 400) {
      const both = [busy, idle].map(({ id }) => a.run<number[]>('rtt', id, 50, 10))
      const [ofBusy, ofIdle] = await Promise.all(both)
      took.busy.push(...(ofBusy ?? []))
      took.idle.push(...(ofIdle ?? []))
    }
    await blocked
    const p99 = (values: number[]): number =>
      values.sort((x, y) => x - y)[Math.floor(values.length * 0.99)] ?? Number.NaN
    // On a machine with other work everybody waits: a tab with an idle page, asked at the same time, is the measure.
    expect(p99(took.busy)).toBeLessThanOrEqual(Math.max(50, 3 * p99(took.idle)))
    expect((await a.events()).some((event) => event.type === 'reachable')).toBe(false)
  })

  test('hear that the other one navigated away', async () => {
    const [a, b] = await bed.pair()
    await b.page.goto('about:blank')
    await until(async () => (await a.count('disconnected', b.id)) === 1, 'a hears of it')
  })

  test('hear first from the relay, then from ICE, that the other one was killed', {
    timeout: 60_000,
  }, async () => {
    const a = await bed.tab()
    const before = await bed.renderers()
    const b = await bed.tab()
    const renderers = (await bed.renderers()).filter((pid) => !before.includes(pid))
    await a.found(b)
    await a.run('connect', b.id)
    const at = Date.now()
    for (const pid of renderers) process.kill(pid, 'SIGKILL')
    await until(async () => (await a.count('reachable', b.id)) === 1, 'ICE hears nothing')
    const events = (await a.events()).filter((event) => event.at >= at)
    const evidence = events.map(({ type }) => type).filter((type) => type === 'hint-gone' || type === 'reachable')
    expect(evidence.slice(0, 2)).toEqual(['hint-gone', 'reachable'])
  })

  test('of which one reloads with its identity are connected anew', { timeout: 60_000 }, async () => {
    const [a, b] = await bed.pair()
    const [privateKey, id] = [await b.run<number[]>('privateKey'), b.id]
    await b.page.goto('about:blank')
    await b.init(bed.relay.url, privateKey)
    expect(b.id).toBe(id)
    await b.found(a)
    await b.run('connect', a.id)
    await until(async () => (await a.count('connected', b.id)) === 2, 'a hears of it')
    expect((await a.run<number[]>('rtt', b.id, 5)).length).toBe(5)
    await until(async () => (await a.connections()) === 1, 'the old connection is gone')
  })
})

describe('a relay that is killed', () => {
  const relayStates = async (tab: DrivenTab): Promise<string[]> =>
    (await tab.events()).flatMap((event) => (event.type === 'relay' ? [event.state] : []))

  test('is not missed by those who are connected, and found when it returns', {
    timeout: 90_000,
  }, async () => {
    expectedComplaints = /WebSocket connection to .* failed/
    const [a, b] = await bed.pair()
    await bed.relay.kill()
    await until(async () => (await relayStates(a)).at(-1) === 'offline', 'a knows')
    await until(async () => (await relayStates(b)).at(-1) === 'offline', 'b knows')
    expect((await a.run<number[]>('rtt', b.id, 20)).length).toBe(20)
    expect(await a.count('disconnected', b.id)).toBe(0)
    await bed.relay.start()
    for (const each of [a, b])
      await until(async () => (await relayStates(each)).at(-1) === 'connected', 'it has found the relay')
    // Others can reach them through the new relay: their places there are back, too.
    const c = await bed.tab()
    await c.found(a)
    await c.run('connect', a.id)
    await c.run('connect', b.id)
  })

  test('costs a tab alone nothing but the news', { timeout: 60_000 }, async () => {
    expectedComplaints = /WebSocket connection to .* failed/
    const a = await bed.tab()
    await until(async () => (await relayStates(a)).at(-1) === 'connected', 'it is connected')
    await bed.relay.kill()
    await until(async () => (await relayStates(a)).at(-1) === 'offline', 'a knows')
    expect(await a.run('put', '/bs-peer/alone', 'kept')).toBe(0)
    expect(await a.run('get', '/bs-peer/alone')).toBe('kept')
    await bed.relay.start()
    await a.run('wake')
    await until(async () => (await relayStates(a)).at(-1) === 'connected', 'it has found the relay')
  })
})

describe('the directory of four tabs', () => {
  test('answers when one of them was just killed', { timeout: 150_000 }, async () => {
    const tabs = [await bed.tab(), await bed.tab(), await bed.tab()]
    const before = await bed.renderers()
    const victim = await bed.tab()
    const renderers = (await bed.renderers()).filter((pid) => !before.includes(pid))
    const all = [...tabs, victim]
    for (const [i, each] of all.entries()) {
      for (const other of all.slice(i + 1)) {
        await each.found(other)
        await each.run('connect', other.id)
      }
    }
    await until(
      async () => Math.min(...(await Promise.all(all.map((each) => each.run<number>('dhtPeers'))))) >= 4,
      'tables',
      60_000, // six connections and four tables, beside other tests
    )
    for (let i = 0; i < 20; i++)
      expect(await tabs[0]?.run('put', `/bs-peer/record-${i}`, `${i}`)).toBeGreaterThanOrEqual(3)
    for (const pid of renderers) process.kill(pid, 'SIGKILL')
    for (let i = 0; i < 20; i++) {
      expect(await tabs[1 + (i % 2)]?.run('get', `/bs-peer/record-${i}`)).toBe(`${i}`)
    }
    // Nobody holds this one: all must be asked, also the one that is dead.
    expect(await tabs[1]?.run('get', '/bs-peer/nobody')).toBeUndefined()
  })
})
