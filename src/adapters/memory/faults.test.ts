// The faults of the simulated network, disks and clocks: what they do, and what they never do.
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import type { ByteStream, NetworkEvent } from '../../ports/network.ts'
import { Gate, GatedClock, VirtualClock } from './clock.ts'
import { MemoryHub } from './hub.ts'
import { MemoryNetwork } from './network.ts'
import { SeededRandom } from './random.ts'
import { Disk, MemoryBlockStore, MemoryLogStore } from './stores.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const [A, B] = ['12D3KooWa', '12D3KooWb'] as [NodeId, NodeId]

async function pass(clock: VirtualClock, ms: number): Promise<void> {
  const untilMs = clock.nowMs() + ms
  await turn()
  while (clock.step(untilMs)) await turn()
  clock.jump(untilMs - clock.nowMs())
}

/** Two connected nodes and a stream from a to b. */
async function pair() {
  const clock = new VirtualClock()
  const hub = new MemoryHub({ clock, random: new SeededRandom(1), latencyMs: [1, 5] })
  const [a, b] = [new MemoryNetwork(hub, A), new MemoryNetwork(hub, B)]
  const events: Record<'a' | 'b', NetworkEvent[]> = { a: [], b: [] }
  a.on((event) => events.a.push(event))
  b.on((event) => events.b.push(event))
  const received: Record<'a' | 'b', Uint8Array[]> = { a: [], b: [] }
  let far: ByteStream | undefined
  b.onStream((_peer, _kind, stream) => {
    far = stream
    stream.onData((chunk) => received.b.push(chunk))
    stream.onClose(() => undefined)
  })
  await a.start()
  await b.start()
  void a.connect(B)
  await pass(clock, 20)
  const near = await a.open(B, 'control')
  near.onData((chunk) => received.a.push(chunk))
  await pass(clock, 20)
  const types = (side: 'a' | 'b') => events[side].map(({ type }) => type)
  return { clock, hub, a, near, far: far as ByteStream, events, types, text: (side: 'a' | 'b') => text(received[side]) }
}

const text = (chunks: readonly Uint8Array[]) => new TextDecoder().decode(concat(chunks))

