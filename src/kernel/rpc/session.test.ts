import { beforeEach, describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { Lab, type LabNode } from '../harness.contract.ts'
import {
  MAX_PEER_CALL_BYTES,
  MAX_PEER_CALLS,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_BYTES,
  RTT_ANSWERS,
  WINDOW_BYTES_PER_MS,
} from '../limits.ts'
import { FRAME } from './frames.ts'

const KID = `K-${'a'.repeat(64)}` as never
const PIECE = new Uint8Array(64 * 1024)
let lab: Lab
let a: LabNode
let b: LabNode

beforeEach(async () => {
  lab = new Lab()
  ;[a, b] = await lab.pair()
})

const forever = () => new Promise<never>(() => undefined)
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof OsError ? error.code : `not an OsError: ${error}`),
  )

describe('a call', () => {
  it('carries arguments and results both ways at once', async () => {
    for (const node of [a, b]) node.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
    const cid = `b${'a'.repeat(58)}`
    const [one, two] = await lab.run(
      Promise.all([
        a.rpc.call(b.id, 'blocks.have', { cids: [cid] }),
        b.rpc.call(a.id, 'blocks.have', { cids: [cid, cid] }),
      ]),
    )
    expect([one.byteLength, two.byteLength]).toEqual([1, 2])
  })

  it('carries the error of the handler with its code', async () => {
    b.rpc.handle('process.kill', async () => {
      throw new OsError('ESRCH', 'there is no such process')
    })
    await expect(lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID }))).rejects.toMatchObject({
      code: 'ESRCH',
      message: 'there is no such process',
    })
  })

  it('turns any exception of a handler into an error, however long its message, and the link stays', async () => {
    b.rpc.handle('process.kill', () => {
      throw new TypeError('x'.repeat(10_000))
    })
    expect(await code(lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID })))).toBe('EIO')
    b.rpc.handle('process.wait', async () => {
      throw 'a string'
    })
    expect(await code(lab.run(a.rpc.call(b.id, 'process.wait', { kid: KID })))).toBe('EIO')
    expect(a.rpc.linked(b.id)).toBe(true)
  })

  it('fails when the result does not fit a frame or cannot be encoded, instead of never being answered', async () => {
    b.rpc.handle('process.read', async () => new Uint8Array(3 * 1024 * 1024))
    const read = a.rpc.call(b.id, 'process.read', { kid: KID, stream: 1, offset: 0, length: 10 })
    expect(await code(lab.run(read))).toBe('EFBIG')
    b.rpc.handle('process.wait', async () => (() => 1) as never)
    expect(await code(lab.run(a.rpc.call(b.id, 'process.wait', { kid: KID })))).toBe('EINVAL')
  })

  it('fails with EPROTO when the answer is not what the method promises', async () => {
    b.rpc.handle('process.kill', async () => 'yes' as never)
    expect(await code(lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID })))).toBe('EPROTO')
  })

  it('ends at its deadline on both sides', async () => {
    let served: unknown
    b.rpc.handle('process.kill', (_args, { signal }) => {
      signal.addEventListener('abort', () => {
        served = signal.reason
      })
      return forever()
    })
    const startMs = lab.clock.nowMs()
    expect(await code(lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID }, { timeoutMs: 500 })))).toBe('ETIMEDOUT')
    expect(lab.clock.nowMs() - startMs).toBe(500)
    await lab.until(() => served !== undefined, 10)
  })

  it('ends on the server by its own clock even if the caller’s cancellation is lost', async () => {
    const peer = await lab.raw('A', b)
    const { control } = await peer.greet()
    await lab.until(() => b.rpc.linked(peer.id))
    let served = false
    b.rpc.handle('process.kill', (_args, { signal }) => {
      signal.addEventListener('abort', () => {
        served = true
      })
      return forever()
    })
    control.send([FRAME.CALL, 1, 'process.kill', 300, 0, { kid: KID }])
    expect(await lab.until(() => served)).toBeGreaterThanOrEqual(300)
  })

  it('is cancelled on both sides by its signal, before, during and after', async () => {
    let aborted = 0
    b.rpc.handle('process.wait', (_args, { signal }) => {
      signal.addEventListener('abort', () => aborted++)
      return forever()
    })
    const before = AbortSignal.abort()
    expect(await code(a.rpc.call(b.id, 'process.wait', { kid: KID }, { signal: before }))).toBe('ECANCELED')
    const controller = new AbortController()
    const call = code(a.rpc.call(b.id, 'process.wait', { kid: KID }, { signal: controller.signal }))
    await lab.advance(20)
    controller.abort()
    expect(await call).toBe('ECANCELED')
    await lab.until(() => aborted === 1, 20)
    b.rpc.handle('process.kill', async () => true)
    const late = new AbortController()
    await lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID }, { signal: late.signal }))
    late.abort()
    await lab.advance(20)
    expect(aborted).toBe(1)
  })

  it('leaves no timer behind once it was answered', async () => {
    b.rpc.handle('process.kill', async () => true)
    const before = lab.clock.pending().length
    for (let i = 0; i < 20; i++) await lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID }))
    expect(lab.clock.pending().length).toBe(before)
  })

  it(`is refused with EAGAIN beyond ${MAX_PEER_CALLS} of one peer, while another peer is served`, async () => {
    const c = await lab.node('c')
    await lab.link(b, c)
    let served = 0
    b.rpc.handle('process.wait', () => {
      served++
      return forever()
    })
    b.rpc.handle('process.kill', async () => true)
    const calls = Array.from({ length: MAX_PEER_CALLS + 1 }, () => code(a.rpc.call(b.id, 'process.wait', { kid: KID })))
    expect(await lab.run(calls.at(-1) as Promise<string>)).toBe('EAGAIN')
    expect(served).toBe(MAX_PEER_CALLS)
    expect(await lab.run(c.rpc.call(b.id, 'process.kill', { kid: KID }))).toBe(true)
    b.rpc.drop(a.id, 'test')
    await lab.run(Promise.all(calls))
  })

  it('is refused with EAGAIN where the arguments of one peer’s calls are too much together, until some are answered', async () => {
    const mkdir = { op: 'mkdir', path: `/${'x'.repeat(4_000)}`, recursive: true, mtimeMs: 0 } as const
    const args = { tree: KID, ops: Array.from({ length: 450 }, () => mkdir) }
    const answers: (() => void)[] = []
    const failed = async () => {
      await new Promise<void>((resolve) => answers.push(resolve))
      throw new OsError('ENOENT', 'nothing')
    }
    b.rpc.handle('tree.apply', failed)
    const apply = () => code(a.rpc.call(b.id, 'tree.apply', args))
    const fit = Math.floor(MAX_PEER_CALL_BYTES / (450 * 4_000))
    const calls: Promise<string>[] = []
    for (let i = 0; i < 2 * fit; i++) {
      calls.push(apply())
      await lab.advance(20)
    }
    expect(answers.length).toBeGreaterThan(fit / 2)
    expect(answers.length).toBeLessThanOrEqual(fit)
    for (const answer of answers.splice(0)) answer()
    const codes = await lab.run(Promise.all(calls))
    expect(codes.filter((each) => each === 'EAGAIN').length).toBeGreaterThanOrEqual(fit)
    const again = apply()
    await lab.until(() => answers.length === 1)
    answers[0]?.()
    expect(await lab.run(again)).toBe('ENOENT')
  })

  it('fails with ECONNRESET when the link goes, and its handler is told', async () => {
    let reason: unknown
    b.rpc.handle('process.wait', (_args, { signal }) => {
      signal.addEventListener('abort', () => {
        reason = signal.reason
      })
      return forever()
    })
    const call = code(a.rpc.call(b.id, 'process.wait', { kid: KID }))
    await lab.advance(20)
    lab.hub.setPartition(a.id, b.id, true)
    expect(await lab.run(call)).toBe('ECONNRESET')
    await lab.until(() => reason instanceof OsError && reason.code === 'ECONNRESET', 20)
    expect(await code(a.rpc.call(b.id, 'process.wait', { kid: KID }))).toBe('EHOSTUNREACH')
  })
})

