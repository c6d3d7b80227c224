// What untrusted code must not reach. Every probe runs three times: in a plain worker of this page, where it must
// succeed (else it proves nothing), in a worker that only the frame's policy holds, and in the locked-down runtime.
import runtime from 'virtual:brittlestar-task-runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Inbox } from '../../ports/sandbox.contract.ts'
import { hostSandboxes, type SandboxHost } from './page.ts'
import { createSandbox } from './worker.ts'

const signal = new AbortController().signal
const MODULE = new URL('./limits.ts', import.meta.url).href

interface Probe {
  name: string
  /** Body of an async function of (url, wait). Throwing or a policy violation means: refused. */
  body: string
  /** False for what a plain worker has not either. */
  control?: false
  /** False where the policy alone lets it be, because it stays within the opaque origin. */
  policy?: false
}

const probes: Probe[] = [
  { name: 'fetch', body: `await fetch(url, { mode: 'no-cors' })` },
  { name: 'XMLHttpRequest', body: `const x = new XMLHttpRequest(); x.open('GET', url, false); x.send()` },
  { name: 'WebSocket', body: `new WebSocket(url.replace('http', 'ws')); await wait(50)` },
  { name: 'EventSource', body: `new EventSource(url); await wait(50)` },
  { name: 'WebTransport', body: `new WebTransport('https://localhost:1/').closed.catch(() => {}); await wait(50)` },
  {
    name: 'importScripts of http',
    // It is a module: a SyntaxError says that it was fetched.
    body: `try { importScripts(url) } catch (error) { if (error.name !== 'SyntaxError') throw error }`,
  },
  { name: 'importScripts of data', body: `importScripts('data:text/javascript,1')` },
  { name: 'import() of http', body: `await import(/* @vite-ignore */ url)` },
  { name: 'import() of data', body: `await import('data:text/javascript,export const a = 1')` },
  {
    name: 'IndexedDB',
    body: `await new Promise((resolve, reject) => {
      const request = indexedDB.open('probe'); request.onsuccess = resolve; request.onerror = () => reject(request.error)
    })`,
  },
  { name: 'caches', body: `await caches.open('probe')` },
  { name: 'OPFS', body: `await navigator.storage.getDirectory()` },
  { name: 'locks', body: `await navigator.locks.request('probe', () => 1)` },
  { name: 'SharedArrayBuffer', body: `new SharedArrayBuffer(1)`, control: false },
  { name: 'RTCPeerConnection', body: `new RTCPeerConnection()`, control: false },
  { name: 'service workers', body: `await navigator.serviceWorker.register('/x.js')`, control: false },
  { name: 'sendBeacon', body: `if (!navigator.sendBeacon(url)) throw new Error('not sent')`, control: false },
  { name: 'a nested data: worker', body: nested(`'data:text/javascript,postMessage(1)'`) },
  { name: 'a nested blob worker', body: nested(blob(`postMessage(1)`)), policy: false },
  {
    name: 'fetch of a nested blob worker',
    body: nested(blob(`fetch(${JSON.stringify(MODULE)}, { mode: 'no-cors' }).then(() => postMessage(1))`)),
  },
  {
    name: 'import() of a nested blob worker',
    body: nested(blob(`import(${JSON.stringify(MODULE)}).then(() => postMessage(1))`)),
  },
  { name: 'a shared worker', body: `new SharedWorker('data:text/javascript,1'); await wait(50)`, control: false },
  { name: 'eval', body: `(0, eval)('1 + 1')` },
  { name: 'new Function', body: `new Function('return 1')()` },
  { name: 'a function from a string, by way of a prototype', body: `(async () => {}).constructor('return 1')()` },
  { name: 'a timer with a string', body: `setTimeout('1', 0); await wait(20)` },
  { name: 'the parent window', body: `parent.document.title`, control: false },
  { name: 'the top window', body: `top.location.href`, control: false },
  { name: 'messages to the frame', body: `self.postMessage({ t: 'spawn' })`, control: false, policy: false },
  {
    name: 'ending its own worker',
    body: `if (typeof self.close !== 'function') throw new Error('absent')`,
    policy: false,
  },
]

function blob(source: string): string {
  return `URL.createObjectURL(new Blob([${JSON.stringify(source)}], { type: 'text/javascript' }))`
}

function nested(url: string): string {
  return `await new Promise((resolve, reject) => {
    const worker = new Worker(${url}); worker.onmessage = resolve; worker.onerror = reject
    wait(700).then(() => reject(new Error('no sign of life')))
  })`
}

/** A program whose `start` is 'escaped' or the reason why not. */
function programOf(body: string): string {
  return `
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
let violation
self.addEventListener('securitypolicyviolation', (event) => { violation ??= event.violatedDirective })
export async function start() {
  const url = ${JSON.stringify(MODULE)}
  try { ${body} } catch (error) { return 'refused: ' + error }
  await wait(0)
  return violation ? 'refused by ' + violation : 'escaped'
}`
}