describe('a link', () => {
  it('that falls silent tells nobody, and delivers everything in order when it is heard again', async () => {
    const { clock, hub, near, far, types, text } = await pair()
    hub.setSilent(A, B, true)
    hub.setSilent(B, A, true)
    for (const word of ['one ', 'two ', 'three']) near.send(utf8(word))
    far.send(utf8('back'))
    await pass(clock, 3_000)
    expect([text('a'), text('b')]).toEqual(['', ''])
    expect(types('a')).not.toContain('reachable')
    hub.setSilent(A, B, false)
    hub.setSilent(B, A, false)
    await pass(clock, 50)
    expect([text('a'), text('b')]).toEqual(['back', 'one two three'])
    expect([...types('a'), ...types('b')]).not.toContain('disconnected')
  })

  it('that is silent one way carries the other way, and only who hears nothing notices', async () => {
    const { clock, hub, near, far, events, text } = await pair()
    hub.setSilent(A, B, true)
    near.send(utf8('lost?'))
    far.send(utf8('heard'))
    await pass(clock, 6_000)
    expect([text('a'), text('b')]).toEqual(['heard', ''])
    expect(events.b).toContainEqual({ type: 'reachable', peer: A, reachable: false })
    expect(events.a).not.toContainEqual({ type: 'reachable', peer: B, reachable: false })
  })

  it('that is silent for long breaks, and what waited is lost', async () => {
    const { clock, hub, near, types, text } = await pair()
    hub.setSilent(A, B, true)
    near.send(utf8('lost'))
    await pass(clock, 30_000)
    expect(types('a')).toContain('disconnected')
    expect(types('b')).toContain('disconnected')
    hub.setSilent(A, B, false)
    await pass(clock, 1_000)
    expect(text('b')).toBe('')
  })

  it('cannot be set up while one does not hear the other, and can afterwards', async () => {
    const { clock, hub, a, types } = await pair()
    hub.breakLink(A, B)
    hub.setSilent(B, A, true)
    await pass(clock, 20)
    const failed = a.connect(B).catch((error: unknown) => error)
    await pass(clock, 11_000)
    expect(await failed).toMatchObject({ code: 'EHOSTUNREACH' })
    hub.setSilent(B, A, false)
    void a.connect(B)
    await pass(clock, 20)
    expect(types('a').filter((type) => type === 'connected')).toHaveLength(2)
  })

  it('that is closed in silence is over for whoever closed it, and the other hears that before it has a new one', async () => {
    const { clock, hub, a, types } = await pair()
    hub.setSilent(A, B, true)
    a.disconnect(B)
    await pass(clock, 20)
    expect(types('a')).toContain('disconnected')
    expect(types('b')).not.toContain('disconnected')
    hub.setSilent(A, B, false)
    void a.connect(B)
    await pass(clock, 20)
    expect(types('b').slice(-2)).toEqual(['disconnected', 'connected'])
  })

  it('that breaks loses what was under way, in both directions', async () => {
    const { clock, hub, near, far, types, text } = await pair()
    near.send(utf8('there'))
    far.send(utf8('back'))
    hub.breakLink(A, B)
    await pass(clock, 50)
    expect([text('a'), text('b')]).toEqual(['', ''])
    expect([types('a').at(-1), types('b').at(-1)]).toEqual(['disconnected', 'disconnected'])
  })

  it('that loses packets delivers all bytes in order, later', async () => {
    const { clock, hub, near, text } = await pair()
    hub.conditions.lossRate = 0.5
    const words = Array.from({ length: 50 }, (_, i) => `${i} `)
    for (const word of words) near.send(utf8(word))
    await pass(clock, 100)
    expect(text('b').length).toBeLessThan(words.join('').length)
    await pass(clock, 5_000)
    expect(text('b')).toBe(words.join(''))
  })

  it('of a slow node carries so many bytes per ms', async () => {
    const { clock, hub, near, text } = await pair()
    hub.setSlow(A, { factor: 10, bytesPerMs: 10 })
    for (let i = 0; i < 10; i++) near.send(new Uint8Array(1_000).fill(65))
    await pass(clock, 500)
    expect(text('b').length).toBeLessThan(5_500)
    await pass(clock, 1_000)
    expect(text('b').length).toBe(10_000)
  })

  it('of a node that is fast again carries at once, in order, what still waited for the slow line', async () => {
    const { clock, hub, near, text } = await pair()
    hub.setSlow(A, { factor: 10, bytesPerMs: 1 })
    const words = Array.from({ length: 100 }, (_, i) => `${i} `.padStart(1_000, '-'))
    for (const word of words) near.send(utf8(word))
    await pass(clock, 10_000)
    expect(text('b').length).toBeLessThan(10_500)
    expect(near.bufferedBytes).toBeGreaterThan(89_000)
    hub.setSlow(A, undefined)
    near.send(utf8('last'))
    await near.drained(0)
    await pass(clock, 200)
    expect(text('b')).toBe(`${words.join('')}last`)
  })

  it('of a node that becomes slower keeps what is under way, and slows what waits', async () => {
    const { clock, hub, near, text } = await pair()
    hub.setSlow(A, { factor: 1, bytesPerMs: 10 })
    for (let i = 0; i < 10; i++) near.send(new Uint8Array(1_000).fill(65))
    await pass(clock, 500)
    const before = text('b').length
    hub.setSlow(A, { factor: 1, bytesPerMs: 1 })
    await pass(clock, 1_000)
    expect(text('b').length).toBeLessThanOrEqual(before + 2_000)
    await pass(clock, 4_500)
    expect(text('b').length).toBe(10_000)
  })

  it('keeps the order of what was on its line and what was sent in silence when its speed changes', async () => {
    const { clock, hub, near, text } = await pair()
    hub.setSlow(A, { factor: 1, bytesPerMs: 1 })
    near.send(utf8('a'.repeat(1_000)))
    near.send(utf8('b'.repeat(1_000)))
    await pass(clock, 100)
    hub.setSilent(A, B, true)
    near.send(utf8('c'))
    await pass(clock, 100)
    hub.setSlow(A, undefined)
    await pass(clock, 100)
    hub.setSilent(A, B, false)
    await pass(clock, 5_000)
    expect(text('b')).toBe(`${'a'.repeat(1_000)}${'b'.repeat(1_000)}c`)
    expect(near.bufferedBytes).toBe(0)
  })

  it('that was closed delivers what was sent also when it becomes slower', async () => {
    const { clock, hub, a, near, text, types } = await pair()
    hub.setSlow(A, { factor: 1, bytesPerMs: 10 })
    for (let i = 0; i < 10; i++) near.send(utf8('a'.repeat(1_000)))
    await pass(clock, 100)
    a.disconnect(B)
    hub.setSlow(A, { factor: 1, bytesPerMs: 4 })
    await pass(clock, 9_000)
    expect(types('b')).toContain('disconnected')
    expect(text('b').length).toBe(10_000)
  })

  it('that was closed does not linger when it becomes faster', async () => {
    const { clock, hub, a, near, text, types } = await pair()
    hub.setSlow(A, { factor: 1, bytesPerMs: 1 })
    for (let i = 0; i < 9; i++) near.send(utf8('a'.repeat(1_000)))
    await pass(clock, 100)
    a.disconnect(B)
    hub.setSlow(A, undefined)
    await pass(clock, 100)
    expect(text('b').length).toBe(9_000)
    expect(types('b')).toContain('disconnected')
  })

  it('keeps the order of everything, loses nothing and holds nothing in the end, whatever happens to it', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const { clock, hub, near, text } = await pair()
      if (seed % 3 === 0) hub.conditions.lossRate = 0.2
      const slowness = () =>
        random.float() < 0.6 ? { factor: 1 + random.float() * 5, bytesPerMs: 1 + random.float() * 50 } : undefined
      let silent = false
      const words: string[] = []
      for (let i = 0; i < 60; i++) {
        const dice = random.float()
        if (dice < 0.5) {
          words.push(`${i} `.padStart(1 + Math.floor(random.float() * 3_000), '-'))
          near.send(utf8(words.at(-1) ?? ''))
        } else if (dice < 0.75) hub.setSlow(dice < 0.65 ? A : B, slowness())
        else if (dice < 0.85) {
          silent = !silent
          hub.setSilent(A, B, silent)
        } else await pass(clock, random.float() * 300)
      }
      hub.setSilent(A, B, false)
      hub.setSlow(B, undefined)
      hub.setSlow(A, seed % 2 ? undefined : { factor: 1, bytesPerMs: 20 })
      near.close()
      await pass(clock, 60_000)
      expect({ seed, whole: text('b') === words.join(''), left: near.bufferedBytes }).toEqual({
        seed,
        whole: true,
        left: 0,
      })
    }
  })
})

