// What every Sandbox must do; each adapter's test calls this with a factory. The workers run the real task runtime,
// so the messages are those of syscalls/protocol.ts.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isOsError } from '../base/errors.ts'
import type { Sandbox, SandboxWorker } from './sandbox.ts'

type Message = { t: string } & Record<string, unknown>

/** A worker's messages as a queue that a test can wait on. */
export class Inbox {
  readonly #worker: SandboxWorker
  readonly #queue: Message[] = []
  #wake: () => void = () => {}
  readonly seen: Message[] = []

  constructor(worker: SandboxWorker) {
    this.#worker = worker
    worker.onMessage((message) => {
      this.seen.push(message as Message)
      this.#queue.push(message as Message)
      this.#wake()
    })
  }

  /** The next message; calls (`t: 'call'`) are answered with `answer` and skipped. */
  async next(answer: (message: Message) => unknown = () => ({})): Promise<Message> {
    for (;;) {
      const message = this.#queue.shift()
      if (message?.t === 'call') {
        this.#worker.post({ t: 'reply', id: message['id'], ok: true, value: answer(message) })
      } else if (message) return message
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}

export function sandboxContract(
  name: string,
  make: () => Promise<{ sandbox: Sandbox; close(): void | Promise<void> }>,
): void {
  describe(`${name} keeps the sandbox contract`, () => {
    let sandbox: Sandbox
    let close: () => void | Promise<void>
    const signal = new AbortController().signal
    const spawn = (domain = 'a') => sandbox.spawn({ domain, signal })

    beforeEach(async () => {
      ;({ sandbox, close } = await make())
    })
    afterEach(async () => {
      sandbox.close()
      await close()
    })

    async function started(source: string, domain = 'a') {
      const worker = await spawn(domain)
      const inbox = new Inbox(worker)
      expect(await inbox.next()).toEqual({ t: 'ready' })
      worker.post({ t: 'load', name: 'test.js', source })
      return { worker, inbox, loaded: await inbox.next() }
    }

    it('offers at least one slot', () => {
      expect(sandbox.slots).toBeGreaterThanOrEqual(1)
    })

    it('delivers the runtime’s `ready` to a listener that comes after the spawn', async () => {
      expect(await new Inbox(await spawn()).next()).toEqual({ t: 'ready' })
    })

    it('runs a program’s tasks and carries their results', async () => {
      const { worker, inbox, loaded } = await started('export const start = ({ data }) => data.a + data.b')
      expect(loaded).toEqual({ t: 'loaded', tasks: ['start'] })
      worker.post({ t: 'run', events: [{ id: '0', task: 'start', data: { a: 1, b: 2 } }] })
      expect(await inbox.next()).toEqual({ t: 'done', id: '0', result: 3 })
    })

    it('keeps messages in order', async () => {
      const { worker, inbox } = await started('export const start = (event) => event.data')
      for (let i = 0; i < 50; i++) worker.post({ t: 'run', events: [{ id: `${i}`, task: 'start', data: i }] })
      for (let i = 0; i < 50; i++) expect(await inbox.next()).toEqual({ t: 'done', id: `${i}`, result: i })
    })

    it('hands over copies: what is changed after a post does not change on the other side', async () => {
      const { worker, inbox } = await started('export const start = (event) => event.data')
      const data = new Uint8Array([1, 2, 3])
      worker.post({ t: 'run', events: [{ id: '0', task: 'start', data }] })
      data[0] = 9
      expect((await inbox.next())['result']).toEqual(new Uint8Array([1, 2, 3]))
    })

    it('gives each worker its own module state', async () => {
      const source = 'let n = 0; export const start = () => ++n'
      for (const domain of ['a', 'a', 'b']) {
        const { worker, inbox } = await started(source, domain)
        worker.post({ t: 'run', events: [{ id: '0', task: 'start', data: null }] })
        expect(await inbox.next()).toEqual({ t: 'done', id: '0', result: 1 })
      }
    })

    it('delivers nothing after terminate, which is idempotent and reports no exit', async () => {
      const { worker, inbox } = await started('export const start = (event, os) => { os.print("x"); return 1 }')
      const exits: string[] = []
      worker.onExit((reason) => exits.push(reason))
      worker.post({ t: 'run', events: [{ id: '0', task: 'start', data: null }] })
      const before = inbox.seen.length
      worker.terminate()
      worker.terminate()
      worker.post({ t: 'ping', n: 1 })
      const other = await started('export const start = () => 2', 'b') // time passes: another worker's whole start
      expect(other.loaded).toEqual({ t: 'loaded', tasks: ['start'] })
      expect(inbox.seen.length).toBe(before)
      expect(exits).toEqual([])
    })

    it('ends all workers of a dropped domain, and no others', async () => {
      const source = 'export const start = () => 1'
      const first = await started(source, 'a')
      const second = await started(source, 'a')
      const other = await started(source, 'b')
      sandbox.dropDomain('a')
      sandbox.dropDomain('a')
      for (const { worker } of [first, second, other]) worker.post({ t: 'ping', n: 7 })
      expect(await other.inbox.next()).toEqual({ t: 'pong', n: 7 })
      expect([first, second].map(({ inbox }) => inbox.seen.some(({ t }) => t === 'pong'))).toEqual([false, false])
    })

    it('starts a domain anew after it was dropped', async () => {
      await started('export const start = () => 1')
      sandbox.dropDomain('a')
      expect((await started('export const start = () => 2')).loaded['t']).toBe('loaded')
    })

    it('rejects an aborted spawn with ECANCELED', async () => {
      const controller = new AbortController()
      const pending = sandbox.spawn({ domain: 'a', signal: controller.signal })
      controller.abort()
      await expect(pending).rejects.toSatisfy((error) => isOsError(error, 'ECANCELED'))
      await expect(sandbox.spawn({ domain: 'a', signal: controller.signal })).rejects.toSatisfy((error) =>
        isOsError(error, 'ECANCELED'),
      )
    })

    it('ends everything when it is closed', async () => {
      const { worker, inbox } = await started('export const start = () => 1')
      sandbox.close()
      sandbox.close()
      const before = inbox.seen.length
      worker.post({ t: 'ping', n: 1 })
      await expect(spawn()).rejects.toSatisfy((error) => isOsError(error))
      expect(inbox.seen.length).toBe(before)
    })
  })
}
