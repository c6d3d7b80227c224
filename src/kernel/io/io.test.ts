import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { MAX_CALLS_IN_FLIGHT, MAX_OPEN_REFS } from '../../syscalls/limits.ts'
import type { ProgressMessage, Replies, ReplyMessage } from '../../syscalls/protocol.ts'
import type { OnProgress } from '../../syscalls/types.ts'
import { bytesReader } from '../fs/handles.ts'
import { PROGRESS_MS } from '../limits.ts'
import { CallServer, type Dispatch } from './call-server.ts'
import { References } from './references.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
function server(dispatch: Dispatch) {
  const replies: ReplyMessage[] = []
  const told: ProgressMessage[] = []
  const transfers: (readonly ArrayBuffer[] | undefined)[] = []
  let nowMs = 0
  const post = (message: Replies, transfer?: readonly ArrayBuffer[]) => {
    for (const each of [message].flat()) (each.t === 'reply' ? replies : told).push(each as never)
    transfers.push(transfer)
  }
  const calls = new CallServer(post, dispatch, { nowMs: () => nowMs })
  return { replies, told, transfers, calls, pass: (ms: number) => (nowMs += ms) }
}
const open = (id: number) => ({ t: 'call', id, call: 'open', args: { path: '/x', mode: 'r' } })

describe('the server of one caller’s port', () => {
  it('answers each call under its number, in whatever order they finish', async () => {
    const finish: (() => void)[] = []
    const { replies, calls } = server(() => new Promise((resolve) => finish.push(() => resolve({ n: finish.length }))))
    for (const id of [7, 8]) calls.accept(open(id))
    finish[1]?.()
    await turn()
    finish[0]?.()
    await turn()
    expect(replies.map(({ id, ok }) => [id, ok])).toEqual([[8, true], [7, true]]) // biome-ignore format: one line
  })

  it('turns whatever a handler throws into an answer', async () => {
    const { replies, calls } = server(async () => {
      throw new TypeError('a bug')
    })
    calls.accept(open(1))
    await turn()
    expect(replies).toEqual([{ t: 'reply', id: 1, ok: false, code: 'EIO', message: 'a bug' }])
  })

  it('says ENOSYS for a call that does not exist and EINVAL for arguments that do not fit', async () => {
    const { replies, calls } = server(async () => ({}))
    calls.accept({ t: 'call', id: 1, call: 'reboot', args: {} })
    calls.accept({ t: 'call', id: 2, call: 'open', args: { path: '/x' } })
    await turn()
    expect(replies.map((reply) => !reply.ok && reply.code)).toEqual(['ENOSYS', 'EINVAL'])
  })

  it('cancels a call, or all of them', async () => {
    const signals: AbortSignal[] = []
    const { replies, calls } = server((_call, _args, signal) => {
      signals.push(signal)
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    for (const id of [1, 2, 3]) calls.accept(open(id))
    calls.accept({ t: 'cancel', id: 2 })
    calls.accept({ t: 'cancel', id: 99 })
    await turn()
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true, false])
    calls.abort('the caller has gone')
    await turn()
    expect(replies.map((reply) => !reply.ok && reply.code)).toEqual(['ECANCELED', 'ECANCELED', 'ECANCELED'])
  })

  it('tells who wants to know how far a call is, not more often than people look, and nothing after its end', async () => {
    const reports: (OnProgress | undefined)[] = []
    const finish: (() => void)[] = []
    const { replies, told, calls, pass } = server((_call, _args, _signal, onProgress) => {
      reports.push(onProgress)
      return new Promise<void>((resolve) => finish.push(resolve))
    })
    calls.accept(open(1))
    calls.accept({ ...open(2), progress: true })
    expect(() => calls.accept({ ...open(3), progress: 'often' })).toThrow(OsError)
    expect(reports[0]).toBeUndefined()
    const report = (done: number) => reports[1]?.({ done, total: 9, unit: 'bytes' })
    for (const done of [2, 3]) {
      report(done)
      report(done + 0.5)
      pass(PROGRESS_MS)
    }
    await turn()
    expect(told.map(({ id, progress }) => [id, progress.done])).toEqual([[2, 2], [2, 3]]) // biome-ignore format: one line
    finish[1]?.()
    await turn()
    report(9)
    await turn()
    expect(replies.map(({ id }) => id)).toEqual([2])
    expect(told).toHaveLength(2)
  })

  it('takes several messages at once, and answers at once what is ready in one turn', async () => {
    const posted: Replies[] = []
    const calls = new CallServer(
      (message) => posted.push(message),
      async (_call, { path }: { path: string }) => ({ path }),
    )
    calls.accept([open(1), open(2), { t: 'call', id: 3, call: 'reboot', args: {} }])
    await turn()
    expect(posted).toHaveLength(1)
    expect(posted.flat().map((reply) => [reply.id, reply.t === 'reply' && reply.ok])).toEqual([[3, false], [1, true], [2, true]]) // biome-ignore format: one line
    expect(() => calls.accept([open(4), [open(5)]])).toThrow(OsError)
    expect(() => calls.accept(Array.from({ length: MAX_CALLS_IN_FLIGHT + 1 }, (_, i) => open(i + 10)))).toThrow(OsError)
    await turn()
    expect(posted.flat()).toHaveLength(4)
  })

  it('moves bytes instead of copying them twice, and never gives its own buffer away', async () => {
    const kept = new Uint8Array([1, 2, 3])
    const { replies, transfers, calls } = server(async () => ({ bytes: kept }))
    calls.accept(open(1))
    await turn()
    const [reply] = replies as [Extract<ReplyMessage, { ok: true }>]
    const { bytes } = reply.value as { bytes: Uint8Array }
    expect(bytes).toEqual(kept)
    expect(transfers[0]).toEqual([bytes.buffer])
    expect(bytes.buffer).not.toBe(kept.buffer)
  })

  it('tells its owner of a malformed message, a number used twice and too many calls', () => {
    const { calls } = server(() => new Promise(() => undefined))
    for (const message of [null, 'x', {}, { t: 'call' }, { t: 'cancel', id: -1 }]) expect(() => calls.accept(message)).toThrow(OsError) // biome-ignore format: one line
    for (let id = 0; id < MAX_CALLS_IN_FLIGHT; id++) calls.accept(open(id))
    expect(() => calls.accept(open(0))).toThrow(/under way already/)
    expect(() => calls.accept(open(9_999))).toThrow(/at once: await them/)
  })
})

describe('references (invariant 7: a caller can name nothing that is not in its table)', () => {
  const handle = bytesReader(new Uint8Array(1))

  it('begin at 3, are never used again, and belong to one caller', () => {
    const [mine, others] = [new References(), new References()]
    expect([mine.add(handle), mine.add(handle)]).toEqual([3, 4])
    expect(mine.take(3)).toBe(handle)
    expect(mine.add(handle)).toBe(5)
    for (const ref of [0, 1, 2, 3, 99]) expect(() => mine.get(ref)).toThrow(/not open/)
    expect(() => others.get(4)).toThrow(/not open/)
  })

  it('are bounded in number', () => {
    const references = new References()
    for (let i = 0; i < MAX_OPEN_REFS; i++) references.add(handle)
    expect(() => references.add(handle)).toThrow(/close some/)
    references.take(10)
    references.add(handle)
    references.end()
    expect(() => references.get(11)).toThrow(OsError)
  })
})
