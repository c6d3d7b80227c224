import { beforeEach, describe, expect, it } from 'vitest'
import type { SandboxWorker } from '../../ports/sandbox.ts'
import { Ticker } from '../harness.contract.ts'
import { MAX_TASK_MESSAGES_PER_S, MAX_UNANSWERED_MESSAGES, PING_GRACE_MAX_MS, PING_GRACE_MS } from '../limits.ts'
import { type Outcome, TaskHost } from './task-host.ts'

type Message = { t: string } & Record<string, unknown>

/** The other side of a worker, which a test plays. */
class FakeWorker implements SandboxWorker {
  readonly got: Message[] = []
  terminated = false
  #toKernel: (message: unknown) => void = () => undefined
  #exit: (reason: string) => void = () => undefined
  post(message: unknown): void {
    this.got.push(...[message as Message | Message[]].flat())
  }
  onMessage(listener: (message: unknown) => void): void {
    this.#toKernel = listener
  }
  onExit(listener: (reason: string) => void): void {
    this.#exit = listener
  }
  terminate(): void {
    this.terminated = true
  }
  say(message: unknown): void {
    this.#toKernel(message)
  }
  die(reason: string): void {
    this.#exit(reason)
  }
  pings(): Message[] {
    return this.got.filter(({ t }) => t === 'ping')
  }
}

let ticker: Ticker
let worker: FakeWorker
let host: TaskHost
let calls: { call: string; signal: AbortSignal }[]
beforeEach(() => {
  ticker = new Ticker()
  worker = new FakeWorker()
  calls = []
  host = new TaskHost({ worker, clock: ticker.clock, program: '/p.js' })
})

const dispatch = (call: string, _args: never, signal: AbortSignal) => {
  calls.push({ call, signal })
  return new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}
async function loaded(): Promise<void> {
  worker.say({ t: 'ready' })
  const done = host.load('source')
  worker.say({ t: 'loaded', tasks: ['start'] })
  expect(await done).toBeUndefined()
}
const run = (eventMs = 1_000, id = '0'): Promise<Outcome | undefined> => {
  return host.run({ id, task: 'start', data: null }, { dispatch, eventMs })
}
const expectKilled = async (outcome: Promise<Outcome | undefined>, message: RegExp, limitMs?: number) => {
  const got = await ticker.run(outcome, limitMs)
  expect(got).toMatchObject({ ok: false, kind: 'killed' })
  expect((got as { message: string }).message).toMatch(message)
  expect(worker.terminated).toBe(true)
  expect(host.dead).toBe(true)
}

