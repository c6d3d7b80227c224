import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../base/bytes.ts'
import type { MessageLink, TaskMessage } from './protocol.ts'
import { type ProgramExports, runTasks, type TaskRuntimeOptions } from './task-runtime.ts'
import type { Data } from './types.ts'

type Call = Extract<TaskMessage, { t: 'call' }>

/** A runtime with a program given as functions, and the kernel's end of its link. */
function start(program: ProgramExports, options: TaskRuntimeOptions = {}) {
  const sent: TaskMessage[] = []
  let deliver: (message: unknown) => void = () => {}
  let wake: () => void = () => {}
  const link: MessageLink = {
    post(message) {
      sent.push(structuredClone(message) as TaskMessage)
      wake()
    },
    onMessage: (listener) => {
      deliver = listener
    },
    close() {},
  }
  const runtime = runTasks(link, async () => program, options)
  const until = async (found: (message: TaskMessage) => boolean): Promise<TaskMessage> => {
    for (;;) {
      const message = sent.find(found)
      if (message) return message
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    runtime,
    sent,
    calls: () => sent.filter((message): message is Call => message.t === 'call'),
    deliver: (message: unknown) => deliver(message),
    load: async () => {
      deliver({ t: 'load', name: 'p.js', source: '' })
      await until(({ t }) => t === 'loaded')
    },
    run: (id: string, task = 'start', data: Data = null) => deliver({ t: 'run', events: [{ id, task, data }] }),
    outcome: (id: string) => until((m) => (m.t === 'done' || m.t === 'failed') && m.id === id),
    call: (n: number) => until((m) => m === sent.filter(({ t }) => t === 'call')[n]) as Promise<Call>,
    reply: (call: Call, value: unknown = {}) => deliver({ t: 'reply', id: call.id, ok: true, value }),
  }
}

type Os = import('./task.ts').TaskOs
/** As a program in JavaScript sees it. */
type Any = Record<string, (...args: unknown[]) => Promise<unknown>>
const settled = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
const written = (call: Call) => {
  const { ref, bytes } = call.args as { ref: number; bytes: Uint8Array }
  return [ref, fromUtf8(bytes)]
}

describe('the task runtime', () => {
  it('says what is wrong with a result that cannot be copied', async () => {
    const { load, run, outcome } = start({ start: () => ({ of: new Proxy({}, {}) }) })
    await load()
    run('1')
    expect(await outcome('1')).toMatchObject({ t: 'failed', message: expect.stringContaining('a Proxy cannot') })
  })

  it('says that it is ready, answers pings, and names the functions of a program', async () => {
    const kernel = start({ start: () => {}, helper: () => {}, VERSION: 1 })
    kernel.deliver({ t: 'ping', n: 5 })
    await kernel.load()
    expect(kernel.sent).toEqual([{ t: 'ready' }, { t: 'pong', n: 5 }, { t: 'loaded', tasks: ['start', 'helper'] }])
  })

  it('loads one program only', async () => {
    const kernel = start({ start: () => {} })
    await kernel.load()
    kernel.deliver({ t: 'load', name: 'other.js', source: '' })
    await settled()
    expect(kernel.sent.at(-1)).toMatchObject({ t: 'load-failed', message: expect.stringContaining('p.js') })
  })

  it('runs events one after the other, in the order in which they came', async () => {
    const order: string[] = []
    const kernel = start({
      start: async ({ id }: { id: string }) => {
        order.push(`begin ${id}`)
        await settled()
        order.push(`end ${id}`)
        return id
      },
    })
    await kernel.load()
    kernel.run('a')
    kernel.run('b')
    expect(await kernel.outcome('b')).toEqual({ t: 'done', id: 'b', result: 'b' })
    expect(order).toEqual(['begin a', 'end a', 'begin b', 'end b'])
  })

  it('fails an event for a task that the program does not export, inherited names included', async () => {
    const kernel = start({ start: () => {} })
    await kernel.load()
    for (const task of ['nope', 'toString', 'constructor']) {
      kernel.run(task, task)
      expect(await kernel.outcome(task)).toMatchObject({ t: 'failed', message: expect.stringContaining(task) })
    }
  })

  it.each([
    [{ default: () => {} }, 'not by default'],
    [{ begin: () => {}, VERSION: 1 }, "no task 'start', but begin"],
    [{ start: 5 }, "no task 'start', nor any other"],
  ])('says what a program exports instead of the task that is wanted', async (exports, words) => {
    const kernel = start(exports)
    await kernel.load()
    kernel.run('a')
    expect(await kernel.outcome('a')).toMatchObject({ t: 'failed', message: expect.stringContaining(words) })
  })

  it('turns no result into null', async () => {
    const kernel = start({ start: () => undefined })
    await kernel.load()
    kernel.run('a')
    expect(await kernel.outcome('a')).toEqual({ t: 'done', id: 'a', result: null })
  })

  it('is not done before calls with effects are answered, awaited or not', async () => {
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        os.emit('next')
        return 1
      },
    })
    await kernel.load()
    kernel.run('a')
    const call = await kernel.call(0)
    await settled()
    expect(kernel.sent.some(({ t }) => t === 'done')).toBe(false)
    kernel.reply(call, { id: 'a.0' })
    expect(await kernel.outcome('a')).toEqual({ t: 'done', id: 'a', result: 1 })
  })

  it('is not held up by reads that nobody waits for, and never answers them to a handler that is over', async () => {
    let resumed = false
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        os.fs.stat('/x').then(() => {
          resumed = true
        })
      },
    })
    await kernel.load()
    kernel.run('a')
    const call = await kernel.call(0)
    await kernel.outcome('a')
    kernel.reply(call, { path: '/x', kind: 'file', size: 0, mtimeMs: 0, mode: 0 })
    await settled()
    expect(resumed).toBe(false)
  })

  it('makes no call for a handler that is over', async () => {
    let kept: Os | undefined
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        kept ??= os
      },
    })
    await kernel.load()
    kernel.run('a')
    await kernel.outcome('a')
    kept?.emit('late')
    kept?.print('late')
    kernel.run('b')
    await kernel.outcome('b')
    expect(kernel.calls()).toEqual([])
  })

  it('fails the event under way when something goes wrong that nobody caught', async () => {
    const kernel = start({ start: () => new Promise(() => {}) })
    await kernel.load()
    kernel.run('a')
    await settled()
    kernel.runtime.uncaught(new TypeError('in a timer'))
    expect(await kernel.outcome('a')).toMatchObject({ t: 'failed', message: 'TypeError: in a timer' })
  })

  it('fails the next event when it went wrong between events', async () => {
    const kernel = start({ start: () => 1 })
    await kernel.load()
    kernel.runtime.uncaught(new Error('stray'))
    kernel.run('a')
    expect(await kernel.outcome('a')).toMatchObject({ t: 'failed', message: 'Error: stray' })
    kernel.run('b')
    expect(await kernel.outcome('b')).toMatchObject({ t: 'done' })
  })

  it('survives errors whose properties throw', async () => {
    const kernel = start({
      start: () => {
        throw Object.defineProperty(new Error('x'), 'message', {
          get() {
            throw new Error('trap')
          },
        })
      },
    })
    await kernel.load()
    kernel.run('a')
    expect(await kernel.outcome('a')).toMatchObject({ t: 'failed', message: expect.stringContaining('described') })
  })

  it('keeps messages and stacks within the protocol’s bounds', async () => {
    const kernel = start({
      start: () => {
        throw new Error('x'.repeat(100_000))
      },
    })
    await kernel.load()
    kernel.run('a')
    const failed = await kernel.outcome('a')
    expect(failed.t === 'failed' && [failed.message.length <= 4096, failed.stack.length <= 8192]).toEqual([true, true])
  })

  it('names the part of a result or of data that cannot travel', async () => {
    const loop: Record<string, unknown> = {}
    loop['self'] = loop
    const kernel = start({
      start: async (event: { data: string }, os: Os) => {
        if (event.data === 'emit') await os.emit('x', { list: [1, new Map()] } as never)
        return event.data === 'function' ? { f: () => 1 } : event.data === 'loop' ? loop : 1
      },
    })
    await kernel.load()
    kernel.run('a', 'start', 'emit')
    expect(await kernel.outcome('a')).toMatchObject({ message: expect.stringContaining('data.list[1] is a Map') })
    kernel.run('b', 'start', 'function')
    expect(await kernel.outcome('b')).toMatchObject({ message: expect.stringContaining('start.f is a function') })
    kernel.run('c', 'start', 'loop')
    expect(await kernel.outcome('c')).toMatchObject({ message: expect.stringContaining('start.self is circular') })
  })
})

