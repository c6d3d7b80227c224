import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Libp2p, Stream } from '@libp2p/interface'
import { afterEach, describe, expect, test } from 'vitest'
import { FrameReader, framed } from '../src/base/frames.ts'
import {
  decodeWitnessFrame,
  encodeWitnessFrame,
  type RaftMessage,
  type WitnessFrame,
} from '../src/kernel/journal/raft/messages.ts'
import type { WitnessState } from '../src/kernel/journal/raft/witness.ts'
import { Cleanup, metric, relayAddress, startRelay, startTab, until, type Where } from './testing.ts'
import { witnessProtocol } from './witness.ts'
import { WitnessStore } from './witness-store.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())

const GROUP = 'process/K-1'
const vote = (term: number, lastIndex = 5): RaftMessage => {
  return { t: 'vote', term, pre: false, transfer: false, lastIndex, lastTerm: 1 }
}

/** A tab's stream to the witness. */
class Teller {
  readonly heard: WitnessFrame[] = []
  readonly stream: Stream
  closed = false

  private constructor(stream: Stream) {
    this.stream = stream
    const reader = new FrameReader(10_000)
    stream.addEventListener('message', ({ data }) => {
      this.heard.push(...reader.push(data.subarray()).map(decodeWitnessFrame))
    })
    stream.addEventListener('close', () => {
      this.closed = true
    })
  }

  static async open(tab: Libp2p, relay: Where): Promise<Teller> {
    return new Teller(await tab.dialProtocol(relayAddress(relay), witnessProtocol))
  }

  async ask(message: RaftMessage, group = GROUP): Promise<RaftMessage> {
    const count = this.heard.length
    this.stream.send(framed(encodeWitnessFrame({ group, message })))
    await until(() => this.heard.length > count, 'an answer')
    const answer = this.heard[count] as WitnessFrame
    if (!('message' in answer)) throw new Error('no message')
    return answer.message
  }
}

describe('the witness', () => {
  test('votes once in a term, also after the relay was started anew', async () => {
    const folder = cleanup.folder()
    const relay = await startRelay(cleanup, { flags: ['--data', folder] })
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const asked = await Teller.open(a, relay)
    expect(await asked.ask(vote(2))).toMatchObject({ t: 'voted', granted: true })
    expect(await metric(relay.port, 'brittlestar_witnessed_journals')).toBe(1)
    await relay.close()
    const again = await startRelay(cleanup, { flags: ['--data', folder] })
    expect(again.peerId).toBe(relay.peerId)
    const other = await Teller.open(b, again)
    expect(await other.ask(vote(2))).toMatchObject({ t: 'voted', granted: false })
    expect(await other.ask(vote(3))).toMatchObject({ t: 'voted', granted: true })
  })

  test('prefers nobody who knows less than it has heard', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await startTab(cleanup), await startTab(cleanup)]
    const leader = await Teller.open(a, relay)
    const told: RaftMessage = { t: 'witness', term: 4, index: 9, lastTerm: 4, round: 1 }
    expect(await leader.ask(told)).toEqual({ t: 'appended', term: 4, ok: true, index: 9, round: 1 })
    await a.stop()
    await until(async () => (await metric(relay.port, 'brittlestar_peers')) === 0, 'the leader is gone')
    const other = await Teller.open(b, relay)
    await until(async () => {
      const answer = await other.ask({ t: 'vote', term: 6, pre: true, transfer: false, lastIndex: 9, lastTerm: 4 })
      return answer.t === 'voted' && answer.granted
    }, 'one that knows all')
    expect(await other.ask({ t: 'vote', term: 6, pre: false, transfer: false, lastIndex: 8, lastTerm: 4 })).toMatchObject({ granted: false }) // biome-ignore format: one line
  })

  test('forgets a journal that has ended', async () => {
    const relay = await startRelay(cleanup)
    const teller = await Teller.open(await startTab(cleanup), relay)
    await teller.ask(vote(2))
    teller.stream.send(framed(encodeWitnessFrame({ group: GROUP, retired: true })))
    await until(async () => (await metric(relay.port, 'brittlestar_witnessed_journals')) === 0, 'it is forgotten')
  })

  test.each([
    ['garbage', framed(new Uint8Array([0xff, 1, 2]))],
    ['a frame that is too large', new Uint8Array([0xff, 0xff, 0xff, 0xff])],
    ['a name that is none', framed(encodeWitnessFrame({ group: '../x', message: vote(1) }))],
  ])('drops a tab that sends %s, and answers the others', async (_what, bytes) => {
    const relay = await startRelay(cleanup)
    const hostile = await Teller.open(await startTab(cleanup), relay)
    hostile.stream.send(bytes)
    await until(() => hostile.closed, 'it is dropped')
    expect(await metric(relay.port, 'brittlestar_witness_dropped_total')).toBe(1)
    const fine = await Teller.open(await startTab(cleanup), relay)
    expect(await fine.ask(vote(1))).toMatchObject({ granted: true })
  })

  test('forgets what counts on it no longer when others need the room, and nothing else', async () => {
    const relay = await startRelay(cleanup, { limits: { witnessedJournals: 2 } })
    const teller = await Teller.open(await startTab(cleanup), relay)
    const tell = (group: string, message: RaftMessage) =>
      teller.stream.send(framed(encodeWitnessFrame({ group, message })))
    await teller.ask(vote(2), 'process/K-1')
    await teller.ask(vote(2), 'process/K-2')
    tell('process/K-1', { t: 'released', term: 2 })
    expect(await teller.ask(vote(2, 9), 'process/K-1')).toMatchObject({ granted: true }) // it is remembered
    expect(await teller.ask(vote(2), 'process/K-3')).toMatchObject({ granted: true })
    expect(await metric(relay.port, 'brittlestar_witnessed_journals')).toBe(2)
    // The one that counts on it again is not forgotten.
    tell('process/K-2', { t: 'released', term: 2 })
    await teller.ask({ t: 'witness', term: 2, index: 9, lastTerm: 2, round: 1 }, 'process/K-2')
    const count = teller.heard.length
    tell('process/K-4', vote(1))
    expect(await teller.ask(vote(1), 'process/K-3')).toMatchObject({ granted: false })
    expect(teller.heard).toHaveLength(count + 1)
  })

  test('takes no more journals than it may, and goes on with those that it knows', async () => {
    const relay = await startRelay(cleanup, { limits: { witnessedJournals: 1 } })
    const teller = await Teller.open(await startTab(cleanup), relay)
    await teller.ask(vote(1))
    teller.stream.send(framed(encodeWitnessFrame({ group: 'process/K-2', message: vote(1) })))
    expect(await teller.ask(vote(2))).toMatchObject({ granted: true })
    expect(teller.heard).toHaveLength(2)
  })
})

