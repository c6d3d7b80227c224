// The caller's side of the ABI against a link that the test answers.
import { describe, expect, it } from 'vitest'
import { SyscallClient } from './client.ts'
import type { CallerMessage, MessageLink, ProgressMessage, ReplyMessage } from './protocol.ts'
import type { Progress } from './types.ts'

function client(window: number) {
  const posts: CallerMessage[][] = []
  const link: MessageLink = {
    post(message, transfer = []) {
      posts.push([structuredClone(message, { transfer: [...transfer] }) as CallerMessage].flat())
    },
    onMessage: () => {},
    close: () => {},
  }
  return { posts, calls: new SyscallClient(link, { listen: false, window }) }
}
const done = (id: number): ReplyMessage => ({ t: 'reply', id, ok: true, value: { id: `${id}` } })
const numbers = (posts: CallerMessage[][]) => posts.map((post) => post.map(({ id }) => id))

describe('a long call', () => {
  it('tells who asked how far it is, until it ends or is cancelled', async () => {
    const { posts, calls } = client(8)
    const told: number[] = []
    const cancel = new AbortController()
    const onProgress = ({ done }: Progress) => void told.push(done)
    const one = calls.call('change', { op: 'repair' }, { onProgress })
    const two = calls.call('change', { op: 'repair' }, { onProgress, signal: cancel.signal })
    const three = calls.call('change', { op: 'repair' })
    expect(posts.flat().map((message) => message.t === 'call' && message.progress)).toEqual([true, true, undefined])
    const far = (id: number, done: number): ProgressMessage => ({
      t: 'progress',
      id,
      progress: { done, unit: 'files' },
    })
    calls.accept([far(1, 10), far(2, 20), far(3, 30), far(99, 40)])
    await Promise.resolve()
    expect(told).toEqual([10, 20])
    cancel.abort()
    await expect(two).rejects.toMatchObject({ code: 'ECANCELED' })
    calls.accept([far(1, 11), far(2, 21), done(1), far(1, 12), done(3)])
    await Promise.all([one, three])
    expect(told).toEqual([10, 20, 11])
  })
})

describe('the window of a caller', () => {
  it('sends in one message what has become possible by one', async () => {
    const { posts, calls } = client(2)
    const answers = [1, 2, 3, 4, 5].map((n) => calls.call('emit', { task: 'one', data: n }))
    expect(numbers(posts)).toEqual([[1], [2]])
    calls.accept([done(1), done(2)])
    expect(numbers(posts)).toEqual([[1], [2], [3, 4]])
    calls.accept(done(4))
    expect(numbers(posts)).toEqual([[1], [2], [3, 4], [5]])
    calls.accept([done(3), done(5)])
    expect((await Promise.all(answers)).map(({ id }) => id)).toEqual(['1', '2', '3', '4', '5'])
  })

  it('sends what the arguments were when the call was made, however late that is', () => {
    const { posts, calls } = client(1)
    const data = { n: 0 }
    for (data.n = 1; data.n <= 3; data.n++) void calls.call('emit', { task: 'one', data })
    for (const id of [1, 2]) calls.accept(done(id))
    expect(posts.flat().map((message) => message.t === 'call' && message.args)).toEqual(
      [1, 2, 3].map((n) => ({ task: 'one', data: { n } })),
    )
  })

  it('holds of a view what it shows, and not the buffer behind it', () => {
    const { posts, calls } = client(1)
    const buffer = new Uint8Array(1_000_000)
    void calls.call('emit', { task: 'one', data: null })
    for (let i = 0; i < 3; i++) void calls.call('emit', { task: 'one', data: [{ part: buffer.subarray(i, i + 2) }] })
    for (const id of [1, 2]) calls.accept(done(id))
    const [, second] = posts.flat() as { args: { data: [{ part: Uint8Array }] } }[]
    expect(second?.args.data[0].part.buffer.byteLength).toBe(2)
  })

  it('refuses what cannot be cloned at once, also when it would have to wait', async () => {
    const { posts, calls } = client(1)
    const broken = { task: 'one', data: () => 1 } as never
    await expect(calls.call('emit', broken)).rejects.toMatchObject({ code: 'EINVAL' })
    void calls.call('emit', { task: 'one', data: 1 })
    await expect(calls.call('emit', broken)).rejects.toMatchObject({ code: 'EINVAL' })
    calls.accept(done(2))
    expect(numbers(posts)).toEqual([[2]])
  })

  it('does not send what was cancelled while it waited', async () => {
    const { posts, calls } = client(1)
    const stop = new AbortController()
    void calls.call('emit', { task: 'one', data: 1 })
    const second = calls.call('emit', { task: 'one', data: 2 }, { signal: stop.signal })
    void calls.call('emit', { task: 'one', data: 3 })
    stop.abort()
    await expect(second).rejects.toMatchObject({ code: 'ECANCELED' })
    calls.accept(done(1))
    expect(numbers(posts)).toEqual([[1], [3]])
  })
})

