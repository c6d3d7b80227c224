// Entries that wait for others must not show: in what a process does, how often its events run, or how long it takes.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import type { DeviceId, Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { ExitStatus, HistoryRow } from '../../syscalls/types.ts'
import { Blocks } from '../blocks/blocks.ts'
import {
  boot,
  bootSleepers,
  endSleepers,
  historyOf,
  letTasksSleep,
  meshed,
  newCluster,
  oneHome,
  type TestCluster,
} from '../cluster.contract.ts'
import { nodeId } from '../harness.contract.ts'
import { type Attempt, Attempts } from './attempts.ts'
import type { EventState } from './events.ts'

const a = nodeId('a')

afterEach(() => {
  endSleepers()
  vi.restoreAllMocks()
  for (const name of ['testTry', 'testRan']) Reflect.deleteProperty(globalThis, name)
})

/** Runs it at the first node. */
async function start(cluster: TestCluster, [first]: readonly SimNode[], source: string): Promise<Kid> {
  const { fs, os } = first as SimNode
  await cluster.run(fs.writeFile('/p.js', source))
  return (await cluster.run(os.call('run', { program: '/p.js', args: [], cwd: '/' }))).kid
}

async function exitOf(cluster: TestCluster, node: SimNode, kid: Kid): Promise<ExitStatus> {
  const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  return exits?.[0] as ExitStatus
}

const times = (rows: readonly HistoryRow[], what: HistoryRow['what']) => rows.filter((row) => row.what === what).length

describe('an event that runs twice, and is done once', () => {
  /** The event `slow` is given company after a second, which does that 50 ms after the first run has been answered. */
  const source = (second: string) => `
    export async function start(event, os) {
      for (let i = 0; i < 4; i++) await os.emit('one', i)
      await os.emit('begin', null)
    }
    export async function begin(event, os) {
      await testSleep(300)
      const hang = await os.emit('hang', null)
      for (let i = 0; i < 40; i++) await os.gather([hang], 'after', i)
      await os.emit('one', 'slow')
    }
    export const hang = () => testSleep(8_000)
    export const after = () => 1
    export async function one({ data }, os) {
      if (data !== 'slow') return testSleep(50)
      if (testTry() === 1) { await testSleep(1_500); return 1 }
      await testSleep(550)
      ${second}
    }`

  it.each([
    ['fails', 'throw new Error("the second run")'],
    ['is done as well', 'return 2'],
  ])('does not end, nor count twice, when the second run %s', async (_what, second) => {
    let tries = 0
    Object.assign(globalThis, { testTry: () => ++tries })
    const { cluster, nodes } = await bootSleepers(3, 91)
    const kid = await start(cluster, nodes, source(second))
    expect(await exitOf(cluster, nodes[0] as SimNode, kid)).toMatchObject({ state: 'exited', code: 0 })
    expect(tries).toBe(2)
    const rows = await historyOf(cluster, nodes[0] as SimNode, kid)
    const completed = rows.flatMap(({ what, event }) => (what === 'completed' ? [event] : []))
    expect(completed).toHaveLength(new Set(completed).size)
  })
})

describe('an event that was answered', () => {
  it('is not late while it is made durable', () => {
    const event = (id: string): EventState => ({
      ...{ id, number: 1, task: 'work', key: undefined, data: new Uint8Array(0), after: null, missing: 0 },
      ...{ status: 'leased', token: 1, leases: [{ token: 1, node: a }], result: undefined },
    })
    const clock = new VirtualClock()
    const attempts = new Attempts(clock, () => new Set())
    const answered = (id: string): Attempt => {
      const [attempt] = attempts.begin([event(id)], { node: a, slots: 2, rooms: 4, reason: '' }) as [Attempt]
      clock.jump(100)
      attempts.answered(attempt)
      return attempt
    }
    for (const id of ['0.1', '0.2', '0.3']) {
      const done = answered(id)
      attempts.ran(done, 90)
      clock.jump(3_000)
      attempts.completed(done)
      attempts.end(done)
    }
    answered('0.4')
    const late: Attempt[] = []
    attempts.watchLate((each) => void late.push(...each))
    while (clock.step(60_000));
    expect(late).toEqual([])
  })

  it('runs once, also when its files take seconds to be copied to its home', async () => {
    const { cluster, nodes } = await bootSleepers(3, 91)
    const { hold } = Blocks.prototype
    vi.spyOn(Blocks.prototype, 'hold').mockImplementation(async function (this: Blocks, cids, options, small) {
      if (options?.hints) await new Promise<void>((go) => cluster.clock.setTimer(go, 3_000, 'slow link'))
      return hold.call(this, cids, options, small)
    })
    const source = `
      export async function start(event, os) { for (let i = 0; i < 60; i++) await os.emit('one', i) }
      export async function one({ data }, os) {
        await testSleep(300)
        await os.fs.writeFile('/out-' + data, 'x'.repeat(1000 + data))
      }`
    const kid = await start(cluster, nodes, source)
    expect(await exitOf(cluster, nodes[0] as SimNode, kid)).toMatchObject({ state: 'exited', code: 0 })
    expect(times(await historyOf(cluster, nodes[0] as SimNode, kid), 'assigned')).toBe(61)
  })

  it('runs once, also when a disk takes a second to write', async () => {
    const cluster = newCluster({ programs: true, seed: 91, slots: 2, flushMs: [900, 1_200] })
    letTasksSleep(cluster)
    const nodes = await boot(cluster, 3)
    await oneHome(cluster)
    const source = `
      export async function start(event, os) { for (let i = 0; i < 100; i++) await os.emit('one', i) }
      export const one = () => testSleep(300)`
    const kid = await start(cluster, nodes, source)
    expect(await exitOf(cluster, nodes[0] as SimNode, kid)).toMatchObject({ state: 'exited', code: 0 })
    expect(times(await historyOf(cluster, nodes[0] as SimNode, kid), 'assigned')).toBe(101)
  })
})

