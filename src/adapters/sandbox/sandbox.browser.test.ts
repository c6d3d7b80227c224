import runtime from 'virtual:brittlestar-task-runtime'
import { afterEach, describe, expect, it } from 'vitest'
import { isOsError } from '../../base/errors.ts'
import { Inbox, sandboxContract } from '../../ports/sandbox.contract.ts'
import type { Sandbox, SandboxWorker } from '../../ports/sandbox.ts'
import { hostSandboxes, type SandboxHost } from './page.ts'
import { createSandbox, type SandboxOptions } from './worker.ts'

type Options = SandboxOptions & { spareMs?: number }

function connect(source: string, { spareMs, ...options }: Options = {}): { sandbox: Sandbox; host: SandboxHost } {
  const { port1, port2 } = new MessageChannel()
  const host = hostSandboxes(port1, {
    taskRuntimeSource: async () => source,
    ...(spareMs === undefined ? {} : { spareMs }),
  })
  return { sandbox: createSandbox(port2, options), host }
}

sandboxContract('The browser sandbox', async () => {
  const { sandbox, host } = connect(runtime)
  return { sandbox, close: () => host.close() }
})

const signal = new AbortController().signal
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

function open(source = runtime, options: Options = {}) {
  const { sandbox, host } = connect(source, options)
  closers.push(() => {
    sandbox.close()
    host.close()
  })
  return { sandbox, host, spawn: (domain = 'a') => sandbox.spawn({ domain, signal }) }
}

async function load(worker: SandboxWorker, source: string) {
  const inbox = new Inbox(worker)
  expect(await inbox.next()).toEqual({ t: 'ready' })
  worker.post({ t: 'load', name: 'test.js', source })
  return { inbox, loaded: await inbox.next() }
}

const framesInPage = () => [...document.querySelectorAll('iframe[sandbox]')] as HTMLIFrameElement[]

const event = (id = '0', data: unknown = null) => ({ t: 'run', events: [{ id, task: 'start', data }] })

describe('frames', () => {
  it('are one per domain, hidden from sight, focus and accessibility, and go with their domain', async () => {
    const { sandbox, host, spawn } = open()
    await Promise.all([spawn('a'), spawn('a'), spawn('b')])
    expect(host.frameCount()).toBe(2)
    // One more waits for the next domain.
    await expect.poll(() => framesInPage().length).toBe(3)
    for (const frame of framesInPage()) {
      expect(frame.getAttribute('sandbox')).toBe('allow-scripts')
      expect(frame.getAttribute('aria-hidden')).toBe('true')
      expect(frame.tabIndex).toBe(-1)
      expect(frame.getClientRects().length).toBe(0)
    }
    expect(document.activeElement).toBe(document.body)
    sandbox.dropDomain('a')
    await expect.poll(() => host.frameCount()).toBe(1)
    host.close()
    expect(framesInPage()).toEqual([])
  })

  it('wait for the next domain, once there was one', async () => {
    const { sandbox, spawn } = open()
    expect(framesInPage()).toEqual([])
    await spawn('a')
    await expect.poll(() => framesInPage().length).toBe(2)
    const [first, spare] = framesInPage() as [HTMLIFrameElement, HTMLIFrameElement]
    sandbox.dropDomain('a')
    await expect.poll(framesInPage).toEqual([spare])
    const worker = await spawn('b')
    const { inbox, loaded } = await load(worker, 'export const start = () => 7')
    expect(loaded).toMatchObject({ t: 'loaded' })
    worker.post(event())
    expect(await inbox.next()).toEqual({ t: 'done', id: '0', result: 7 })
    expect(framesInPage()).toContain(spare)
    expect(framesInPage()).not.toContain(first)
  })

  it('that wait and are dead are not used', async () => {
    const { host, spawn } = open()
    await spawn('a')
    await expect.poll(() => framesInPage().length).toBe(2)
    const spare = framesInPage()[1] as HTMLIFrameElement
    // As if its renderer had been killed: the element is there, and nothing in it answers.
    const gone = new Promise((resolve) => spare.addEventListener('load', resolve, { once: true }))
    spare.srcdoc = '<p>nobody</p>'
    await gone
    await spawn('b')
    expect(host.frameCount()).toBe(2)
    expect(framesInPage()).not.toContain(spare)
  })

  it('that die while they load are replaced after the next domain', async () => {
    const { spawn } = open()
    let killed: HTMLIFrameElement | undefined
    const observer = new MutationObserver(() => {
      if (killed || framesInPage().length < 2) return
      killed = framesInPage()[1]
      killed?.remove() // before it has loaded
    })
    observer.observe(document.body, { childList: true })
    closers.push(() => observer.disconnect())
    await spawn('a')
    await expect.poll(() => killed).toBeDefined()
    await spawn('b')
    await expect.poll(() => framesInPage().length).toBe(3)
  })

  it('wait for so long', async () => {
    const removed: Node[] = []
    const observer = new MutationObserver((changes) =>
      removed.push(...changes.flatMap((each) => [...each.removedNodes])),
    )
    observer.observe(document.body, { childList: true })
    closers.push(() => observer.disconnect())
    const { host, spawn } = open(runtime, { spareMs: 1 })
    await spawn('a')
    const [used] = framesInPage()
    await expect.poll(() => removed.length).toBe(1)
    expect(framesInPage()).toEqual([used])
    expect(host.frameCount()).toBe(1)
  })

  it('report a runtime that cannot be fetched', async () => {
    const { port1, port2 } = new MessageChannel()
    const host = hostSandboxes(port1, { taskRuntimeSource: () => Promise.reject(new Error('offline')) })
    const sandbox = createSandbox(port2)
    await expect(sandbox.spawn({ domain: 'a', signal })).rejects.toThrow(/offline/)
    expect(host.frameCount()).toBe(0)
    sandbox.close()
    host.close()
  })

  it('tell of their workers’ end when the page closes them', async () => {
    const { host, spawn } = open()
    const worker = await spawn()
    const exit = new Promise<string>((resolve) => worker.onExit(resolve))
    host.close()
    expect(await exit).toMatch(/closed its sandboxes/)
  })

  it('that die without a word are noticed, and the domain starts anew', async () => {
    const { host, spawn } = open(runtime, { framePingMs: 100 })
    const worker = await spawn()
    const exit = new Promise<string>((resolve) => worker.onExit(resolve))
    document.querySelector('iframe[sandbox]')?.remove() // as if its renderer had been killed
    expect(await exit).toMatch(/does not answer/)
    await spawn()
    expect(host.frameCount()).toBe(1)
  })
})