describe('os', () => {
  it('exit flushes output, tells the kernel, and stops the handler', async () => {
    let after = false
    const kernel = start({
      start: async (_event: unknown, os: Os) => {
        os.print('bye')
        await os.exit(3)
        after = true
      },
    })
    await kernel.load()
    kernel.run('a')
    const print = await kernel.call(0)
    await settled()
    expect(kernel.calls().length).toBe(1)
    kernel.reply(print)
    const exit = await kernel.call(1)
    expect(exit).toMatchObject({ call: 'signal', args: { signal: 'EXIT', code: 3 } })
    kernel.reply(exit, { delivered: true })
    expect(await kernel.outcome('a')).toEqual({ t: 'done', id: 'a', result: null })
    expect(after).toBe(false)
  })

  it.each([
    ['prints, emits and ends', () => 'a result'],
    [
      'fails',
      () => {
        throw new Error('nobody expects it to go on')
      },
    ],
  ])('exit that is not awaited counts also where its handler %s after it', async (_how, then) => {
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        os.print('usage')
        os.exit(2)
        os.print('after')
        os.emit('x')
        os.exit(0)
        Promise.reject(new Error('nor does anybody handle this')).catch((error: unknown) =>
          kernel.runtime.uncaught(error),
        )
        return then()
      },
    })
    await kernel.load()
    kernel.run('a')
    kernel.reply(await kernel.call(0))
    const exit = await kernel.call(1)
    expect(exit).toMatchObject({ call: 'signal', args: { signal: 'EXIT', code: 2 } })
    await settled()
    kernel.reply(exit, { delivered: true })
    expect(await kernel.outcome('a')).toEqual({ t: 'done', id: 'a', result: null })
    expect(kernel.calls().length).toBe(2)
  })

  it('gather asks for one event after others, with their ids in order', async () => {
    const kernel = start({ start: (_event: unknown, os: Os) => os.gather(['b', 'a'], 'sum', { x: 1 }) })
    await kernel.load()
    kernel.run('0')
    const call = await kernel.call(0)
    expect(call).toMatchObject({ call: 'emit', args: { task: 'sum', data: { x: 1 }, after: ['b', 'a'] } })
    kernel.reply(call, { id: '0.0' })
    expect(await kernel.outcome('0')).toEqual({ t: 'done', id: '0', result: '0.0' })
  })

  it('refuses arguments of a wrong type at the call, with the name of what is wrong', async () => {
    const wrong: [call: (os: Any) => Promise<unknown> | undefined, message: string][] = [
      [(os) => os.emit?.(5), 'os.emit: task: expected a text, not 5'],
      [(os) => os.gather?.(5, 'x'), 'os.gather: ids: expected an array of texts, not 5'],
      [
        (os) => os.gather?.([os.emit?.('x')], 'x'),
        'os.gather: ids: expected an array of texts, not promises: await them',
      ],
      [(os) => os.gather?.(os.emit?.('x'), 'x'), 'os.gather: ids: expected an array of texts, not a promise: await it'],
      [(os) => os.exit?.('1'), 'os.exit: code: expected a whole number from 0 to 255, not "1"'],
      [(os) => os.gather?.([]), 'os.gather: task: expected a text, not undefined'],
      [(os) => os.fold?.(7, 'x'), 'os.fold: key: expected a text, not 7'],
      [(os) => os.print?.('names:', Promise.resolve([])), 'os.print: expected texts, not a promise: await it'],
      [(os) => os.write?.(7), 'os.write: content: expected a text or bytes, not 7'],
    ]
    for (const [call, message] of wrong) {
      const kernel = start({ start: (_event: unknown, os: Any) => call(os) })
      await kernel.load()
      kernel.run('0')
      const [emitted] = kernel.calls()
      if (emitted) kernel.reply(emitted, { id: '0.0' })
      expect(await kernel.outcome('0')).toMatchObject({ t: 'failed', message: `EINVAL: ${message}` })
    }
  })

  it('prints several texts with a space between, as console does', async () => {
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        os.print('a', 1, null)
        os.error()
      },
    })
    await kernel.load()
    kernel.run('a')
    const lines = await Promise.all([kernel.call(0), kernel.call(1)])
    expect(lines.map(written)).toEqual([
      [1, 'a 1 null\n'],
      [2, '\n'],
    ])
  })

  it('sends the first print at once and gathers the rest while it is under way', async () => {
    const kernel = start({
      start: (_event: unknown, os: Os) => {
        for (let i = 0; i < 1000; i++) os.print(`line ${i}`)
        os.error('oops')
      },
    })
    await kernel.load()
    kernel.run('a')
    expect((await Promise.all([kernel.call(0), kernel.call(1)])).map(written)).toEqual([
      [1, 'line 0\n'],
      [2, 'oops\n'],
    ])
    await settled()
    expect(kernel.calls().length).toBe(2)
    const [first, second] = kernel.calls()
    if (first) kernel.reply(first)
    if (second) kernel.reply(second)
    const rest = await kernel.call(2)
    expect(written(rest)[1]).toBe(Array.from({ length: 999 }, (_, i) => `line ${i + 1}\n`).join(''))
    kernel.reply(rest)
    expect(await kernel.outcome('a')).toMatchObject({ t: 'done' })
  })

  it('cuts large output into pieces, few at once, in order, and holds back a writer that awaits', async () => {
    let writes = 0
    const kernel = start({
      start: async (_event: unknown, os: Os) => {
        const buffer = new Uint8Array(100_000)
        for (let i = 0; i < 20; i++) {
          buffer.fill(i)
          await os.write(buffer)
          writes++
        }
      },
    })
    await kernel.load()
    kernel.run('a')
    await kernel.call(3)
    await settled()
    expect(kernel.calls().length).toBe(4)
    expect(writes).toBeLessThan(8)
    const got: number[] = []
    for (let n = 0; got.length < 2_000_000; n++) {
      const call = await kernel.call(n)
      got.push(...(call.args as { bytes: Uint8Array }).bytes)
      kernel.reply(call)
    }
    expect(got.length).toBe(2_000_000)
    expect(got.every((byte, i) => byte === Math.floor(i / 100_000))).toBe(true)
    expect(await kernel.outcome('a')).toMatchObject({ t: 'done' })
  })

  it('fails the event when its output has no reader any more', async () => {
    const kernel = start({ start: (_event: unknown, os: Os) => void os.print('x') })
    await kernel.load()
    kernel.run('a')
    const call = await kernel.call(0)
    kernel.deliver({ t: 'reply', id: call.id, ok: false, code: 'EPIPE', message: 'the reader has gone' })
    expect(await kernel.outcome('a')).toMatchObject({ t: 'failed', message: 'EPIPE: the reader has gone' })
  })
})