describe('a task', () => {
  it('loads, runs an event and hands over its result', async () => {
    await loaded()
    const outcome = run()
    await Promise.resolve()
    expect(worker.got.at(-1)).toEqual({ t: 'run', events: [{ id: '0', task: 'start', data: null }] })
    worker.say({ t: 'done', id: '0', result: [1] })
    expect(await outcome).toEqual({ ok: true, result: [1], ms: 0 })
    expect(host.dead).toBe(false)
    expect(ticker.clock.pending()).toEqual([])
  })

  it('tells where in the user’s source it failed', async () => {
    await loaded()
    const outcome = run()
    worker.say({ t: 'failed', id: '0', message: 'TypeError: no', stack: '', line: 12, column: 5 })
    expect(await outcome).toEqual({ ok: false, kind: 'threw', message: '/p.js:12:5: TypeError: no' })
    const again = new TaskHost({ worker, clock: ticker.clock, program: '/p.js' })
    const load = again.load('')
    worker.say({ t: 'load-failed', message: 'SyntaxError: x', line: 3 })
    expect(await load).toEqual({ ok: false, kind: 'program', message: '/p.js:3: SyntaxError: x' })
  })

  it('that computes for long is left alone as long as its runtime answers', async () => {
    await loaded()
    const outcome = run(1_000)
    for (let i = 1; i <= 20; i++) {
      await ticker.until(() => worker.pings().length === i)
      worker.say({ t: 'pong', n: worker.pings().at(-1)?.['n'] })
    }
    expect(ticker.clock.nowMs()).toBe(20_000)
    worker.say({ t: 'done', id: '0', result: null })
    expect((await outcome)?.ok).toBe(true)
  })

  it('is given several events, and what it calls is the call of the one that it handles', async () => {
    await loaded()
    const asked: string[] = []
    const outcomes = ['0', '1', '2'].map((id) =>
      host.run(
        { id, task: 'start', data: null },
        {
          eventMs: 1_000,
          dispatch: (call, args, signal) => {
            asked.push(id)
            return dispatch(call, args, signal)
          },
        },
      ),
    )
    await Promise.resolve()
    expect(worker.got.filter(({ t }) => t === 'run')).toMatchObject([
      { events: [{ id: '0' }, { id: '1' }, { id: '2' }] },
    ])
    const call = (id: number) => worker.say({ t: 'call', id, call: 'open', args: { path: '/x', mode: 'r' } })
    call(1)
    worker.say({ t: 'done', id: '1', result: 'not yet' })
    worker.say({ t: 'done', id: '0', result: null })
    call(2)
    worker.say({ t: 'failed', id: '1', message: 'TypeError: no', stack: '' })
    call(3)
    expect(asked).toEqual(['0', '1', '2'])
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true, true, false])
    expect(host.busy).toBe(true)
    worker.say({ t: 'done', id: '2', result: 2 })
    expect(await Promise.all(outcomes)).toMatchObject([{ result: null }, { kind: 'threw' }, { result: 2 }])
    expect([host.busy, host.dead]).toEqual([false, false])
    expect(ticker.clock.pending()).toEqual([])
  })

  it('that dies has not begun with what it was given beside', async () => {
    await loaded()
    const outcomes = ['0', '1', '2'].map((id) => run(1_000, id))
    worker.say({ t: 'done', id: '0', result: null })
    worker.die('out of memory')
    expect(await Promise.all(outcomes)).toMatchObject([{ ok: true }, { kind: 'crashed' }, undefined])
    expect(ticker.clock.pending()).toEqual([])
  })

  it('has as long for each event as for the first', async () => {
    await loaded()
    const outcomes = ['0', '1'].map((id) => run(1_000, id))
    await ticker.until(() => worker.pings().length === 1)
    worker.say({ t: 'done', id: '0', result: null })
    await expectKilled(outcomes[1] as Promise<Outcome | undefined>, /task start has not answered for 1 s/)
    expect(ticker.clock.nowMs()).toBe(2_000 + PING_GRACE_MS)
    expect(await outcomes[0]).toMatchObject({ ms: 1_000 })
  })

  it.each([
    [6_000, PING_GRACE_MS],
    [60_000, 10_000],
    [3_600_000, PING_GRACE_MAX_MS],
  ])('that has %i ms for an event gets %i ms more to answer', async (eventMs, graceMs) => {
    await loaded()
    await expectKilled(run(eventMs), /has not answered/, 2 * eventMs)
    expect(ticker.clock.nowMs()).toBe(eventMs + graceMs)
  })

  it('is ended when it dies by itself', async () => {
    await loaded()
    const outcome = run()
    worker.die('out of memory')
    expect(await outcome).toEqual({ ok: false, kind: 'crashed', message: 'its worker died: out of memory' })
    expect((await run())?.ok).toBe(false)
    expect(await host.load('')).toMatchObject({ kind: 'crashed' })
  })

  it('has its calls cancelled when its event ends, and can make none in between', async () => {
    await loaded()
    const outcome = run()
    worker.say({ t: 'call', id: 1, call: 'open', args: { path: '/x', mode: 'r' } })
    expect(calls).toHaveLength(1)
    worker.say({ t: 'done', id: '0', result: null })
    await outcome
    expect(calls[0]?.signal.aborted).toBe(true)
    worker.say({ t: 'call', id: 2, call: 'open', args: { path: '/x', mode: 'r' } })
    await ticker.advance(1)
    expect(calls).toHaveLength(1)
    expect(worker.got.find(({ t, id }) => t === 'reply' && id === 2)).toMatchObject({ ok: false, code: 'EPERM' })
  })

  it('cannot finish an event that is not running', async () => {
    await loaded()
    worker.say({ t: 'done', id: '0', result: 'early' })
    const outcome = run()
    worker.say({ t: 'done', id: '7', result: 'another' })
    worker.say({ t: 'failed', id: '7', message: '', stack: '' })
    worker.say({ t: 'loaded', tasks: [] })
    worker.say({ t: 'done', id: '0', result: 'mine' })
    worker.say({ t: 'done', id: '0', result: 'twice' })
    expect(await outcome).toMatchObject({ ok: true, result: 'mine' })
  })

  it('leaves no timer behind, also when it answers a ping late', async () => {
    await loaded()
    const outcome = run(100)
    await ticker.until(() => worker.pings().length === 1)
    worker.say({ t: 'done', id: '0', result: null })
    await outcome
    worker.say({ t: 'pong', n: 1 })
    expect(ticker.clock.pending()).toEqual([])
    await ticker.advance(60_000)
    expect(host.dead).toBe(false)
  })
})

