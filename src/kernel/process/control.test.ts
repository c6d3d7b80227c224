// What whoever starts a process may ask for, and what it may not use up; whole kernels over virtual time.
import { afterEach, describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { CallArgs } from '../../syscalls/table.ts'
import type { ExitStatus, HistoryRow } from '../../syscalls/types.ts'
import { boot, meshed, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'

let cluster: TestCluster
let nodes: SimNode[]
const gates = new Map<string, () => void>()

async function start(count: number, seed = 1): Promise<void> {
  cluster = newCluster({ programs: true, seed, slots: 2 })
  const sleep = (ms: number) => new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'task sleeps'))
  /** Stands still until the test lets it go on. */
  const gate = (name: string) => new Promise<void>((resolve) => gates.set(name, resolve))
  let runs = 0
  Object.assign(globalThis, { testHost: { sleep, gate, run: () => ++runs } })
  nodes = await boot(cluster, count)
  await oneHome(cluster)
}
afterEach(() => {
  Reflect.deleteProperty(globalThis, 'testHost')
  gates.clear()
})
const at = (index: number) => nodes[index] as SimNode

async function run(source: string, limits: CallArgs<'run'>['limits'] = {}): Promise<Kid> {
  await cluster.run(at(0).fs.writeFile('/p.js', source))
  return (await cluster.run(at(0).os.call('run', { program: '/p.js', args: [], cwd: '/', limits }))).kid
}
async function exitOf(kid: Kid): Promise<ExitStatus> {
  const { exits } = await cluster.run(at(0).os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  return exits?.[0] as ExitStatus
}
const stdout = async (kid: Kid) => fromUtf8(await cluster.run(at(0).fs.readFile(`/proc/${kid}/stdout`)))
const historyOf = (kid: Kid): Promise<HistoryRow[]> =>
  cluster.run(at(0).os.call('info', { topic: 'history', kid })) as Promise<HistoryRow[]>

it('a list of processes tells when they began by the clock of whoever asks, whatever that of their home shows', async () => {
  await start(1)
  for (const wallMs of [-3_600_000, 3_600_000]) {
    const node = cluster.addNode()
    node.skew.wallMs = wallMs
    await cluster.run(node.boot())
    nodes.push(node)
  }
  await meshed(cluster, nodes)
  await oneHome(cluster)
  await cluster.run(at(0).fs.writeFile('/p.js', `export const start = () => testHost.sleep(2_000)`))
  for (const { os } of nodes) {
    const { kid } = await cluster.run(os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    await exitOf(kid)
  }
  for (const { os, skew } of nodes) {
    const nowMs = cluster.clock.wallMs() + skew.wallMs
    const rows = await cluster.run(os.info('processes'))
    expect(rows.map(({ home }) => home)).toEqual(nodes.map(({ id }) => id))
    for (const { startedMs, endedMs } of rows) {
      expect(nowMs - startedMs).toBeLessThan(60_000)
      expect(nowMs - (endedMs as number)).toBeGreaterThanOrEqual(0)
    }
  }
})

describe('a process that was given bounds', () => {
  it.each([
    ['events', { events: 10 }, 'it needs more than the 10 events that it was given'],
    ['time', { cpuMs: 500 }, 'its tasks have run for longer than the 0.5 s that it was given'],
    ['memory', { memoryBytes: 400 }, 'its events and results hold more than the 400 bytes that it was given'],
    ['output', { outputBytes: 20 }, 'it prints more than the 20 bytes that it was given'],
  ])('ends with clear words when it needs more %s', async (_what, limits, error) => {
    await start(2)
    const kid = await run(
      `export async function start(event, os) {
        for (let i = 0; i < 40; i++) await os.emit('work', 'x'.repeat(20))
      }
      export async function work({ data }, os) {
        await testHost.sleep(100)
        await os.print(data)
      }`,
      limits,
    )
    expect(await exitOf(kid)).toEqual({ kid, state: 'failed', code: 1, error })
  })

  it('ends as ever when it keeps to them', async () => {
    await start(2)
    const limits = { events: 3, cpuMs: 60_000, memoryBytes: 10_000, outputBytes: 6, nodes: 1 }
    const kid = await run(
      `export async function start(event, os) { for (const i of [1, 2]) await os.emit('work', i) }
       export const work = ({ data }, os) => os.print('l' + data)`,
      limits,
    )
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
  })

  it('runs on no more tabs at a time than it may', async () => {
    await start(4)
    const source = `export async function start(event, os) { for (let i = 0; i < 40; i++) await os.emit('work', i) }
      export const work = () => testHost.sleep(50)`
    const free = await run(source)
    const bound = await run(source, { nodes: 2 })
    /** The most tabs that had leases of it at the same time. */
    const mostOf = async (kid: Kid) => {
      const leased: (string | null)[] = []
      let most = 0
      for (const { what, node } of await historyOf(kid)) {
        if (what === 'assigned') leased.push(node)
        else if (what === 'completed') leased.splice(leased.indexOf(node), 1)
        most = Math.max(most, new Set(leased).size)
      }
      return most
    }
    await exitOf(free)
    await exitOf(bound)
    expect(await mostOf(free)).toBe(4)
    expect(await mostOf(bound)).toBe(2)
  })
})

describe('an event that is much later than the others', () => {
  it('gets company near the end of the job, and the first to complete it wins', async () => {
    await start(3)
    const kid = await run(`
      export async function start(event, os) {
        const ids = []
        for (let i = 0; i < 12; i++) ids.push(await os.emit('work', i))
        await os.gather(ids, 'sum', null)
      }
      export async function work({ data }, os) {
        await os.print('line ' + data)
        if (data === 5 && testHost.run() === 1) await testHost.gate('stuck')
        else await testHost.sleep(200)
        return data
      }
      export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b))`)
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
    const lines = (await stdout(kid)).trimEnd().split('\n')
    expect(lines.at(-1)).toBe('sum 66')
    expect(lines.slice(0, -1).sort()).toEqual(Array.from({ length: 12 }, (_, i) => `line ${i}`).sort())
    const rows = await historyOf(kid)
    const leases = rows.filter(({ what, event }) => what === 'assigned' && event === '0.5')
    expect(leases).toHaveLength(2)
    expect(leases[1]?.detail).toMatch(/^late on /)
    expect(new Set(leases.map(({ node }) => node)).size).toBe(2)
    expect(rows.filter(({ what, event }) => what === 'completed' && event === '0.5')).toHaveLength(1)
    // Whoever was slower has been stopped: its worker is gone with the process.
    gates.get('stuck')?.()
    await cluster.advance(1_000)
    expect(nodes.map((node) => node.kernel?.executorDomains)).toEqual([0, 0, 0])
  })

  it.each(['frozen', 'busy'])(
    'runs elsewhere when its tab is %s, though nobody knows how long it takes',
    async (how) => {
      await start(3)
      const kid = await run(`
      export async function start(event, os) { for (let i = 0; i < 3; i++) await os.emit('work', i) }
      export async function work({ data }, os) {
        await testHost.sleep(2_000)
        await os.print('line ' + data)
      }`)
      const leases = async () =>
        (await historyOf(kid)).filter(({ what, task }) => what === 'assigned' && task === 'work')
      await cluster.until(async () => (await leases()).length === 3, 'all run')
      const row = (await leases()).find(({ node }) => node !== at(0).id)
      const victim = nodes.find(({ id }) => id === row?.node) as SimNode
      if (how === 'frozen') victim.kernel?.lifecycle('freeze')
      await cluster.advance(50)
      const thaw = victim.freeze()
      expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 0 })
      const again = (await leases()).filter(({ event }) => event === row?.event)
      expect(again).toHaveLength(2)
      expect(again[1]?.detail).toMatch(/^late on /)
      thaw()
      victim.kernel?.lifecycle('resume')
      await cluster.advance(5_000)
      expect((await stdout(kid)).trimEnd().split('\n').sort()).toEqual(['line 0', 'line 1', 'line 2'])
      expect(nodes.map((node) => node.kernel?.executorDomains)).toEqual([0, 0, 0])
    },
  )

  it('is not run twice while others still wait for their turn', async () => {
    await start(2)
    const kid = await run(`
      export async function start(event, os) { for (let i = 0; i < 30; i++) await os.emit('work', i) }
      export const work = ({ data }) => testHost.sleep(data === 3 ? 4_000 : 700)`)
    expect(await exitOf(kid)).toMatchObject({ state: 'exited' })
    const leases = (await historyOf(kid)).filter(({ what }) => what === 'assigned')
    expect(leases.length).toBe(31)
  })
})