/** Imports and runs what it is sent; locks nothing down. */
const BARE = `onmessage = (event) => {
  const port = event.ports[0] ?? self
  const run = async (source) => {
    const program = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })))
    port.postMessage(await program.start())
  }
  if (event.ports[0]) { port.onmessage = ({ data }) => run(data); port.postMessage('ready') }
  else run(event.data)
}`

async function inPlainWorker(source: string): Promise<unknown> {
  const url = URL.createObjectURL(new Blob([BARE], { type: 'text/javascript' }))
  const worker = new Worker(url)
  try {
    worker.postMessage(source)
    return await new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = (event) => resolve(`worker failed: ${event.message}`)
    })
  } finally {
    worker.terminate()
    URL.revokeObjectURL(url)
  }
}

const hosts: SandboxHost[] = []
function sandboxWith(source: string) {
  const { port1, port2 } = new MessageChannel()
  hosts.push(hostSandboxes(port1, { taskRuntimeSource: async () => source }))
  return createSandbox(port2)
}
let policyOnly: ReturnType<typeof sandboxWith>
let lockedDown: ReturnType<typeof sandboxWith>
beforeAll(() => {
  policyOnly = sandboxWith(BARE)
  lockedDown = sandboxWith(runtime)
})
afterAll(() => {
  for (const host of hosts) host.close()
})

async function underPolicy(source: string): Promise<unknown> {
  const worker = await policyOnly.spawn({ domain: 'probe', signal })
  const answers: unknown[] = []
  worker.onMessage((message) => answers.push(message))
  worker.post(source)
  await expect.poll(() => answers.length, { timeout: 5000 }).toBe(2)
  worker.terminate()
  return answers[1]
}

async function inRuntime(source: string, events = 1) {
  const worker = await lockedDown.spawn({ domain: 'probe', signal })
  const inbox = new Inbox(worker)
  await inbox.next()
  worker.post({ t: 'load', name: 'probe.js', source })
  const loaded = await inbox.next()
  if (loaded.t !== 'loaded') throw new Error(`${loaded.t}: ${loaded['message']}`)
  let result: unknown
  for (let i = 0; i < events; i++) {
    worker.post({ t: 'run', events: [{ id: `${i}`, task: 'start', data: null }] })
    const done = await inbox.next(answerCall)
    result = done.t === 'done' ? done['result'] : `refused: ${done['message']}`
  }
  worker.terminate()
  return { result, seen: inbox.seen }
}

function answerCall(message: Record<string, unknown>): unknown {
  if (message['call'] === 'open') return { ref: 9, kind: 'file', size: 1 }
  if (message['call'] === 'read') return { bytes: new Uint8Array(0) }
  if (message['call'] === 'emit') return { id: '0.0' }
  return {}
}

const refused = expect.stringMatching(/^refused/)

for (const { name, body, control, policy } of probes) {
  describe(name, () => {
    const source = programOf(body)
    if (control !== false) {
      it('works in a plain worker of the page (control)', async () => {
        expect(await inPlainWorker(source)).toBe('escaped')
      })
    }
    if (policy !== false) {
      it('is refused by the frame’s policy or origin alone', async () => {
        expect(await underPolicy(source)).toEqual(refused)
      })
    }
    it('is refused in the task runtime', async () => {
      expect((await inRuntime(source)).result).toEqual(refused)
    })
  })
}

describe('a BroadcastChannel', () => {
  const source = programOf(`new BroadcastChannel('probe').postMessage('out'); await wait(100)`)
  async function heard(run: () => Promise<unknown>): Promise<unknown[]> {
    const channel = new BroadcastChannel('probe')
    const messages: unknown[] = []
    channel.onmessage = ({ data }) => messages.push(data)
    await run()
    channel.close()
    return messages
  }
  it('reaches the page from a plain worker (control)', async () => {
    expect(await heard(() => inPlainWorker(source))).toEqual(['out'])
  })
  it('does not leave the opaque origin', async () => {
    expect(await heard(() => underPolicy(source))).toEqual([])
  })
  it('does not exist in the task runtime', async () => {
    expect((await inRuntime(source)).result).toEqual(refused)
  })
})

describe('what a program needs', () => {
  it('is there: timers, randomness, text, WebAssembly, performance, structuredClone', async () => {
    const source = `export async function start() {
      const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])
      await new Promise((resolve) => setTimeout(resolve, 1))
      return [
        (await WebAssembly.instantiate(wasm)).module instanceof WebAssembly.Module,
        crypto.getRandomValues(new Uint8Array(4)).length,
        new TextDecoder().decode(new TextEncoder().encode('é')), structuredClone({ a: 1 }).a, performance.now() > 0,
        typeof navigator, typeof location, typeof process,
      ]
    }`
    const { result } = await inRuntime(source)
    expect(result).toEqual([true, 4, 'é', 1, true, 'undefined', 'undefined', 'undefined'])
  })
})

