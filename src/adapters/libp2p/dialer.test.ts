// The dialer's promises against a libp2p that the test controls; with the real one: network.test.ts.
import type { Connection, Stream } from '@libp2p/interface'
import { describe, expect, test, vi } from 'vitest'
import type { NodeId } from '../../base/ids.ts'
import { Dialer } from './dialer.ts'
import { MAX_DIALS } from './limits.ts'

const self = 'M' as NodeId
const peers = (count: number): NodeId[] => Array.from({ length: count }, (_, i) => `P${i}` as NodeId)

interface Dial {
  peer: NodeId
  signal: AbortSignal
  succeed(): void
  fail(error: Error): void
}

function makeDialer() {
  const direct = new Set<NodeId>()
  const dials: Dial[] = []
  const dial = (addresses: unknown, { signal }: { signal: AbortSignal }): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const [peer] = addresses as [NodeId]
      signal.addEventListener('abort', () => reject(new Error('aborted')))
      const succeed = (): void => {
        connect(peer)
        resolve(undefined)
      }
      dials.push({ peer, signal, succeed, fail: reject })
    })
  const dialer = new Dialer({
    self,
    node: { dial } as unknown as ConstructorParameters<typeof Dialer>[0]['node'],
    isDirect: (peer) => direct.has(peer),
    addresses: async (peer) => [peer] as never,
  })
  const connect = (peer: NodeId): void => {
    direct.add(peer)
    dialer.connected(peer)
  }
  const signalled = (peer: NodeId): boolean => {
    const connection = { remotePeer: { toString: () => peer } } as unknown as Connection
    return dialer.signalled(connection, new EventTarget() as unknown as Stream)
  }
  return { dialer, dials, connect, signalled }
}

const never = { signal: new AbortController().signal }

describe('the dialer', () => {
  test('dials a peer once for all who ask, and not at all when it is connected', async () => {
    const { dialer, dials } = makeDialer()
    const peer = 'A' as NodeId
    const asked = [dialer.connect(peer, never), dialer.connect(peer, never)]
    await vi.waitFor(() => expect(dials).toHaveLength(1))
    expect(dialer.isDialling(peer)).toBe(true)
    dials[0]?.succeed()
    await Promise.all(asked)
    await dialer.connect(peer, never)
    expect(dials).toHaveLength(1)
    expect(dialer.isDialling(peer)).toBe(false)
  })

  test('has a bounded number of dials at once; one that ends or is cancelled makes room', async () => {
    const { dialer, dials } = makeDialer()
    const give = new AbortController()
    const all = peers(MAX_DIALS + 3)
    const asked = all.map((peer, i) => dialer.connect(peer, i === MAX_DIALS ? give : never))
    await vi.waitFor(() => expect(dials).toHaveLength(MAX_DIALS))
    give.abort()
    await expect(asked[MAX_DIALS]).rejects.toMatchObject({ code: 'ECANCELED' })
    expect(dials).toHaveLength(MAX_DIALS)
    dials[0]?.succeed()
    await vi.waitFor(() => expect(dials).toHaveLength(MAX_DIALS + 1))
    expect(dials.at(-1)?.peer).toBe(all[MAX_DIALS + 1])
    dials[1]?.fail(new Error('no answer'))
    await expect(asked[1]).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
    await vi.waitFor(() => expect(dials).toHaveLength(MAX_DIALS + 2))
  })

  test('goes on for others when one who asked gives up, and stops when all have', async () => {
    const { dialer, dials } = makeDialer()
    const [one, two] = [new AbortController(), new AbortController()]
    const asked = [dialer.connect('A' as NodeId, one), dialer.connect('A' as NodeId, two)]
    await vi.waitFor(() => expect(dials).toHaveLength(1))
    one.abort()
    await expect(asked[0]).rejects.toMatchObject({ code: 'ECANCELED' })
    expect(dials[0]?.signal.aborted).toBe(false)
    two.abort()
    await expect(asked[1]).rejects.toMatchObject({ code: 'ECANCELED' })
    expect(dials[0]?.signal.aborted).toBe(true)
  })

  test('refuses to be dialled by a larger id that it is dialling', async () => {
    const { dialer, dials, signalled } = makeDialer()
    const larger = 'Z' as NodeId
    const asked = dialer.connect(larger, never)
    await vi.waitFor(() => expect(dials).toHaveLength(1))
    expect(signalled(larger)).toBe(false)
    dials[0]?.succeed()
    await asked
    expect(signalled(larger)).toBe(true)
  })

  test('gives up its own dial when a smaller id dials, and waits for that connection', async () => {
    const { dialer, dials, connect, signalled } = makeDialer()
    const smaller = 'A' as NodeId
    const asked = dialer.connect(smaller, never)
    await vi.waitFor(() => expect(dials).toHaveLength(1))
    expect(signalled(smaller)).toBe(true)
    expect(dials[0]?.signal.aborted).toBe(true)
    connect(smaller)
    await asked
    expect(dials).toHaveLength(1)
  })

  test('does not dial a peer that is dialling it already', async () => {
    const { dialer, dials, connect, signalled } = makeDialer()
    const peer = 'Z' as NodeId
    expect(signalled(peer)).toBe(true)
    const asked = dialer.connect(peer, never)
    setTimeout(() => connect(peer))
    await asked
    expect(dials).toHaveLength(0)
  })
})