describe('a process that ends itself', () => {
  it('has made the files of the event that said so, whatever else is done meanwhile', async () => {
    await start(3, 5)
    const kid = await run(`
      export async function start(event, os) {
        for (let i = 0; i < 12; i++) await os.emit('work', i)
        await os.emit('last', null)
      }
      export const work = () => testHost.sleep(20)
      export async function last(event, os) {
        for (let i = 0; i < 5; i++) await os.fs.writeFile('/last-' + i, 'kept')
        await os.exit(7)
      }`)
    expect(await exitOf(kid)).toMatchObject({ state: 'exited', code: 7 })
    const names = await cluster.run(at(1).fs.readdir('/'))
    expect(names.filter((name) => name.startsWith('last-'))).toHaveLength(5)
  })

  it('has made them also when its home dies in between', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      await start(3, seed)
      const kid = await run(
        `export async function start(event, os) { await os.fs.writeFile('/last', 'kept'); await os.exit(7) }`,
      )
      await cluster.advance(seed * 6)
      at(0).crash()
      const { exits } = await cluster.run(at(1).os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
      expect(exits).toMatchObject([{ state: 'exited', code: 7 }])
      expect(await cluster.run(at(1).fs.readFile('/last', 'utf8'))).toBe('kept')
    }
  })
})