describe('the kernel’s port', () => {
  // Wraps every function it can find and looks at each `this`, argument and result for a port or a link.
  const SPY = `
const apply = Reflect.apply, isPort = MessagePort, caught = []
const own = new MessageChannel(), isEvent = Event
const targets = ['target', 'currentTarget', 'srcElement'].map((name) => Object.getOwnPropertyDescriptor(Event.prototype, name).get)
function look(value, where) {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return
  if (value instanceof isPort && value !== own.port1 && value !== own.port2) caught[caught.length] = where + ' is a port'
  else if (value instanceof isEvent) {
    for (let i = 0; i < targets.length; i++) look(apply(targets[i], value, []), where + ' event target')
  } else if (typeof value.post === 'function') caught[caught.length] = where + ' is a link'
  else if (typeof value.accept === 'function') caught[caught.length] = where + ' is a client'
}
function spy(object, path) {
  for (const name of Reflect.ownKeys(object)) {
    const d = Reflect.getOwnPropertyDescriptor(object, name)
    if (!d.configurable || name === 'constructor') continue
    const at = path + '.' + String(name)
    let touched = false
    for (const kind of ['value', 'get', 'set']) {
      const original = d[kind]
      if (typeof original !== 'function') continue
      touched = true
      d[kind] = function (...args) {
        look(this, at + ' this')
        for (let i = 0; i < args.length; i++) look(args[i], at + ' argument')
        const result = new.target ? Reflect.construct(original, args, new.target) : apply(original, this, args)
        look(result, at + ' result')
        return result
      }
      if (original.prototype) d[kind].prototype = original.prototype
    }
    if (touched) Reflect.defineProperty(object, name, d)
  }
}
const iterator = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))
for (const [object, path] of [
  [MessagePort.prototype, 'MessagePort'], [MessageEvent.prototype, 'MessageEvent'], [Event.prototype, 'Event'],
  [EventTarget.prototype, 'EventTarget'], [Map.prototype, 'Map'], [Set.prototype, 'Set'], [WeakMap.prototype, 'WeakMap'],
  [Promise.prototype, 'Promise.prototype'], [Promise, 'Promise'], [Array.prototype, 'Array.prototype'], [Array, 'Array'],
  [String.prototype, 'String'], [RegExp.prototype, 'RegExp'], [Object, 'Object'], [JSON, 'JSON'],
  [TextEncoder.prototype, 'TextEncoder'], [AbortSignal.prototype, 'AbortSignal'], [iterator, 'iterator'],
  [Uint8Array.prototype.__proto__, 'TypedArray'], [Error.prototype, 'Error'], [URL, 'URL'],
]) spy(object, path)
for (const name of ['call', 'apply', 'bind', Symbol.hasInstance]) {
  const original = Function.prototype[name]
  try {
    Function.prototype[name] = function (...args) {
      look(this, 'Function.' + String(name)); for (let i = 0; i < args.length; i++) look(args[i], 'Function.' + String(name))
      return apply(original, this, args)
    }
  } catch {}
}
for (const name of ['Promise', 'Map', 'Set', 'Error']) {
  const Original = globalThis[name]
  globalThis[name] = new Proxy(Original, { construct(target, args, self) {
    for (let i = 0; i < args.length; i++) look(args[i], name + ' argument')
    return Reflect.construct(target, args, self)
  } })
}
Error.prepareStackTrace = (error, sites) => {
  for (let i = 0; i < sites.length; i++) { look(sites[i].getThis?.(), 'stack this'); look(sites[i].getFunction?.(), 'stack function') }
  return ''
}
for (const type of ['message', 'error', 'unhandledrejection']) addEventListener(type, (event) => look(event, type))
export async function start(event, os) {
  await os.print('one'); await os.error('two'); console.log('three')
  await os.emit('start', { a: [1] }); await os.gather(['0.0'], 'start')
  await os.fs.readFile('/x', 'utf8'); await os.fs.writeFile('/y', 'text')
  await os.fs.open('/z').then((handle) => handle.close())
  setTimeout(() => {}, 1)
  for (const part of [os, os.fs, Object.getPrototypeOf(os), os.fs.constructor, globalThis]) {
    for (const key of Reflect.ownKeys(part)) { try { look(part[key], 'os') } catch {} }
  }
  new Error('look').stack
  return caught
}`

  it('is never seen by a program that has replaced every prototype it can', async () => {
    const { result, seen } = await inRuntime(SPY, 3)
    expect(result).toEqual([])
    const kinds = new Set(seen.map(({ t }) => t))
    expect([...kinds].sort()).toEqual(['call', 'done', 'loaded', 'ready'])
    expect(seen.filter(({ t }) => t === 'done').map((message) => message['id'])).toEqual(['0', '1', '2'])
  })

  it('cannot be had from the runtime’s own top-level names', async () => {
    // A classic script's top-level names would be visible to modules: the runtime stands in a block.
    const names = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_', 'task']
    const source = `export const start = () => [${names.map((name) => `typeof ${name} !== 'undefined' && '${name}'`)}].filter(Boolean)`
    expect((await inRuntime(source)).result).toEqual([])
  })
})