describe('workers', () => {
  it('that never become ready fail with ETIMEDOUT', async () => {
    const { spawn } = open('1', { spawnTimeoutMs: 300 })
    await expect(spawn()).rejects.toSatisfy((error) => isOsError(error, 'ETIMEDOUT'))
  })

  it('whose runtime does not parse fail with ENOTSUP', async () => {
    const { spawn } = open('this is not JavaScript')
    await expect(spawn()).rejects.toSatisfy((error) => isOsError(error, 'ENOTSUP'))
  })

  it('in an infinite loop are killed at once', async () => {
    const { spawn } = open()
    const worker = await spawn()
    const { inbox } = await load(worker, 'export const start = (e, os) => { os.print("on"); for (;;) {} }')
    worker.post(event())
    await expect.poll(() => inbox.seen.some(({ t }) => t === 'call')).toBe(true)
    worker.terminate()
    // The core is free again: a fresh worker in the same frame runs a task.
    const next = await spawn()
    const second = await load(next, 'export const start = () => 1')
    next.post(event())
    expect(await second.inbox.next()).toEqual({ t: 'done', id: '0', result: 1 })
  })

  it('that flood their port are cut off, and the kernel stays responsive', async () => {
    const flood =
      'onmessage = (e) => { const p = e.ports[0]; for (;;) p.postMessage({ t: "flood", x: "y".repeat(100) }) }'
    const { spawn } = open(flood)
    const worker = await spawn()
    let received = 0
    const cutOff = new Promise<void>((resolve) => {
      worker.onMessage(() => {
        if (++received < 1000) return
        worker.terminate()
        resolve()
      })
    })
    await cutOff
    await new Promise((resolve) => setTimeout(resolve, 0))
    expect(received).toBe(1000)
  })

  it('that flood before anybody listens are cut off', async () => {
    const flood = 'onmessage = (e) => { const p = e.ports[0]; for (let i = 0; i < 1e4; i++) p.postMessage(i) }'
    const worker = await open(flood).spawn()
    const reason = await new Promise<string>((resolve) => worker.onExit(resolve))
    expect(reason).toMatch(/flooded/)
  })
})

