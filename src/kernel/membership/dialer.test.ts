import { beforeEach, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../adapters/memory/random.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Network } from '../../ports/network.ts'
import { nodeId, TestLog, Ticker } from '../harness.contract.ts'
import { MAX_CANDIDATES, MAX_DIALS, RECONNECT_GRACE_MS, REDIAL_MAX_MS } from '../limits.ts'
import { Dialer } from './dialer.ts'

let ticker: Ticker
let dials: { peer: NodeId; atMs: number }[]
let under: number
let most: number
let linked: Set<NodeId>
let disconnects: NodeId[]
/** What becomes of a dial: fails at once by default. */
let outcome: (peer: NodeId) => Promise<void>
let dialer: Dialer
const self = nodeId('m')
const near = nodeId('z') // larger than self: it is ours to dial

beforeEach(() => {
  ticker = new Ticker()
  dials = []
  disconnects = []
  under = most = 0
  linked = new Set()
  outcome = async () => {
    throw new OsError('EHOSTUNREACH', 'nobody there')
  }
  const network = {
    self,
    disconnect: (peer: NodeId) => disconnects.push(peer),
    connect: async (peer: NodeId) => {
      dials.push({ peer, atMs: ticker.clock.nowMs() })
      most = Math.max(most, ++under)
      try {
        await outcome(peer)
      } finally {
        under--
      }
    },
  } as unknown as Network
  const { clock } = ticker
  dialer = new Dialer({
    network,
    clock,
    random: new SeededRandom(1),
    log: new TestLog(),
    isLinked: (id) => linked.has(id),
  })
})
const slow = (ms: number) => () => new Promise<void>((resolve) => ticker.clock.setTimer(resolve, ms, 'dial'))
const succeeds = async (peer: NodeId) => {
  linked.add(peer)
}

describe('the dialer', () => {
  it('dials a suggested peer once, at once if ours is the smaller id, else after a polite while', async () => {
    outcome = succeeds
    dialer.suggest(near)
    dialer.suggest(nodeId('a'))
    dialer.suggest(near)
    dialer.suggest(self)
    await ticker.advance(100)
    expect(dials.map(({ peer }) => peer)).toEqual([near])
    await ticker.advance(60_000)
    expect(dials.map(({ peer }) => peer)).toEqual([near, nodeId('a')])
    expect(dials[1]?.atMs).toBeGreaterThanOrEqual(2_500)
  })

  it('backs off from a peer that does not answer, and gives it up', async () => {
    dialer.suggest(near)
    await ticker.advance(3_600_000)
    expect(dials.length).toBe(20)
    const gaps = dials.slice(1).map(({ atMs }, i) => atMs - (dials[i]?.atMs ?? 0))
    expect(
      gaps.every(
        (gap, i) =>
          gap >= Math.min(REDIAL_MAX_MS, 1_000 * 2 ** i) / 2 && gap <= Math.min(REDIAL_MAX_MS, 1_000 * 2 ** i) * 1.5,
      ),
    ).toBe(true)
    expect(ticker.clock.pending()).toEqual([])
  })

  it('still tries, once a minute or so, ten minutes later', async () => {
    dialer.suggest(near)
    await ticker.advance(10 * 60_000)
    const before = dials.length
    await ticker.advance(2 * REDIAL_MAX_MS)
    expect(dials.length).toBeGreaterThan(before)
  })

  it('tries a given-up peer once more for each mention of it', async () => {
    dialer.suggest(near)
    await ticker.advance(3_600_000)
    dialer.suggest(near)
    await ticker.advance(3_600_000)
    expect(dials.length).toBe(21)
  })

  it(`never has more than ${MAX_DIALS} dials under way, and gets through all`, async () => {
    outcome = slow(100)
    for (let i = 0; i < 30; i++) dialer.suggest(nodeId(`z${i}`))
    await ticker.until(() => new Set(dials.map(({ peer }) => peer)).size === 30)
    expect(most).toBe(MAX_DIALS)
  })

  it('redials a broken link at once and often while its peer may come back, whoever is smaller', async () => {
    dialer.retryNow(nodeId('a'))
    await ticker.advance(RECONNECT_GRACE_MS)
    expect(dials[0]?.atMs).toBe(0)
    expect(dials.length).toBeGreaterThanOrEqual(4)
    expect(dials.length).toBeLessThanOrEqual(13)
    await ticker.advance(3_600_000)
    expect(dials.length).toBeLessThanOrEqual(13 + 20)
  })

  it('can redial after a link broke during an earlier dial', async () => {
    outcome = slow(1_000)
    dialer.suggest(near)
    await ticker.advance(100)
    dialer.retryNow(near)
    await ticker.advance(30_000)
    expect(dials.length).toBeGreaterThan(1)
  })

  it('begins anew with a peer whose connection never became a link', async () => {
    outcome = slow(100)
    dialer.suggest(near)
    await ticker.advance(40_000)
    expect(dials.length).toBe(3)
    expect(disconnects).toEqual([near, near])
    expect((dials[1]?.atMs ?? 0) - (dials[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(15_000) // lanes may take so long
  })

  it('makes one dial for all who need a peer now, and tells them all how it went', async () => {
    outcome = slow(100)
    dialer.suggest(near)
    await ticker.advance(10)
    const all = Promise.all([
      dialer.dialNow(near),
      dialer.dialNow(near),
      dialer.dialNow(nodeId('b')),
      dialer.dialNow(nodeId('b')),
    ])
    await ticker.run(all)
    expect(dials.map(({ peer }) => peer)).toEqual([near, nodeId('b')])
    outcome = async () => {
      throw new OsError('EHOSTUNREACH', 'no')
    }
    await expect(dialer.dialNow(nodeId('c'))).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
  })

  it('does not keep dialling a peer that only a service needed once', async () => {
    await dialer.dialNow(nodeId('c')).catch(() => undefined)
    await ticker.advance(600_000)
    expect(dials.length).toBe(1)
    expect(dialer.known()).toEqual([])
  })

  it('forgets, wakes and closes', async () => {
    dialer.suggest(near)
    await ticker.advance(3_600_000)
    dialer.wake()
    await ticker.advance(1_000)
    expect(dials.length).toBeGreaterThan(6)
    dialer.forget(near)
    const before = dials.length
    await ticker.advance(600_000)
    expect(dials.length).toBe(before)
    dialer.suggest(nodeId('y'))
    dialer.close()
    await ticker.advance(600_000)
    expect(dials.length).toBe(before)
  })

  it(`remembers at most ${MAX_CANDIDATES} candidates, of which linked ones stay`, async () => {
    linked.add(near)
    dialer.suggest(near)
    for (let i = 0; i < MAX_CANDIDATES + 50; i++) dialer.suggest(nodeId(`y${i}`))
    expect(dialer.known().length).toBe(MAX_CANDIDATES)
    expect(dialer.known()).toContain(near)
  })

  it('reaches real neighbours although hundreds of dead ones are suggested', async () => {
    outcome = async (peer) => {
      if (!peer.includes('real')) throw new OsError('EHOSTUNREACH', 'dead')
      linked.add(peer)
    }
    for (let i = 0; i < 300; i++) dialer.suggest(nodeId(`dead${i}`))
    for (let i = 0; i < 10; i++) dialer.suggest(nodeId(`real${i}`))
    await ticker.advance(3_600_000)
    expect(linked.size).toBe(10)
  })
})
