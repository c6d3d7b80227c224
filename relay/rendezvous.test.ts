import { createHash } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { limits } from './limits.ts'
import { createLog } from './log.ts'
import { Metrics } from './metrics.ts'
import { Rendezvous } from './rendezvous.ts'
import { Cleanup, frame, get, type Heard, metric, rendezvous, startRelay, startTab, until } from './testing.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())

const dropped = (port: number, reason: string) =>
  metric(port, `brittlestar_rendezvous_dropped_total{reason="${reason}"}`)

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** As much of a libp2p stream as the rendezvous uses; one that does not read lets everything pile up. */
class StubStream extends EventTarget {
  writeBufferLength = 0
  aborted = false
  readonly #reads: boolean

  constructor({ reads }: { reads: boolean }) {
    super()
    this.#reads = reads
  }

  join(target: Rendezvous, peer: string, goodbye?: string): void {
    target.accept(this as unknown as Stream, { remotePeer: { toString: () => peer } } as unknown as Connection)
    this.dispatchEvent(
      Object.assign(new Event('message'), {
        data: frame({ v: 1, cluster: 'brittlestar', ...(goodbye && { goodbye: sha256(goodbye) }) }),
      }),
    )
  }

  send(bytes: Uint8Array): void {
    if (!this.#reads) this.writeBufferLength += bytes.byteLength
  }

  abort(): void {
    this.aborted = true
    this.dispatchEvent(new Event('close'))
  }

  async close(): Promise<void> {
    this.dispatchEvent(new Event('close'))
  }
}

describe('the rendezvous', () => {
  test('names the others to a newcomer and the newcomer to the others', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    await until(() => atA.events.length === 1, 'the first list')
    expect(atA.events).toEqual([{ t: 'peers', peers: [] }])
    const atB = await rendezvous(b, relay)
    await until(() => atB.events.length === 1 && atA.events.length === 2, 'both know')
    expect(atB.events).toEqual([{ t: 'peers', peers: [a.peerId.toString()] }])
    expect(atA.events[1]).toEqual({ t: 'joined', peer: b.peerId.toString() })
    expect(await metric(relay.port, 'brittlestar_rendezvous_members')).toBe(2)
  })

  test('tells the others at once when a tab closes its stream', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const atB = await rendezvous(b, relay)
    await until(() => atA.peers().size === 1, 'b has joined')
    await atB.stream.close()
    await until(() => atA.peers().size === 0, 'b has left')
    expect(atA.events.at(-1)).toEqual({ t: 'left', peer: b.peerId.toString() })
  })