describe('a stopped process', () => {
  it('starts nothing, not even company for what is late', async () => {
    await start(2, 9)
    const kid = await run(`
      export async function start(event, os) { for (let i = 0; i < 5; i++) await os.emit('work', i) }
      export const work = ({ data }) => testHost.sleep(data === 4 ? 6_000 : 50)`)
    await cluster.until(
      async () => (await historyOf(kid)).filter(({ what }) => what === 'completed').length === 5,
      'but one',
    )
    await cluster.run(at(0).os.call('signal', { signal: 'STOP', kid }))
    await cluster.advance(4_000)
    expect((await historyOf(kid)).filter(({ what }) => what === 'assigned')).toHaveLength(6)
    await cluster.run(at(0).os.call('signal', { signal: 'CONT', kid }))
    expect(await exitOf(kid)).toMatchObject({ state: 'exited' })
  })
})

it('a process that has ended stays as it ended, whoever is its home then and whatever it is told', async () => {
  await start(3, 10)
  const kid = await run(`export const start = () => { throw new Error('as it must') }`)
  const ended = await exitOf(kid)
  expect(ended).toMatchObject({ state: 'failed' })
  const [home, other] = [at(0), at(1)]
  const row = async () => (await cluster.run(other.os.info('processes'))).find((each) => each.kid === kid)
  home.crash()
  await cluster.until(
    async () => (await row())?.home !== home.id && (await row()) !== undefined,
    'another home',
    60_000,
  )
  for (const signal of ['STOP', 'CONT', 'KILL'] as const) {
    expect(await cluster.run(other.os.call('signal', { signal, kid }))).toEqual({ delivered: false })
  }
  expect(await row()).toMatchObject({ state: 'failed', error: ended.error })
  const history = (await cluster.run(other.os.call('info', { topic: 'history', kid }))) as HistoryRow[]
  expect(history.at(-1)?.what).toBe('ended')
})

describe('a process of large events', () => {
  const rowAt = async (node: SimNode, kid: Kid) =>
    (await cluster.run(node.os.info('processes'))).find((row) => row.kid === kid)

  it.each([
    ['many events at once', `for (let i = 0; i < 45_000; i++) await os.emit('one', i)`, 45_001],
    ['data of several MiB', `for (let i = 0; i < 3; i++) await os.emit('one', new Uint8Array(1_000_000))`, 4],
    ['a result of a MiB', `await os.gather([await os.emit('large', null)], 'one', null)`, 3],
  ])('is kept by all and drops nobody: %s', async (_what, body, total) => {
    await start(3, 71)
    const [home, other] = [at(0), at(1)]
    const kid = await run(
      `export async function start(event, os) { ${body} }
       export const large = () => new Uint8Array(1_000_000)
       export const one = () => testHost.sleep(60_000)`,
    )
    const known = async () => (await rowAt(home, kid))?.total === total
    for (let i = 0; i < 600 && !(await known()); i++) await cluster.advance(100)
    expect(await cluster.run(other.os.info('peers'))).toHaveLength(2)
    home.crash()
    await cluster.until(async () => (await rowAt(other, kid)) !== undefined, 'another home', 60_000)
    expect((await rowAt(other, kid))?.total).toBe(total)
    await cluster.run(other.os.call('signal', { signal: 'KILL', kid }))
    const { exits } = await cluster.run(other.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
    expect(exits).toMatchObject([{ state: 'killed' }])
  })
})