describe('a stream of items', () => {
  const call = (onItem: (item: unknown) => void | Promise<void>, signal?: AbortSignal) =>
    a.rpc.call(b.id, 'blocks.get', { cids: [] }, { onItem, signal })

  it('comes whole and in order, and the result after its last item', async () => {
    b.rpc.handle('blocks.get', async (_args, { item }) => {
      for (let i = 0; i < 1000; i++) await item(i)
      return null
    })
    const got: unknown[] = []
    await lab.run(call((item) => void got.push(item)))
    expect(got).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  })

  it('never has more bytes under way than the caller gave credit for, and goes on when credit returns', async () => {
    let sent = 0
    b.rpc.handle('blocks.get', async (_args, { item }) => {
      for (let i = 0; i < 200; i++) {
        await item(PIECE)
        sent += PIECE.byteLength
      }
      return null
    })
    let taken = 0
    let most = 0
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const done = lab.run(
      call(async (item) => {
        await gate
        taken += (item as Uint8Array).byteLength
        most = Math.max(most, sent - taken)
      }),
    )
    await lab.advance(1_000)
    expect(taken).toBe(0)
    expect(sent).toBe(MIN_WINDOW_BYTES)
    open()
    await done
    expect(taken).toBe(200 * PIECE.byteLength)
    expect(most).toBeLessThanOrEqual(MIN_WINDOW_BYTES)
  })

  let sentAhead = 0
  const serveEndless = () =>
    b.rpc.handle('blocks.get', async (_args, { item }) => {
      for (;;) {
        await item(PIECE)
        sentAhead += PIECE.byteLength
      }
    })

  /** How many bytes come when none is taken. */
  const ahead = async (abreast?: number) => {
    sentAhead = 0
    const options = { onItem: forever, signal: AbortSignal.timeout(60_000), ...(abreast ? { abreast } : {}) }
    a.rpc.call(b.id, 'blocks.get', { cids: [] }, options).catch(() => undefined)
    await lab.advance(2_000)
    return sentAhead
  }

  const quickAnswers = async () => {
    b.rpc.handle('blocks.have', async () => new Uint8Array(0))
    for (let i = 0; i < RTT_ANSWERS; i++) await lab.run(a.rpc.call(b.id, 'blocks.have', { cids: [] }))
  }

  it('has more under way where the way is longer, once that is known, and never more than memory is worth', async () => {
    for (const [latencyMs, wanted] of [
      [10, 2 * 10 * WINDOW_BYTES_PER_MS],
      [400, MAX_WINDOW_BYTES],
    ] as const) {
      lab = new Lab({ latencyMs: [latencyMs, latencyMs] })
      ;[a, b] = await lab.pair()
      serveEndless()
      expect(await ahead()).toBe(MIN_WINDOW_BYTES)
      await quickAnswers()
      expect(await ahead()).toBe(PIECE.byteLength * Math.ceil(wanted / PIECE.byteLength))
    }
  })

  it('has no more under way for a peer that takes its time to answer', async () => {
    serveEndless()
    b.rpc.handle('process.wait', async () => {
      await new Promise<void>((resolve) => lab.clock.setTimer(resolve, 5_000, 'a process ends'))
      throw new OsError('ESRCH', 'it ended')
    })
    for (let i = 0; i < RTT_ANSWERS; i++) await code(lab.run(a.rpc.call(b.id, 'process.wait', { kid: KID })))
    expect(await ahead()).toBe(MIN_WINDOW_BYTES)
  })

  it('keeps a line of 16 MiB/s busy, however long the way', async () => {
    for (const rttMs of [20, 50, 100]) {
      lab = new Lab({ latencyMs: [rttMs / 2, rttMs / 2] })
      ;[a, b] = await lab.pair()
      await quickAnswers()
      lab.hub.setSlow(b.id, { factor: 1, bytesPerMs: 16 * 1024 })
      b.rpc.handle('blocks.get', async (_args, { item }) => {
        for (let i = 0; i < 1_024; i++) await item(new Uint8Array(32 * 1024))
        return null
      })
      const startMs = lab.clock.nowMs()
      await lab.run(call(() => undefined))
      expect({ rttMs, late: lab.clock.nowMs() - startMs > 1.1 * (2_048 + rttMs) }).toEqual({ rttMs, late: false })
    }
  })

  it('that is one of several abreast has its share of what may be under way', async () => {
    serveEndless()
    expect(await ahead(4)).toBe(MIN_WINDOW_BYTES / 4)
  })

  it('does not lose a sender of several that wait for credit at once, and keeps their order', async () => {
    b.rpc.handle('blocks.get', async (_args, { item }) => {
      await Promise.all(Array.from({ length: 200 }, (_, i) => item([i, PIECE])))
      return null
    })
    const got: number[] = []
    await lab.run(
      call(async (item) => {
        await new Promise<void>((resolve) => lab.clock.setTimer(resolve, 5, 'slow consumer'))
        got.push((item as [number])[0])
      }),
    )
    expect(got).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  it('of one slow consumer does not hold up other calls of the same peer', async () => {
    b.rpc.handle('blocks.get', async (_args, { item }) => {
      for (let i = 0; i < 200; i++) await item(PIECE)
      return null
    })
    b.rpc.handle('process.kill', async () => true)
    const controller = new AbortController()
    const slow = code(call(forever, controller.signal))
    await lab.advance(1_000)
    let fast = 0
    await lab.run(call(() => void fast++))
    expect(fast).toBe(200)
    expect(await lab.run(a.rpc.call(b.id, 'process.kill', { kid: KID }))).toBe(true)
    controller.abort()
    expect(await slow).toBe('ECANCELED')
  })

  it('ends at the sender when the consumer throws, with the consumer’s error', async () => {
    let stopped = false
    b.rpc.handle('blocks.get', async (_args, { item, signal }) => {
      signal.addEventListener('abort', () => {
        stopped = true
      })
      for (;;) await item(PIECE)
    })
    const failing = call((item) => {
      if (item) throw new OsError('EPROTO', 'not what I wanted')
    })
    expect(await code(lab.run(failing))).toBe('EPROTO')
    await lab.until(() => stopped, 50)
  })

  it('that a hostile sender pushes beyond the credit gets its link dropped, so that memory stays bounded', async () => {
    const peer = await lab.raw('A', b)
    const { bulk } = await peer.greet()
    await lab.until(() => b.rpc.linked(peer.id))
    const pending = code(b.rpc.call(peer.id, 'blocks.get', { cids: [] }, { onItem: forever }))
    await lab.until(() => bulk.frames.some((frame) => frame[0] === FRAME.CALL))
    const [, id] = bulk.frames.find((frame) => frame[0] === FRAME.CALL) as unknown as [number, number]
    for (let i = 0; i < 100; i++) bulk.send([FRAME.ITEM, id, PIECE])
    expect(await lab.run(pending)).toBe('ECONNRESET')
    expect(b.log.has('more than it was given credit for')).toBe(true)
    expect(b.rpc.linked(a.id)).toBe(true)
  })

  /** A call whose first item is not taken yet. */
  async function halfTaken(onItem: (item: unknown) => Promise<void>) {
    const peer = await lab.raw('A', b)
    const { bulk } = await peer.greet()
    await lab.until(() => b.rpc.linked(peer.id))
    const pending = code(b.rpc.call(peer.id, 'blocks.get', { cids: [] }, { onItem }))
    await lab.until(() => bulk.frames.some((frame) => frame[0] === FRAME.CALL))
    const [, id] = bulk.frames.find((frame) => frame[0] === FRAME.CALL) as unknown as [number, number]
    bulk.send([FRAME.ITEM, id, PIECE])
    return { bulk, id, pending }
  }

  it('that is answered again and again gets its link dropped: each answer would be kept until the items are taken', async () => {
    const { bulk, id, pending } = await halfTaken(forever)
    bulk.send([FRAME.RESULT, id, null])
    bulk.send([FRAME.ERROR, id, 'EIO', 'x'])
    expect(await lab.run(pending)).toBe('ECONNRESET')
    expect(b.log.has('answered blocks.get twice')).toBe(true)
  })

  it('ends with its answer: what comes behind that is not kept', async () => {
    const { promise: room, resolve: takes } = Promise.withResolvers<void>()
    let items = 0
    const { bulk, id, pending } = await halfTaken(() => {
      items++
      return room
    })
    bulk.send([FRAME.ERROR, id, 'EIO', 'x'])
    for (let i = 0; i < 100; i++) bulk.send([FRAME.ITEM, id, PIECE])
    await lab.run(b.rpc.call(a.id, 'storage.usage', null).catch(() => undefined))
    takes()
    expect(await lab.run(pending)).toBe('EIO')
    expect(items).toBe(1)
  })

  it('cannot hide bytes from the credit by nesting them', async () => {
    const peer = await lab.raw('A', b)
    const { bulk } = await peer.greet()
    await lab.until(() => b.rpc.linked(peer.id))
    const pending = code(b.rpc.call(peer.id, 'blocks.get', { cids: [] }, { onItem: forever }))
    await lab.until(() => bulk.frames.some((frame) => frame[0] === FRAME.CALL))
    const [, id] = bulk.frames.find((frame) => frame[0] === FRAME.CALL) as unknown as [number, number]
    for (let i = 0; i < 100; i++) bulk.send([FRAME.ITEM, id, { hidden: [PIECE] }])
    expect(await lab.run(pending)).toBe('ECONNRESET')
  })
})