  test('passes on the goodbye of a page, before and just after its tab’s connection closed, once', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const post = async (path: string) => (await get(`http://127.0.0.1:${relay.port}${path}`, { method: 'POST' })).status
    const leaves = () => atA.events.filter(({ t }) => t === 'left')
    const peer = b.peerId.toString()
    const secret = 'a-secret-of-the-page'
    const atB = await rendezvous(b, relay, frame({ v: 1, cluster: 'brittlestar', goodbye: sha256(secret) }))
    await until(() => atA.peers().size === 1, 'b has joined')
    for (const unknown of ['', 'another-secret-of-a-page', `${secret}x`, 'x'.repeat(5_000)])
      expect(await post(`/goodbye/${unknown}`)).toBe(404)
    expect(await post(`/goodbye/${secret}`)).toBe(204)
    await until(() => leaves().length === 1, 'a has heard it')
    expect(leaves()).toEqual([{ t: 'left', peer, said: secret }])
    expect(await post(`/goodbye/${secret}`)).toBe(404)
    await atB.stream.close()
    await until(() => leaves().length === 2, 'b has left')
    expect(leaves()[1]).toEqual({ t: 'left', peer })
    const again = await rendezvous(b, relay, frame({ v: 1, cluster: 'brittlestar', goodbye: sha256(`${secret}-2`) }))
    await until(() => again.events.length === 1, 'b is back')
    await again.stream.close()
    await until(() => leaves().length === 3, 'b has left again')
    expect(await post(`/goodbye/${secret}-2`)).toBe(204)
    await until(() => leaves().length === 4, 'a has heard that too')
    expect(leaves()[3]).toEqual({ t: 'left', peer, said: `${secret}-2` })
  })

  test('takes no goodbye for a tab that has come back with another page', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const hello = (secret: string) => frame({ v: 1, cluster: 'brittlestar', goodbye: sha256(secret) })
    const before = await rendezvous(b, relay, hello('of-the-page-before'))
    await until(() => atA.peers().size === 1, 'b has joined')
    await before.stream.close()
    await until(() => atA.peers().size === 0, 'b has left')
    await rendezvous(b, relay, hello('of-the-page-it-has'))
    await until(() => atA.peers().size === 1, 'b is back')
    const { status } = await get(`http://127.0.0.1:${relay.port}/goodbye/of-the-page-before`, { method: 'POST' })
    expect(status).toBe(404)
    // A page that comes while the connection of the one before it still seems to be open has joined, too.
    await rendezvous(b, relay, hello('of-the-third-page-of-b'))
    await until(() => atA.count('joined') === 3, 'it is told')
  })

  test('takes no secret that another uses, and no hash that is none', async () => {
    const relay = await startRelay(cleanup)
    const [a, b, c] = [await startTab(cleanup), await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const post = async (secret: string) =>
      (await get(`http://127.0.0.1:${relay.port}/goodbye/${secret}`, { method: 'POST' })).status
    const hello = frame({ v: 1, cluster: 'brittlestar', goodbye: sha256('the-same-secret-of-two') })
    const atB = await rendezvous(b, relay, hello)
    await rendezvous(c, relay, hello)
    await until(() => atA.peers().size === 2, 'both have joined')
    expect(await post('the-same-secret-of-two')).toBe(204)
    await until(() => atA.peers().size === 1, 'one has left')
    expect([...atA.peers()]).toEqual([c.peerId.toString()])
    await atB.stream.close()
    const short = await rendezvous(b, relay, frame({ v: 1, cluster: 'brittlestar', goodbye: 'short' }))
    await until(() => short.closed, 'what is no hash is refused')
  })

  test('forgets the secret of a tab some time after it left', () => {
    vi.useFakeTimers()
    cleanup.add(() => vi.useRealTimers())
    const target = new Rendezvous({ cluster: 'brittlestar', limits, log: createLog('error'), metrics: new Metrics() })
    const leave = (secret: string) => {
      const stream = new StubStream({ reads: true })
      stream.join(target, secret, secret)
      void stream.close()
    }
    leave('heard-in-good-time')
    leave('heard-far-too-late')
    vi.advanceTimersByTime(limits.rendezvousGoodbyeMs - 1)
    expect(target.goodbye('heard-in-good-time')).toBe(true)
    vi.advanceTimersByTime(1)
    expect(target.goodbye('heard-far-too-late')).toBe(false)
  })

  test('tells the others within a second when a tab’s connection drops', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    await rendezvous(b, relay)
    await until(() => atA.peers().size === 1, 'b has joined')
    for (const connection of b.getConnections()) connection.abort(new Error('the tab was killed'))
    await until(() => atA.peers().size === 0, 'b has left', 1_000)
  })

  test('replaces the first stream of a peer by its second, and nobody is told that it left', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const first = await rendezvous(b, relay)
    await until(() => atA.peers().size === 1 && first.events.length === 1, 'b has joined')
    const second = await rendezvous(b, relay)
    await until(() => first.closed && second.events.length === 1, 'the first stream is closed')
    expect(second.events).toEqual([{ t: 'peers', peers: [a.peerId.toString()] }])
    // Something that is told after the replacement: nothing about b comes before it.
    const c = await startTab(cleanup)
    await rendezvous(c, relay)
    await until(() => atA.peers().has(c.peerId.toString()), 'c has joined')
    expect(atA.count('left')).toBe(0)
    expect(atA.count('joined')).toBe(2)
  })

  const bad = [
    ['another version', frame({ v: 2, cluster: 'brittlestar' })],
    ['another cluster', frame({ v: 1, cluster: 'other' })],
    ['no object', frame('hello')],
    ['no CBOR', Buffer.from([0, 0, 0, 2, 0xff, 0xff])],
    ['a frame over 64 KiB', Buffer.from([0, 1, 0, 1])],
    ['two frames at once', Buffer.concat([frame({ v: 1, cluster: 'brittlestar' }), frame({})])],
  ] as const
  test.each(bad)('drops a tab whose first frame is %s, and others do not notice', async (_what, first) => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const atA = await rendezvous(a, relay)
    const atB = await rendezvous(b, relay, first)
    await until(() => atB.closed, 'b is dropped')
    expect(await dropped(relay.port, 'bad-hello')).toBe(1)
    expect(await metric(relay.port, 'brittlestar_rendezvous_members')).toBe(1)
    expect(atA.count('joined')).toBe(0)
  })

  test('drops a tab that says nothing, and one that says too much', async () => {
    const relay = await startRelay(cleanup, { limits: { rendezvousHelloMs: 100 } })
    const tab = await startTab(cleanup)
    const silent = await rendezvous(tab, relay, frame({}).subarray(0, 2))
    await until(() => silent.closed, 'the silent stream is dropped')
    expect(await dropped(relay.port, 'silent')).toBe(1)
    const talkative = await rendezvous(tab, relay)
    await until(() => talkative.events.length === 1, 'it is a member')
    talkative.stream.send(frame({ more: true }))
    await until(() => talkative.closed, 'the talkative stream is dropped')
    expect(await dropped(relay.port, 'talkative')).toBe(1)
  })

  test('accepts a first frame that arrives in pieces', async () => {
    const relay = await startRelay(cleanup)
    const tab = await startTab(cleanup)
    const hello = frame({ v: 1, cluster: 'brittlestar' })
    const heard = await rendezvous(tab, relay, hello.subarray(0, 3))
    for (const byte of hello.subarray(3)) heard.stream.send(Buffer.from([byte]))
    await until(() => heard.events.length === 1, 'it is a member')
  })

  test('drops a member that does not read what it is told, and keeps the others', async () => {
    const backlog = 4_096
    const rendezvous = new Rendezvous({
      cluster: 'brittlestar',
      limits: { ...limits, rendezvousTickMs: 1, rendezvousBacklogBytes: backlog },
      log: createLog('error'),
      metrics: new Metrics(),
    })
    cleanup.add(() => rendezvous.close())
    const slow = new StubStream({ reads: false })
    const quick = new StubStream({ reads: true })
    slow.join(rendezvous, 'slow')
    quick.join(rendezvous, 'quick')
    for (let i = 0; !slow.aborted; i++) {
      new StubStream({ reads: true }).join(rendezvous, `visitor ${i}`)
      await new Promise((resolve) => setTimeout(resolve, 1))
      expect(i).toBeLessThan(backlog / 10)
    }
    expect(slow.writeBufferLength).toBeLessThan(backlog * 1.5)
    expect(quick.aborted).toBe(false)
  })

  test('serves 100 tabs that join from one address together', async () => {
    const relay = await startRelay(cleanup)
    const tabs = await Promise.all(Array.from({ length: 100 }, () => startTab(cleanup)))
    const heard: Heard[] = await Promise.all(tabs.map((tab) => rendezvous(tab, relay)))
    await until(() => heard.every((tab) => tab.peers().size >= 64), 'everybody knows 64 others', 60_000)
    // Everybody who was there before is told of everybody who came later: joins make 4,950 pairs.
    await until(() => heard.reduce((sum, tab) => sum + tab.count('joined'), 0) === 4_950, 'all pairs are told', 60_000)
    expect(await metric(relay.port, 'brittlestar_connections')).toBe(100)
  }, 180_000)

  test('a newcomer hears of no more members than the limit', async () => {
    const relay = await startRelay(cleanup, { limits: { rendezvousPeers: 3 } })
    const tabs = await Promise.all(Array.from({ length: 6 }, () => startTab(cleanup)))
    for (const tab of tabs.slice(0, 5)) {
      const heard = await rendezvous(tab, relay)
      await until(() => heard.events.length > 0, 'joined')
    }
    const last = await rendezvous(tabs[5] ?? (await startTab(cleanup)), relay)
    await until(() => last.events.length > 0, 'joined')
    expect(last.peers().size).toBe(3)
  })

  test('closes its streams when the relay stops', async () => {
    const relay = await startRelay(cleanup)
    const tab = await startTab(cleanup)
    const heard = await rendezvous(tab, relay)
    await until(() => heard.events.length === 1, 'joined')
    await relay.close()
    await until(() => heard.closed, 'the stream is closed')
  })
})
