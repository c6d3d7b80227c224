// Short events that are leased together: rules, messages, and whole kernels over virtual time.
import { afterEach, describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { ExitStatus, HistoryRow } from '../../syscalls/types.ts'
import { boot, historyOf, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { nodeId } from '../harness.contract.ts'
import * as limits from '../limits.ts'
import type { Lease } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Answers } from './answers.ts'
import { type Attempt, Attempts } from './attempts.ts'
import type { EventState } from './events.ts'
import { LeaseCall } from './lease-call.ts'
import { LeaseShare } from './lease-share.ts'

const a = nodeId('a')
const event = (id: string): EventState => ({
  ...{ id, number: 1, task: 'work', key: undefined, data: new Uint8Array(0), after: null, missing: 0 },
  ...{ status: 'leased', token: 1, leases: [{ token: 1, node: a }], result: undefined },
})

const never = new AbortController().signal

describe('a lease', () => {
  const fresh = { task: 'short', token: 0 }
  const { LEASED_TOGETHER_MS } = limits
  const runsMs = (task: string) => ({ short: LEASED_TOGETHER_MS / 10, long: 0.75 * LEASED_TOGETHER_MS })[task]
  const taken = (share: LeaseShare, events: (typeof fresh)[], bytes = 1) => {
    return events.findIndex((each) => !share.take(each, bytes))
  }
  const many = (one = fresh) => Array.from({ length: 100 }, () => one)

  it('takes short events together: so many, so long, so large, and no more than their share', () => {
    expect(taken(new LeaseShare(1_000, runsMs), many())).toBe(10)
    expect(taken(new LeaseShare(1_000, () => 0), many())).toBe(limits.MAX_LEASED_TOGETHER)
    expect(taken(new LeaseShare(3, runsMs), many())).toBe(3)
    expect(taken(new LeaseShare(1_000, runsMs), many(), limits.INLINE_INPUT_BYTES / 4)).toBe(4)
    expect(taken(new LeaseShare(1_000, runsMs), many({ ...fresh, task: 'long' }))).toBe(1)
    expect(taken(new LeaseShare(1_000, runsMs), many(), limits.INLINE_INPUT_BYTES * 2)).toBe(1)
  })

  it('takes alone what nobody knows, and what was lost before', () => {
    for (const one of [
      { ...fresh, task: 'unknown' },
      { ...fresh, token: 1 },
    ]) {
      expect(taken(new LeaseShare(1_000, runsMs), [one, fresh])).toBe(1)
      expect(taken(new LeaseShare(1_000, runsMs), [fresh, fresh, one, fresh])).toBe(2)
    }
  })
})

describe('the call of a lease', () => {
  const setUp = () => {
    const attempts = new Attempts(new VirtualClock(), () => new Set()).begin(['0.0', '0.1', '0.2'].map(event), {
      ...{ node: a, slots: 2, rooms: 4, reason: '' },
    })
    const told: [string, number][] = []
    const call = new LeaseCall(attempts, {
      printed: () => Promise.resolve(),
      completed: (attempt, bytes) => void told.push([attempt.event, bytes.byteLength]),
    })
    return { attempts, told, call }
  }
  /** An executor that answers so. */
  const answering = (...items: unknown[]): Pick<RpcNode, 'call'> => ({
    call: async (_node, _method, _args, options) => {
      for (const item of items) await options?.onItem?.(item)
      return null as never
    },
  })
  const bytes = (length: number) => new Uint8Array(length)

  it('sorts what comes by event', async () => {
    const { told, call } = setUp()
    const items = [
      ['p', 1, bytes(limits.ITEM_BYTES)],
      ['o', 0, 1, bytes(1)],
      ['c', 0, bytes(1), 1, bytes(2)],
      ['o', 1, 1, bytes(9)],
      ['c', 2, bytes(3)],
    ]
    await call.run(answering(...items), a, {} as Lease, never)
    expect(told).toEqual([['0.0', 1], ['0.1', limits.ITEM_BYTES + 2], ['0.2', 3]]) // biome-ignore format: one line
    expect([...call.open]).toEqual([])
  })

  it.each([
    ['leaves events out', [['c', 1, bytes(1)]], 2],
    ['answers twice', [['c', 1, bytes(1), 1, bytes(1)]], 2],
    ['sends crumbs', [['p', 0, bytes(1)]], 3],
    ['answers for what it does not have', [['c', 3, bytes(1)]], 3],
    ['sends more than a completion may be', Array.from({ length: 300 }, () => ['p', 0, bytes(limits.ITEM_BYTES)]), 3],
    ['makes no sense', [['c', 'x']], 3],
  ])('refuses an executor that %s, and keeps what was answered', async (_what, items, open) => {
    const { call } = setUp()
    await expect(call.run(answering(...items), a, {} as Lease, never)).rejects.toMatchObject({ code: 'EPROTO' })
    expect([...call.open]).toHaveLength(open)
  })

  it('is cancelled when nobody wants the one that runs: those behind it have lost nothing but time', async () => {
    const { attempts, call } = setUp()
    let signal: AbortSignal | undefined
    const answered = Promise.withResolvers<void>()
    const waiting: Pick<RpcNode, 'call'> = {
      call: async (_node, _method, _args, options) => {
        signal = options?.signal
        await options?.onItem?.(['c', 2, bytes(1)])
        answered.resolve()
        return new Promise<never>((_, reject) =>
          options?.signal?.addEventListener('abort', () => reject(new Error('gone'))),
        )
      },
    }
    const run = call.run(waiting, a, {} as Lease, never)
    await answered.promise
    const [first, second] = attempts as [Attempt, Attempt]
    second.abort.abort('faster elsewhere')
    expect(signal?.aborted).toBe(false)
    first.abort.abort('faster elsewhere')
    expect(signal?.aborted).toBe(true)
    await expect(run).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('ends with the process, also when all is answered', async () => {
    const { call } = setUp()
    const stop = new AbortController()
    const all: Pick<RpcNode, 'call'> = {
      call: async (_node, _method, _args, options) => {
        await options?.onItem?.(['c', 0, bytes(1), 1, bytes(1), 2, bytes(1)])
        return new Promise<never>((_, reject) => {
          options?.signal?.addEventListener('abort', () => reject(new Error('cancelled')))
          stop.abort()
        })
      },
    }
    await expect(call.run(all, a, {} as Lease, stop.signal)).rejects.toThrow('cancelled')
  })
})

describe('completions', () => {
  it('travel together when they come soon after each other, and large ones in pieces', async () => {
    const clock = new VirtualClock()
    const sent: unknown[][] = []
    const answers = new Answers({ item: async (item) => void sent.push(item as unknown[]) }, clock)
    for (const index of [0, 1, 2]) await answers.add(index, new Uint8Array(10))
    expect(sent).toEqual([])
    while (clock.step(60_000));
    await answers.flush()
    await answers.add(3, new Uint8Array(limits.ITEM_BYTES + 5))
    await answers.add(4, new Uint8Array(limits.ITEM_BYTES))
    await answers.flush()
    await answers.flush()
    const shape = sent.map((item) => item.map((part) => (part instanceof Uint8Array ? `${part.byteLength} B` : part)))
    expect(shape).toEqual([
      ['c', 0, '10 B', 1, '10 B', 2, '10 B'],
      ['p', 3, `${limits.ITEM_BYTES} B`],
      ['c', 3, '5 B'],
      ['c', 4, `${limits.ITEM_BYTES} B`],
    ])
  })
})

describe('a process of many short events', () => {
  let cluster: TestCluster
  let nodes: SimNode[]
  const EVENTS = 300
  const STUCK = 217
  const gate = Promise.withResolvers<void>()
  const SOURCE = `
    export async function start(event, os) { for (let i = 0; i < ${EVENTS}; i++) await os.emit('one', i) }
    export const one = ({ data }) => globalThis.testGate && data === ${STUCK} ? testGate() : data`

  async function start(count: number, seed: number): Promise<Kid> {
    cluster = newCluster({ programs: true, seed, slots: 2 })
    nodes = await boot(cluster, count)
    await oneHome(cluster)
    const [first] = nodes as [SimNode]
    await cluster.run(first.fs.writeFile('/p.js', SOURCE))
    return (await cluster.run(first.os.call('run', { program: '/p.js', args: [], cwd: '/' }))).kid
  }
  afterEach(() => {
    for (const name of ['testGate', 'testOpen', 'testBehind']) Reflect.deleteProperty(globalThis, name)
  })
  const up = () => nodes.filter((node) => node.up)
  const rowsOf = (kid: Kid) => historyOf(cluster, up()[0] as SimNode, kid)
  async function exitOf(kid: Kid): Promise<ExitStatus> {
    const [first] = up() as [SimNode]
    const { exits } = await cluster.run(first.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
    return exits?.[0] as ExitStatus
  }
  const completed = (rows: HistoryRow[]) => rows.flatMap(({ what, event }) => (what === 'completed' ? [event] : []))

  it('leases them together, and each counts once', async () => {
    const kid = await start(3, 81)
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
    const rows = await rowsOf(kid)
    expect(new Set(completed(rows)).size).toBe(EVENTS + 1)
    expect(completed(rows)).toHaveLength(EVENTS + 1)
    const assigned = rows.filter(({ what }) => what === 'assigned')
    expect(assigned).toHaveLength(EVENTS + 1)
    const leases = assigned.filter((row, i) => row.node !== assigned[i - 1]?.node || row.atMs !== assigned[i - 1]?.atMs)
    expect(leases.length).toBeLessThan(EVENTS / 4)
    expect(new Set(assigned.map(({ node }) => node)).size).toBe(3)
  })

  it('runs elsewhere what waits behind one that stands still', async () => {
    Object.assign(globalThis, { testGate: () => gate.promise })
    const kid = await start(3, 82)
    await cluster.until(async () => completed(await rowsOf(kid)).length === EVENTS, 'all others are done', 60_000)
    expect(completed(await rowsOf(kid))).not.toContain(`0.${STUCK}`)
    gate.resolve()
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
    expect(new Set(completed(await rowsOf(kid))).size).toBe(EVENTS + 1)
  })

  it('runs what is waited for although it waits behind, also where there is only one tab', async () => {
    const opened = Promise.withResolvers<void>()
    const stuck = (data: number) => (data === STUCK ? opened.promise : undefined)
    Object.assign(globalThis, {
      testGate: () => stuck(STUCK),
      testOpen: (data: number) => data > STUCK && opened.resolve(),
    })
    cluster = newCluster({ programs: true, seed: 84, slots: 2 })
    nodes = await boot(cluster, 1)
    const [only] = nodes as [SimNode]
    const source = SOURCE.replace(
      'testGate() : data',
      '(globalThis.testBehind = true, testGate()) : (globalThis.testBehind && testOpen(data), data)',
    )
    await cluster.run(only.fs.writeFile('/p.js', source))
    const { kid } = await cluster.run(only.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
  })

  it('names the one that takes a tab after the other with it, and all others are done', async () => {
    Object.assign(globalThis, { testGate: () => new Promise(() => undefined) })
    const kid = await start(8, 83)
    for (let deaths = 0; deaths < 3; deaths++) {
      let victims: SimNode[] = []
      await cluster.until(async () => {
        const rows = await rowsOf(kid)
        const running = new Set<string | null>()
        for (const { what, event, node } of rows) {
          if (event === `0.${STUCK}` && what === 'assigned') running.add(node)
          if (event === `0.${STUCK}` && what === 'lost') running.delete(node)
        }
        victims = up().filter(({ id }) => running.has(id))
        return victims.length > 0 && completed(rows).length === EVENTS
      }, 'only that one is left')
      victims[0]?.crash() // perhaps the home as well
      await cluster.advance(6_000)
    }
    expect(await exitOf(kid)).toMatchObject({ state: 'failed' })
    expect((await exitOf(kid)).error).toMatch(/took 3 tabs with it/)
  })
})