test('a relay that has lost what it promised takes a new identity', async () => {
  const folder = cleanup.folder()
  const flags = ['--data', folder]
  const first = await startRelay(cleanup, { flags })
  await first.close()
  rmSync(join(folder, 'witness.log'))
  const second = await startRelay(cleanup, { flags })
  expect(second.peerId).not.toBe(first.peerId)
  await second.close()
  expect((await startRelay(cleanup, { flags })).peerId).toBe(second.peerId)
})

describe('what the witness remembers', () => {
  const state = (term: number): WitnessState => ({ term, vote: null, index: 0, lastTerm: 0 })

  test('is on disk, the last of each journal counts, and the file does not grow for ever', async () => {
    const folder = cleanup.folder()
    const store = await WitnessStore.open(folder, 'us')
    await Promise.all(Array.from({ length: 3_000 }, (_, i) => store.put(`process/K-${i % 3}`, state(i))))
    await store.forget('process/K-2')
    await store.close()
    const again = await WitnessStore.open(folder, 'us')
    expect([again.size, again.get('process/K-0'), again.get('process/K-1')]).toEqual([2, state(2997), state(2998)])
    await again.close()
    expect(readFileSync(join(folder, 'witness.log'), 'utf8').split('\n')).toHaveLength(4) // with its first line
  })

  test('is written anew also while it runs, with nothing lost', async () => {
    const folder = cleanup.folder()
    const store = await WitnessStore.open(folder, 'us')
    for (let i = 0; i < 1_500; i++) void store.put(`process/K-${i % 3}`, state(i))
    await store.settled()
    for (let i = 0; i < 10; i++) await store.put(`process/K-${i % 3}`, state(2_000 + i))
    expect(readFileSync(join(folder, 'witness.log'), 'utf8').split('\n').length).toBeLessThan(20)
    await store.close()
    const again = await WitnessStore.open(folder, 'us')
    expect([0, 1, 2].map((i) => again.get(`process/K-${i}`)?.term)).toEqual([2_009, 2_007, 2_008])
    await again.close()
  })

  test('belongs to one witness: another does not take it for its own', async () => {
    const folder = cleanup.folder()
    expect(WitnessStore.forgot(folder, 'us')).toBe(true)
    const store = await WitnessStore.open(folder, 'us')
    await store.put('process/K-1', state(7))
    await store.close()
    expect(WitnessStore.forgot(folder, 'us')).toBe(false)
    expect(WitnessStore.forgot(folder, 'them')).toBe(true)
    const others = await WitnessStore.open(folder, 'them')
    expect(others.size).toBe(0)
    await others.close()
  })

  test('of an earlier version, which does not say whose it is, is kept', async () => {
    const folder = cleanup.folder()
    writeFileSync(join(folder, 'witness.log'), `${JSON.stringify(['process/K-1', state(7)])}\n`)
    expect(WitnessStore.forgot(folder, 'us')).toBe(false)
    const store = await WitnessStore.open(folder, 'us')
    expect(store.get('process/K-1')).toEqual(state(7))
    await store.close()
    expect(WitnessStore.forgot(folder, 'them')).toBe(true)
  })

  test('survives a torn last line, which was never answered for', async () => {
    const folder = cleanup.folder()
    const store = await WitnessStore.open(folder, 'us')
    await store.put('process/K-1', state(7))
    await store.close()
    appendFileSync(join(folder, 'witness.log'), '["process/K-1",{"ter')
    const again = await WitnessStore.open(folder, 'us')
    expect(again.get('process/K-1')).toEqual(state(7))
    await again.put('process/K-1', state(8))
    await again.close()
    const third = await WitnessStore.open(folder, 'us')
    expect(third.get('process/K-1')).toEqual(state(8))
    await third.close()
  })

  test('is answered for by nobody once the disk has failed', async () => {
    const store = await WitnessStore.open(cleanup.folder(), 'us')
    await store.put('process/K-1', state(7))
    await store.close() // stands for a disk that fails from now on
    await expect(store.put('process/K-1', state(8))).rejects.toMatchObject({ code: 'EIO' })
    await expect(store.settled()).rejects.toMatchObject({ code: 'EIO' })
  })

  test('is not begun anew when it cannot be read: a promise may be in it', async () => {
    const folder = cleanup.folder()
    writeFileSync(join(folder, 'witness.log'), 'not JSON\n')
    await expect(WitnessStore.open(folder, 'us')).rejects.toMatchObject({ code: 'EIO' })
  })
})