it.each([2, 3])('rounds of short events and a gather are quick beside a long event, on %d tabs', async (count) => {
  const { cluster, nodes } = await bootSleepers(count, 91)
  const rounds = 20
  const source = `
    export async function start(event, os) {
      await os.emit('beside', null)
      await os.emit('round', 0)
    }
    export const beside = () => testSleep(1e6)
    export async function round({ data }, os) {
      const ids = []
      for (let i = 0; i < 50; i++) ids.push(await os.emit('one', i))
      await os.gather(ids, 'next', data)
    }
    export const one = ({ data }) => data
    export async function next({ data: { data } }, os) {
      if (data === ${rounds}) return os.exit(0)
      await os.emit('round', data + 1)
    }`
  const beganMs = cluster.clock.nowMs()
  const kid = await start(cluster, nodes, source)
  expect(await exitOf(cluster, nodes[0] as SimNode, kid)).toMatchObject({ state: 'exited', code: 0 })
  // Some five round trips each; one wait of an entry would take 200 ms.
  expect((cluster.clock.nowMs() - beganMs) / rounds).toBeLessThan(60)
})

it.each([1, 2, 3])('a home that is closed takes no long event with it that was done (seed %d)', async (seed) => {
  const { cluster, nodes } = await bootSleepers(4, seed)
  const [first, second] = nodes as [SimNode, SimNode]
  const runs = new Map<number, number>()
  Object.assign(globalThis, { testRan: (data: number) => void runs.set(data, (runs.get(data) ?? 0) + 1) })
  const source = `
    export async function start(event, os) { for (let i = 0; i < 60; i++) await os.emit('one', i) }
    export async function one({ data }) { await testSleep(20_000 + data * 50); testRan(data) }`
  const kid = await start(cluster, nodes, source)
  await cluster.until(() => runs.size >= 6, 'some are done')
  await cluster.advance(30)
  const before = [...runs.keys()]
  await cluster.run(first.close())
  expect(await exitOf(cluster, second, kid)).toMatchObject({ state: 'exited', code: 0 })
  expect(before.filter((data) => runs.get(data) !== 1)).toEqual([])
})

it('a process that is killed leaves no timers, and its end is the last that its journal tells', async () => {
  const { cluster, nodes } = await bootSleepers(3, 5)
  const [first] = nodes as [SimNode]
  const source = `
    export async function start(event, os) { for (let i = 0; i < 100; i++) await os.emit('one', i) }
    export async function one({ data }) { await testSleep(60); return data }`
  for (let i = 0; i < 6; i++) {
    const kid = await start(cluster, nodes, source)
    await cluster.advance(200 + 101 * i)
    await cluster.run(first.os.call('signal', { signal: 'KILL', kid }))
    const timers = vi.spyOn(cluster.clock, 'setTimer')
    await cluster.advance(1_000)
    expect(timers.mock.calls.filter(([, , label]) => label === 'entries of a process')).toEqual([])
    timers.mockRestore()
    const rows = await historyOf(cluster, first, kid)
    expect(rows.at(-1)?.what).toBe('ended')
    const row = (await cluster.run(first.os.info('processes'))).find((each) => each.kid === kid)
    expect(times(rows, 'completed')).toBe(row?.done)
  }
})

it.each([1, 3, 5])('an event that takes its whole device with it is given up after three (seed %d)', async (seed) => {
  const cluster = newCluster({ programs: true, seed, slots: 2 })
  letTasksSleep(cluster)
  const devices = Array.from({ length: 7 }, (_, i) => String(i).repeat(32) as DeviceId)
  const nodes = devices.flatMap((device) => [1, 2, 3].map(() => cluster.addNode(device)))
  for (const node of nodes) await cluster.run(node.boot())
  await meshed(cluster, nodes)
  await oneHome(cluster)
  await cluster.advance(12_000)
  const source = `
    export async function start(event, os) {
      for (let i = 0; i < 30; i++) await os.emit('fill', i)
      await os.emit('bad', null)
    }
    export const fill = () => testSleep(3_000)
    export const bad = () => testSleep(1e9)`
  const kid = await start(cluster, nodes, source)
  const row = async () => {
    const [one] = cluster.up() as [SimNode]
    return (await cluster.run(one.os.info('processes'))).find((each) => each.kid === kid)
  }
  let died = 0
  for (; died < 6; died++) {
    let executor: SimNode | undefined
    await cluster.until(
      async () => {
        const now = await row()
        const at = now?.working.find(({ task }) => task === 'bad')?.node
        executor = cluster.up().find(({ id }) => id === at)
        return executor !== undefined || (now !== undefined && now.state !== 'running')
      },
      'it runs, or has ended',
      60_000,
    )
    if (!executor) break
    for (const node of cluster.up()) if (node.device === executor.device) node.crash()
    await cluster.advance(8_000)
  }
  expect(died).toBe(3)
  expect(await row()).toMatchObject({ state: 'failed' })
})