describe('errors carry the place in the user’s own source', () => {
  async function failure(source: string) {
    const worker = await open().spawn()
    const { inbox, loaded } = await load(worker, source)
    if (loaded.t === 'load-failed') return loaded
    worker.post(event())
    return inbox.next()
  }

  it('a program that does not parse', async () => {
    expect(await failure('export const start = 1\nlet x = 1\nlet let = 5 +\n')).toMatchObject({
      t: 'load-failed',
      message: expect.stringContaining('SyntaxError'),
      line: 3,
    })
  })

  it('a program that does not parse in its first line', async () => {
    expect(await failure('const a = ;')).toMatchObject({ t: 'load-failed', line: 1, column: 11 })
  })

  it('a program that ends too early', async () => {
    expect(await failure('export function start() {\n  if (1) {\n')).toMatchObject({ t: 'load-failed', line: 3 })
  })

  it('an exception at the top level', async () => {
    expect(await failure('\n\nthrow new RangeError("top")')).toMatchObject({
      t: 'load-failed',
      message: 'RangeError: top',
      line: 3,
      column: 7,
    })
  })

  it('a SyntaxError thrown at the top level, without running the program twice', async () => {
    expect(await failure('\nJSON.parse("{")')).toMatchObject({ t: 'load-failed', line: 2 })
  })

  it('an import that the sandbox refuses', async () => {
    expect(await failure('import x from "lodash"\nexport const start = () => x')).toMatchObject({
      t: 'load-failed',
      message: expect.stringContaining('lodash'),
    })
  })

  it('an exception in a task', async () => {
    const failed = await failure('export function start() {\n  const a = null\n  return a.b\n}')
    expect(failed).toMatchObject({ t: 'failed', id: '0', line: 3, column: 12 })
    expect(failed['message']).toMatch(/^TypeError: /)
    expect(failed['stack']).toMatch(/test\.js:3:12/)
    expect(failed['stack']).not.toMatch(/blob:/)
  })

  it('a rejected promise', async () => {
    const source = 'export async function start() {\n  await null\n  throw new Error("later")\n}'
    expect(await failure(source)).toMatchObject({ t: 'failed', message: 'Error: later', line: 3 })
  })

  it('a thrown value that is no Error', async () => {
    expect(await failure('export const start = () => { throw { why: 42 } }')).toMatchObject({
      t: 'failed',
      message: 'the task threw {"why":42}, which is not an Error',
    })
  })

  it('a rejection that nobody handles, although the handler returns', async () => {
    const source = 'export async function start() {\n  Promise.reject(new Error("lost"))\n  return 1\n}'
    for (let i = 0; i < 20; i++) expect(await failure(source)).toMatchObject({ message: 'Error: lost', line: 2 })
  })

  it('an error in a timer while a handler waits', async () => {
    const source = `export const start = () => new Promise(() => {
  setTimeout(() => {
    throw new Error("tick")
  }, 1)
})`
    expect(await failure(source)).toMatchObject({ t: 'failed', message: 'Error: tick', line: 3 })
  })

  it('a call that the kernel refuses', async () => {
    const worker = await open().spawn()
    const source = 'export async function start(event, os) {\n  await null\n  await os.fs.readFile("/none")\n}'
    const { inbox } = await load(worker, source)
    worker.onMessage((message) => {
      const { t, id } = message as { t: string; id: number }
      if (t === 'call') worker.post({ t: 'reply', id, ok: false, code: 'ENOENT', message: 'no such file: /none' })
      else inbox.seen.push(message as never)
    })
    worker.post(event())
    await expect
      .poll(() => inbox.seen.at(-1))
      .toMatchObject({
        t: 'failed',
        message: 'ENOENT: no such file: /none',
        line: 3,
      })
  })

  it('a result that cannot travel', async () => {
    expect(await failure('export const start = () => ({ when: new Date() })')).toMatchObject({
      t: 'failed',
      message: expect.stringContaining('the result of start.when is a Date'),
    })
  })
})

describe('console', () => {
  it('writes to the task’s stderr', async () => {
    const worker = await open().spawn()
    const { inbox } = await load(
      worker,
      'console.log("early"); export const start = () => console.log("hi", { a: 1 }, new Map([[2n, []]]))',
    )
    worker.post(event())
    const writes: string[] = []
    await inbox.next((call) => {
      const { ref, bytes } = call['args'] as { ref: number; bytes: Uint8Array }
      writes.push(`${ref}: ${new TextDecoder().decode(bytes)}`)
      return { size: bytes.byteLength }
    })
    expect(writes.join('')).toBe('2: early\n2: hi { a: 1 } Map(1) { 2n => [] }\n')
  })
})