describe('a task that breaks the rules is ended with words for its author, and the kernel goes on (invariant 8)', () => {
  it('when it loops for ever', async () => {
    await loaded()
    const outcome = run(60_000)
    const startMs = ticker.clock.nowMs()
    await expectKilled(outcome, /task start has not answered for 60 s: an endless loop\? \(run --timeout/)
    expect(ticker.clock.nowMs() - startMs).toBe(70_000)
  })

  it('when its module loops for ever while it loads', async () => {
    await expectKilled(host.load('source'), /did not finish loading within 30 s/)
  })

  it('when it answers pings that were not asked', async () => {
    await loaded()
    const outcome = run(1_000)
    for (let n = 0; n < 50; n++) worker.say({ t: 'pong', n: 1_000 + n })
    await expectKilled(outcome, /has not answered/)
  })

  it('when it sends more messages a second than any program needs', async () => {
    await loaded()
    const outcome = run()
    for (let i = 0; i <= MAX_TASK_MESSAGES_PER_S && !host.dead; i++) {
      worker.say({ t: 'cancel', id: i })
      if (worker.got.at(-1)?.t === 'ping') worker.say({ t: 'pong', n: worker.got.at(-1)?.['n'] })
    }
    await expectKilled(outcome, /messages a second|flooding/)
  })

  it('when it sends without ever taking an answer', async () => {
    await loaded()
    const outcome = run()
    for (let i = 0; i <= MAX_UNANSWERED_MESSAGES && !host.dead; i++) worker.say({ t: 'cancel', id: i })
    await expectKilled(outcome, /flooding/)
  })

  it('when it makes more calls at once than it may', async () => {
    await loaded()
    const outcome = run()
    for (let i = 0; i < 300 && !host.dead; i++)
      worker.say({ t: 'call', id: i, call: 'open', args: { path: '/x', mode: 'r' } })
    await expectKilled(outcome, /more than 256 calls at once/)
  })

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a string', 'done'],
    ['an unknown kind', { t: 'sudo' }],
    ['more than a message has', { t: 'ready', more: 1 }],
    ['an id that is no number', { t: 'call', id: 'x', call: 'open', args: {} }],
    ['a call name without bound', { t: 'call', id: 1, call: 'x'.repeat(33), args: {} }],
    ['a message without bound', { t: 'failed', id: '0', message: 'x'.repeat(4097), stack: '' }],
    ['task names without bound', { t: 'loaded', tasks: Array(1025).fill('x') }],
    ['a line of −1', { t: 'failed', id: '0', message: '', stack: '', line: -1 }],
    ['a number used twice', 'twice'],
  ])('when it sends %s', async (_what, message) => {
    await loaded()
    const outcome = run()
    if (message === 'twice') {
      for (let i = 0; i < 2; i++) worker.say({ t: 'call', id: 1, call: 'open', args: { path: '/x', mode: 'r' } })
    } else worker.say(message)
    await expectKilled(outcome, /^\/p\.js broke the task protocol/)
  })

  it('but a wrong call is only answered with an error', async () => {
    await loaded()
    const outcome = run()
    for (const [id, call, args, code] of [
      [1, 'no-such', {}, 'ENOSYS'],
      [2, '__proto__', {}, 'ENOSYS'],
      [3, 'open', { path: '/x' }, 'EINVAL'],
      [4, 'open', { path: '/x', mode: 'r', more: 1 }, 'EINVAL'],
      [5, 'read', { ref: -1, offset: 0, length: 1 }, 'EINVAL'],
      [6, 'write', { ref: 1, bytes: new Uint8Array(5 * 1024 * 1024) }, 'EINVAL'],
    ] as const) {
      worker.say({ t: 'call', id, call, args })
      await ticker.advance(1)
      expect(worker.got.find((each) => each.t === 'reply' && each['id'] === id)).toMatchObject({ ok: false, code })
    }
    expect(calls).toEqual([])
    worker.say({ t: 'done', id: '0', result: null })
    expect((await outcome)?.ok).toBe(true)
  })
})