describe('a disk that takes its time', () => {
  const disk = (clock: VirtualClock) => new Disk(Infinity, { clock, random: new SeededRandom(1), flushMs: [2, 2] })

  it('answers a write when it is made, and a read after the writes before it', async () => {
    const clock = new VirtualClock()
    const blocks = new MemoryBlockStore(disk(clock))
    let written = false
    void blocks.putMany([['k', utf8('v')]]).then(() => {
      written = true
    })
    const read = blocks.hasMany(['k'])
    await pass(clock, 1)
    expect(written).toBe(false)
    await pass(clock, 2)
    expect([written, await read]).toEqual([true, [true]])
  })

  it('has only the first of the writes under way after a crash, each of them whole', async () => {
    const clock = new VirtualClock()
    const platter = disk(clock)
    const logs = new MemoryLogStore(platter)
    for (let i = 1; i <= 4; i++) void logs.append('log', i, [utf8(`${i}`), utf8('+')].slice(0, 1))
    platter.crash(0.5)
    await pass(clock, 10)
    expect((await new MemoryLogStore(platter).load('log')).entries.map((entry) => text([entry]))).toEqual(['1', '2'])
  })

  it('dies in the middle of a write where it is told to', async () => {
    const clock = new VirtualClock()
    const platter = disk(clock)
    let died = 0
    platter.tearNextWrite(() => {
      died++
      platter.crash(0)
    })
    void new MemoryBlockStore(platter).putMany([['k', utf8('v')]])
    await pass(clock, 10)
    expect([died, platter.blocks.size]).toEqual([1, 0])
  })
})

describe('the virtual clock', () => {
  it('fires thousands of timers in order of their time, then of their creation, without the cancelled ones', () => {
    const clock = new VirtualClock()
    const random = new SeededRandom(3)
    const fired: number[] = []
    const expected: { atMs: number; i: number }[] = []
    for (let i = 0; i < 5_000; i++) {
      const atMs = random.below(500)
      const timer = clock.setTimer(() => fired.push(i), atMs, 'test')
      if (random.float() < 0.3) timer.cancel()
      else expected.push({ atMs, i })
    }
    expected.sort((a, b) => a.atMs - b.atMs || a.i - b.i)
    expect(clock.pending()).toHaveLength(expected.length)
    while (clock.step());
    expect(fired).toEqual(expected.map(({ i }) => i))
  })

  it('of a device whose clocks jump shows its own times, and fires its timers when they are due in the world', () => {
    const clock = new VirtualClock()
    const skew = { nowMs: 0, wallMs: 0 }
    const own = new GatedClock(clock, new Gate(clock), skew)
    const wall = own.wallMs()
    let firedMs = 0
    own.setTimer(() => {
      firedMs = clock.nowMs()
    }, 100, 'test') // biome-ignore format: one thing
    skew.nowMs += 60_000
    skew.wallMs -= 3_600_000
    expect([own.nowMs(), own.wallMs()]).toEqual([60_000, wall - 3_600_000])
    while (clock.step());
    expect(firedMs).toBe(100)
  })
})