describe('many calls of one turn', () => {
  const turn = () => Promise.resolve()

  it('travel together beyond the first few, as they were made, and in order', async () => {
    const { posts, calls } = client(128)
    const data = { n: 0 }
    for (data.n = 1; data.n <= 20; data.n++) void calls.call('emit', { task: 'one', data })
    await turn()
    expect(posts.map((post) => post.length)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 12])
    expect(posts.flat().map((message) => message.t === 'call' && (message.args as { data: unknown }).data)).toEqual(
      Array.from({ length: 20 }, (_, i) => ({ n: i + 1 })),
    )
  })

  it('are overtaken by nothing: not by a cancel, nor by a call when there is room again', async () => {
    const { posts, calls } = client(128)
    const stop = new AbortController()
    const cancelled = Array.from({ length: 12 }, () =>
      calls.call('emit', { task: 'x', data: 1 }, { signal: stop.signal }),
    )
    for (const each of cancelled) each.catch(() => undefined)
    stop.abort()
    const bytes = new Uint8Array([1])
    void calls.call('write', { ref: 1, bytes })
    bytes.fill(0)
    await turn()
    expect(posts.slice(0, 9).map((post) => post.map(({ t }) => t))).toEqual([
      ...Array.from({ length: 8 }, () => ['call']),
      ['call', 'call', 'call', 'call'],
    ])
    expect(
      posts
        .slice(9)
        .flat()
        .filter(({ t }) => t === 'cancel'),
    ).toHaveLength(12)
    expect(posts.flat().at(-1)).toMatchObject({ call: 'write', args: { bytes: new Uint8Array([1]) } })
    expect(Math.max(...posts.map((post) => post.length))).toBeLessThanOrEqual(128)
  })

  it('are not made any more when whoever wanted them is over', () => {
    const { posts, calls } = client(1)
    const [one, other] = [{}, {}]
    for (const of of [one, one, other]) void calls.call('emit', { task: 'x', data: 1 }, { of })
    calls.forget(one)
    calls.accept(done(1))
    expect(numbers(posts)).toEqual([[1], [3]])
  })
})

describe('large bytes', () => {
  const bytesOf = (message: CallerMessage | undefined) => (message as { args: { bytes: Uint8Array } }).args.bytes

  it('are moved as a copy, so that the caller keeps its own, also where its slices are views', async () => {
    const { posts, calls } = client(128)
    const shared = new Uint8Array(new SharedArrayBuffer(100_000))
    for (const bytes of [new Uint8Array(100_000), Buffer.alloc(100_000), shared]) {
      void calls.call('write', { ref: 1, bytes: bytes.fill(7) })
      expect(bytes.byteLength).toBe(100_000)
      expect(bytesOf(posts.at(-1)?.[0]).every((byte) => byte === 7)).toBe(true)
    }
    expect(posts).toHaveLength(3)
  })

  it('may be parts of one memory, sent together', async () => {
    const { posts, calls } = client(128)
    const buffer = Buffer.alloc(20 * 32_768, 7)
    for (let at = 0; at < buffer.byteLength; at += 32_768) {
      void calls.call('write', { ref: 1, bytes: buffer.subarray(at, at + 32_768) })
    }
    await Promise.resolve()
    expect(posts.flat().map((message) => bytesOf(message).byteLength)).toEqual(Array(20).fill(32_768))
  })

  it('that cannot be copied are refused with words for whoever gave them', async () => {
    const link: MessageLink = { post: (message) => void structuredClone(message), onMessage: () => {}, close: () => {} }
    const calls = new SyscallClient(link, { listen: false })
    for (const path of [() => '/f', new Proxy({}, {}), Symbol('f')]) {
      await expect(calls.call('open', { path: path as never, mode: 'r' })).rejects.toMatchObject({
        code: 'EINVAL',
        message: expect.stringMatching(/^open: an argument cannot be copied to the kernel/),
      })
    }
  })

  it('do not take other calls with them when they cannot be sent', async () => {
    const refused = new Error('DataCloneError')
    const link: MessageLink = {
      post() {
        throw refused
      },
      onMessage: () => {},
      close: () => {},
    }
    const calls = new SyscallClient(link, { listen: false, window: 1 })
    const [first, second] = [1, 2].map((n) => calls.call('emit', { task: 'one', data: n }))
    await expect(first).rejects.toMatchObject({ code: 'EINVAL', cause: refused })
    calls.accept([])
    await expect(second).rejects.toMatchObject({ code: 'EINVAL' })
  })
})
