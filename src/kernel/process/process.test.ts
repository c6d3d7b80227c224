// Processes in a cluster of whole kernels over virtual time.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { ExitStatus } from '../../syscalls/types.ts'
import { boot, codeOf, eventsOf, meshed, newCluster, oneHome, snapshot, type TestCluster } from '../cluster.contract.ts'
import { type DispatchServices, taskDispatch } from '../dispatch.ts'
import { MAX_ENDED_PROCESSES } from '../limits.ts'
import type { TaskActions } from './lease-run.ts'

/** Programs run in this process and in real time; tests that need a slow task let it wait for virtual time. */
interface Host {
  sleep(ms: number): Promise<void>
  count(name: string): number
  counts: Record<string, number>
}
const host = (): Host => (globalThis as unknown as { testHost: Host }).testHost
function expose(cluster: TestCluster): void {
  const counts: Record<string, number> = {}
  Object.assign(globalThis, {
    testHost: {
      counts,
      sleep: (ms: number) => new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'task sleeps')),
      count: (name: string) => {
        counts[name] = (counts[name] ?? 0) + 1
        return counts[name]
      },
    } satisfies Host,
  })
}
afterEach(() => {
  Reflect.deleteProperty(globalThis, 'testHost')
})

let cluster: TestCluster
let nodes: SimNode[]
async function start(count: number, seed = 1, slots = 2): Promise<void> {
  cluster = newCluster({ programs: true, seed, slots })
  expose(cluster)
  nodes = await boot(cluster, count)
  await oneHome(cluster)
}
const at = (index: number) => nodes[index] as SimNode

async function spawn(source: string, node = at(0), args: string[] = [], eventMs?: number): Promise<Kid> {
  await cluster.run(node.fs.writeFile('/p.js', source))
  const limits = eventMs === undefined ? {} : { limits: { eventMs } }
  return (await cluster.run(node.os.call('run', { program: '/p.js', args, cwd: '/', ...limits }))).kid
}
const exitOf = async (kid: Kid, node = at(0)): Promise<ExitStatus> => {
  const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  return exits?.[0] as ExitStatus
}
const stdout = async (kid: Kid, node = at(0), stream: 'stdout' | 'stderr' = 'stdout') =>
  fromUtf8(await cluster.run(node.fs.readFile(`/proc/${kid}/${stream}`)))
const row = async (kid: Kid, node = at(0)) =>
  (await cluster.run(node.os.info('processes'))).find((each) => each.kid === kid)

const SQUARES = `
  export async function start({ data }, os) {
    const ids = []
    for (let i = 0; i < Number(data.args[0]); i++) ids.push(await os.emit('square', i))
    await os.gather(ids, 'sum', 'total')
  }
  export async function square({ id, data }, os) {
    testHost.count(id)
    await os.print('square of ' + data)
    await testHost.sleep(Number(300))
    await os.fs.writeFile('/tmp/squares/' + data, String(data * data))
    return data * data
  }
  export async function sum({ data }, os) {
    let files = 0
    for (let i = 0; i < data.results.length; i++) files += Number(await os.fs.readFile('/tmp/squares/' + i, 'utf8'))
    await os.print(data.data + ' ' + data.results.reduce((a, b) => a + b, 0) + ' ' + files)
  }`
const squares = (count: number) => Array.from({ length: count }, (_, i) => i * i).reduce((a, b) => a + b, 0)

async function expectSquares(kid: Kid, count: number, node = at(0)): Promise<void> {
  expect(await exitOf(kid, node)).toEqual({ kid, state: 'exited', code: 0, error: null })
  const lines = (await stdout(kid, node)).trimEnd().split('\n')
  expect(lines.at(-1)).toBe(`total ${squares(count)} ${squares(count)}`)
  expect(lines.slice(0, -1).sort()).toEqual(Array.from({ length: count }, (_, i) => `square of ${i}`).sort())
  expect(await row(kid, node)).toMatchObject({ state: 'exited', done: count + 2, total: count + 2 })
}

describe('a process whose executors go (invariant 3: each event’s effects appear exactly once)', () => {
  it.each([
    ['closes', 11],
    ['crashes', 12],
    ['is cut off and comes back', 13],
  ])('gives the same result when an executor %s in the middle', async (how, seed) => {
    await start(3, seed)
    const treeHome = await oneHome(cluster)
    const victim = nodes.find((node, i) => i > 0 && node.id !== treeHome) as SimNode
    const kid = await spawn(SQUARES, at(0), ['24'])
    await cluster.until(async () => ((await row(kid))?.done ?? 0) >= 6, 'some done')
    if (how === 'closes') await cluster.run(victim.close())
    else if (how === 'crashes') victim.crash()
    else {
      for (const node of nodes) if (node !== victim) cluster.hub.setPartition(node.id, victim.id, true)
      await cluster.advance(2_000)
      for (const node of nodes) if (node !== victim) cluster.hub.setPartition(node.id, victim.id, false)
    }
    await expectSquares(kid, 24)
    const runs = Object.values(host().counts)
    expect(runs.length).toBe(24)
    if (how !== 'closes') expect(Math.max(...runs)).toBe(2) // a handler may run more than once; its effects may not
  })

  // What the tree's home had acknowledged a moment before may be lost with it (a group of one), so no task reads it.
  it('gives the same result when the tree’s home crashes in the middle', async () => {
    await start(4, 14)
    const treeHome = await oneHome(cluster)
    const home = nodes.find((node) => node.id !== treeHome) as SimNode
    const kid = await spawn(SQUARES.replace("Number(await os.fs.readFile('/tmp/squares/' + i, 'utf8'))", 'i * i'), home, ['24']) // biome-ignore format: one line
    await cluster.until(async () => ((await row(kid, home))?.done ?? 0) >= 6, 'some done')
    ;(nodes.find((node) => node.id === treeHome) as SimNode).crash()
    await expectSquares(kid, 24, home)
    expect((await cluster.run(home.fs.readdir('/tmp/squares'))).length).toBeGreaterThan(12)
  })

  it.each([21, 22, 23, 24])('goes on after its home was reloaded, with nothing twice (seed %i)', async (seed) => {
    await start(3, seed)
    const home = at(seed % 3)
    const kid = await spawn(SQUARES, home, ['16'])
    await cluster.until(async () => ((await row(kid, home))?.done ?? 0) >= 4, 'some done')
    await cluster.advance(seed * 7)
    if (seed % 2) await cluster.run(home.close())
    else home.crash()
    await cluster.advance(seed * 100)
    await cluster.run(home.boot())
    await meshed(cluster)
    await expectSquares(kid, 16, home)
    const startedMs = cluster.clock.nowMs()
    await cluster.run(home.fs.readdir('/'))
    expect(cluster.clock.nowMs() - startedMs).toBeLessThan(5_000)
  })

  it('is not run again after a reload when it had ended, and its output is still there', async () => {
    await start(2, 15)
    const kid = await spawn(`export const start = (event, os) => os.print('once ' + testHost.count('start'))`)
    expect((await exitOf(kid)).state).toBe('exited')
    await cluster.run(at(0).close())
    await cluster.run(at(0).boot())
    expect(await stdout(kid)).toBe('once 1\n')
    expect((await row(kid))?.state).toBe('exited')
    expect(host().counts).toEqual({ start: 1 })
  })

  it('boots quickly although an event’s files may not be in the tree and the tree’s home is elsewhere', async () => {
    await start(3, 16)
    const treeHome = await oneHome(cluster)
    const home = nodes.find((node) => node.id !== treeHome) as SimNode
    const keeper = nodes.find((node) => node.id === treeHome) as SimNode
    for (const node of nodes) await cluster.run(node.fs.readdir('/'))
    const kid = await spawn(
      `export async function start(event, os) { await os.fs.writeFile('/tmp/out', 'x'); await os.emit('next') }
       export async function next(event, os) { await os.print(await os.fs.readFile('/tmp/out', 'utf8')) }`,
      home,
    )
    // Between the completion and the change of the tree: cut the way to the tree's home at that very moment.
    await cluster.until(async () => ((await row(kid, home))?.done ?? 0) >= 1, 'start done', 5_000)
    cluster.hub.setPartition(home.id, keeper.id, true)
    home.crash()
    cluster.hub.setPartition(home.id, keeper.id, false)
    const bootMs = cluster.clock.nowMs()
    await cluster.run(home.boot())
    expect(cluster.clock.nowMs() - bootMs).toBeLessThan(3_500)
    expect((await exitOf(kid, home)).state).toBe('exited')
    expect(await stdout(kid, home)).toBe('x\n')
  })

  it('repeats file changes after a crash although they had been made: nothing fails, nothing is lost', async () => {
    await start(1, 17)
    const kid = await spawn(
      `export async function start(event, os) {
         await os.fs.mkdir('/tmp/made')
         await os.fs.rm('/old')
         await os.fs.rename('/from', '/to')
         const handle = await os.fs.open('/tmp/new', 'wx')
         await handle.write(new Uint8Array([65]))
         await handle.close()
         await os.emit('next')
       }
       export async function next(event, os) { await testHost.sleep(500); await os.print('end') }`,
      ...([] as never[]),
    )
    expect(kid).toBeTruthy()
    expect((await exitOf(kid)).error).toMatch(/\/old/) // rm of what is not there fails, as in any shell
    await cluster.run(at(0).fs.writeFile('/old', 'x'))
    await cluster.run(at(0).fs.writeFile('/from', 'x'))
    const again = (await cluster.run(at(0).os.call('run', { program: '/p.js', args: [], cwd: '/' }))).kid
    await cluster.until(async () => (await row(again))?.done === 1, 'start done')
    // Forget that the changes were applied, as a crash between the two would.
    at(0).crash()
    const journal = at(0).disk.logs.get(`process/${again}`)
    expect(journal).toBeDefined()
    if (journal) journal.entries = journal.entries.filter((entry) => !fromUtf8(entry).includes('applied'))
    await cluster.run(at(0).boot())
    expect(await exitOf(again)).toMatchObject({ state: 'exited', error: null })
    expect(await snapshot(cluster, at(0))).toMatchObject({ '/to': 'x', '/tmp/made/': '', '/tmp/new': 'A' })
  })

  it('prints nothing twice although an event that had printed is run again, and everything in order', async () => {
    await start(2, 18)
    const source = `
      export async function start(event, os) { await os.emit('talk') }
      export async function talk(event, os) {
        const run = testHost.count('talk')
        for (let i = 0; i < 40; i++) {
          os.print('line ' + i + ' ' + 'x'.repeat(9000))
          if (i % 10 === 9) await os.flush()
          if (run === 1 && i === 25) { await os.flush(); await testHost.sleep(60000) }
        }
      }`
    const kid = await spawn(source)
    const other = at(1)
    // Both nodes have room; wait until the first run has printed, then take its node away or let it be taken back.
    await cluster.until(() => (host().counts['talk'] ?? 0) === 1, 'talks')
    await cluster.advance(2_000)
    if ((await cluster.run(other.os.info('processes'))).length > 0) other.crash()
    await cluster.advance(5_000)
    if (host().counts['talk'] === 1) {
      at(0).crash()
      await cluster.run(at(0).boot())
    }
    expect((await exitOf(kid)).state).toBe('exited')
    expect(host().counts['talk']).toBe(2)
    const lines = (await stdout(kid)).trimEnd().split('\n')
    expect(lines.map((line) => line.split(' ')[1])).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`))
  })
})

describe('a program that is wrong ends with words for its author', () => {
  const failure = async (source: string, args: string[] = [], eventMs?: number) => {
    await start(2, 31)
    const kid = await spawn(source, at(0), args, eventMs)
    const exit = await exitOf(kid)
    // The kernel is responsive and its neighbours too.
    await cluster.run(at(1).fs.writeFile('/after', 'x'))
    expect((await row(kid, at(1)))?.error).toBe(exit.error)
    return exit
  }

  it('when it throws: the message of its exception', async () => {
    const exit = await failure(`export const start = () => { throw new TypeError('no way') }`)
    expect(exit).toMatchObject({ state: 'failed', code: 1 })
    expect(exit.error).toMatch(/^\/p\.js.*TypeError: no way/)
  })

  it('when it does not parse', async () => {
    const exit = await failure(`export const start = ( => 1`)
    expect(exit).toMatchObject({ state: 'failed', code: 126 })
    expect(exit.error).toMatch(/SyntaxError/)
  })

  it('when its module throws while it loads', async () => {
    const exit = await failure(`throw new Error('at the top')`)
    expect(exit).toMatchObject({ state: 'failed', code: 126 })
    expect(exit.error).toMatch(/at the top/)
  })

  it('when it has no task of that name', async () => {
    expect((await failure(`export const begin = 1`)).error).toMatch(/exports no task 'start'/)
    expect((await failure(`export const start = (e, os) => os.emit('toString')`)).error).toMatch(/no task 'toString'/)
  })

  it('when it returns what is no data', async () => {
    expect((await failure(`export const start = () => ({ when: new Date() })`)).error).toMatch(/Date/)
    expect((await failure(`export const start = () => 'x'.repeat(2 ** 21)`)).error).toMatch(/larger than 1048576/)
  })

  it('when it gathers what was never emitted', async () => {
    const exit = await failure(`export const start = (e, os) => os.gather(['0.99'], 'x')`)
    expect(exit.error).toMatch(/gather waits for '0.99', which was never emitted/)
    expect((await failure(`export const start = (e, os) => os.gather(['0.-1'], 'x')`)).state).toBe('failed')
  })

  it('when a gather would be too large', async () => {
    const exit = await failure(
      `export async function start(e, os) {
         const ids = []
         for (let i = 0; i < 20; i++) ids.push(await os.emit('big'))
         await os.gather(ids, 'sum')
       }
       export const big = () => new Uint8Array(1000000)
       export const sum = () => 1`,
    )
    expect(exit.error).toMatch(/gather would deliver .* pass results in files/)
  })

  it('when it emits more data than a completion can carry', async () => {
    const exit = await failure(
      `export async function start(e, os) { for (;;) await os.emit('x', new Uint8Array(1000000)) }
       export const x = () => 1`,
    )
    expect(exit.error).toMatch(/emit/)
  })

  it('when its file cannot be written', async () => {
    expect((await failure(`export const start = (e, os) => os.fs.writeFile('/bin/x', 'y')`)).error).toMatch(/read-only/)
    expect((await failure(`export const start = (e, os) => os.fs.writeFile('/tmp', 'y')`)).error).toMatch(
      /is a directory/,
    )
  })

  it('when it exits with a code', async () => {
    expect(await failure(`export const start = (e, os) => os.exit(3)`)).toMatchObject({ state: 'exited', code: 3 })
  })

  it('when it calls what a task may not', async () => {
    const { signal } = new AbortController()
    const dispatch = taskDispatch({} as DispatchServices, { ended: signal } as TaskActions) // nothing is reached
    for (const [call, args, code] of [
      ['run', { program: '/p.js', args: [], cwd: '/' }, 'ENOSYS'],
      ['wait', { for: 'events', since: 0 }, 'EACCES'],
      ['wait', { for: 'exit', kids: [] }, 'EACCES'],
      ['info', { topic: 'peers' }, 'EACCES'],
      ['signal', { signal: 'KILL', kid: 'K-12345678' }, 'EACCES'],
    ] as const) {
      expect(await codeOf(dispatch(call, args as never, signal)), `${call} ${JSON.stringify(args)}`).toBe(code)
    }
  })
})

it('what an event leaves open is closed when it has ended, and what it was about to open', async () => {
  const ended = new AbortController()
  let released = 0
  let opens = Promise.resolve()
  const handle = { kind: 'file', size: 1, release: () => released++ }
  const fs = { namespace: { seen: async () => '/f' }, open: () => opens.then(() => handle) }
  const actions = { ended: ended.signal, cwd: '/' } as TaskActions
  const dispatch = taskDispatch({ fs } as unknown as DispatchServices, actions)
  const { signal } = new AbortController()
  const open = () => dispatch('open', { path: '/f', mode: 'r' } as never, signal) as Promise<{ ref: number }>
  const { ref } = await open()
  await open()
  const late = Promise.withResolvers<void>()
  opens = late.promise
  const third = codeOf(open())
  ended.abort()
  expect(released).toBe(2)
  const read = async () => dispatch('read', { ref, offset: 0, length: 1 } as never, signal)
  expect(await codeOf(read())).toBe('EBADF')
  late.resolve()
  expect(await third).toBe('ECANCELED')
  expect(released).toBe(3)
})

describe('a process', () => {
  it('is found and killed from any node, also while it waits for ever', async () => {
    await start(3, 41)
    const kid = await spawn(`export const start = () => new Promise(() => {})`, at(1))
    await cluster.advance(500)
    expect((await row(kid, at(2)))?.state).toBe('running')
    const prefix = kid.slice(0, 10)
    const { delivered } = await cluster.run(at(2).os.call('signal', { signal: 'KILL', kid: prefix }))
    expect(delivered).toBe(true)
    expect(await exitOf(kid, at(0))).toMatchObject({ state: 'killed', code: 130 })
    const again = await cluster.run(at(2).os.call('signal', { signal: 'KILL', kid }))
    expect(again.delivered).toBe(false)
    // Nothing of it runs anywhere any more.
    const idle = async () => (await at(0).os.info('peers')).every((peer) => peer.running === 0)
    await cluster.until(idle, 'nobody runs anything, as their next heartbeats tell')
  })

  it('that does not exist is ESRCH, or EINVAL for what is no KID', async () => {
    await start(2, 42)
    for (const [kid, code] of [
      ['K-00000000', 'ESRCH'],
      [`K-${'0'.repeat(64)}`, 'ESRCH'],
      ['K-xyz', 'EINVAL'],
      ['__proto__', 'EINVAL'],
    ]) {
      // biome-ignore format: one line
      expect(await codeOf(cluster.run(at(0).os.call('signal', { signal: 'KILL', kid: kid as string })))).toBe(code)
    }
    expect(await codeOf(cluster.run(at(0).os.call('run', { program: '/none.js', args: [], cwd: '/' })))).toBe('ENOENT')
    expect(await codeOf(cluster.run(at(0).os.call('run', { program: '/tmp', args: [], cwd: '/' })))).toBe('EISDIR')
  })

  it('can be waited for together with others: all, or any', async () => {
    await start(2, 43)
    const quick = await spawn(`export const start = () => 1`)
    const slow = await spawn(`export const start = () => testHost.sleep(5000)`, at(1))
    const any = await cluster.run(at(0).os.call('wait', { for: 'exit', kids: [slow, quick], any: true }))
    expect(any.exits?.map(({ kid }) => kid)).toEqual([quick])
    const all = await cluster.run(at(0).os.call('wait', { for: 'exit', kids: [slow, quick] }))
    expect(all.exits?.map(({ kid }) => kid)).toEqual([slow, quick])
  })

  it('runs on all nodes at once, never more events on one than it has slots', async () => {
    await start(3, 44, 2)
    const source = `
      export async function start(e, os) { for (let i = 0; i < 30; i++) await os.emit('work') }
      export async function work() {
        const now = globalThis.nowRunning = (globalThis.nowRunning ?? 0) + 1
        globalThis.mostRunning = Math.max(globalThis.mostRunning ?? 0, now)
        await testHost.sleep(100)
        globalThis.nowRunning--
      }`
    const kid = await spawn(source)
    const startMs = cluster.clock.nowMs()
    await exitOf(kid)
    const most = (globalThis as unknown as { mostRunning: number }).mostRunning
    expect(most).toBe(6)
    expect(cluster.clock.nowMs() - startMs).toBeLessThan(30 * 100)
    expect((await row(kid))?.nodes).toBe(3)
  })

  it('leaves no workers behind on any node once it has ended, or once its home has gone', async () => {
    await start(3, 45)
    const kid = await spawn(SQUARES, at(0), ['12'])
    await exitOf(kid)
    await cluster.advance(1_000)
    for (const node of nodes) expect(node.kernel?.executorDomains).toBe(0)
    const orphan = await spawn(SQUARES, at(1), ['12'])
    await cluster.until(async () => ((await row(orphan, at(1)))?.done ?? 0) >= 4, 'some done')
    at(1).crash()
    await cluster.advance(10_000)
    expect([at(0).kernel?.executorDomains, at(2).kernel?.executorDomains]).toEqual([0, 0])
  })

  it(`is forgotten by its home only after ${MAX_ENDED_PROCESSES} others have ended`, async () => {
    await start(1, 46)
    const first = await spawn(`export const start = () => 1`)
    for (let i = 0; i < MAX_ENDED_PROCESSES + 2; i++) {
      const { kid } = await cluster.run(at(0).os.call('run', { program: '/p.js', args: [], cwd: '/' }))
      await exitOf(kid)
    }
    const rows = await cluster.run(at(0).os.info('processes'))
    expect(rows.length).toBeLessThanOrEqual(MAX_ENDED_PROCESSES + 2)
    expect(rows.some(({ kid }) => kid === first)).toBe(false)
    expect(at(0).disk.logs.size).toBeLessThanOrEqual(MAX_ENDED_PROCESSES + 3)
  })

  it('with thousands of arguments does not hide its home’s other processes from the list', async () => {
    await start(2, 47)
    await spawn(`export const start = () => 1`)
    const args = Array.from({ length: 4_000 }, (_, i) => `${i}${'x'.repeat(8)}`)
    const kids: Kid[] = []
    for (let i = 0; i < 4; i++)
      kids.push((await cluster.run(at(0).os.call('run', { program: '/p.js', args, cwd: '/' }))).kid)
    for (const kid of kids) await exitOf(kid)
    expect((await cluster.run(at(1).os.info('processes'))).length).toBe(5)
  })

  it('tells its progress, the first and the last at once', async () => {
    await start(1, 48)
    const kid = await spawn(SQUARES, at(0), ['8'])
    await exitOf(kid)
    const events = (await eventsOf(cluster, at(0))).filter((event) => event.type === 'process')
    expect(events.at(-1)).toEqual({ type: 'process', kid, state: 'exited', done: 10, total: 10 })
    expect(events.length).toBeLessThan(30)
  })
})

describe('what a task sees of files', () => {
  const output = async (body: string) => {
    await start(2, 51)
    await cluster.run(at(0).fs.writeFile('/there', 'old'))
    const kid = await spawn(`
      const code = async (promise) => { try { return await promise } catch (error) { return error.code } }
      export async function start(event, os) { ${body} }`)
    const exit = await exitOf(kid)
    expect(exit).toMatchObject({ error: null })
    return (await stdout(kid)).trimEnd().split('\n')
  }

  it('is its own changes at once, while others see them when the event is done', async () => {
    const lines = await output(`
      await os.fs.writeFile('/there', 'new')
      await os.print(await os.fs.readFile('/there', 'utf8'))
      await os.fs.writeFile('/tmp/deep/new', 'made')
      await os.print(await os.fs.readFile('/tmp/deep/new', 'utf8'))
      await os.fs.appendFile('/there', 'er')
      await os.print(await os.fs.readFile('/there', 'utf8'))
      await os.print((await os.fs.stat('/there')).size)`)
    expect(lines).toEqual(['new', 'made', 'newer', '5'])
    expect(await snapshot(cluster, at(1))).toMatchObject({ '/there': 'newer', '/tmp/deep/new': 'made' })
  })

  it('is nothing where it has removed something itself', async () => {
    const lines = await output(`
      await os.fs.rm('/there')
      await os.print(await code(os.fs.readFile('/there')))
      await os.print(await code(os.fs.stat('/there')))
      await os.fs.writeFile('/there', 'again')
      await os.print(await os.fs.readFile('/there', 'utf8'))`)
    expect(lines).toEqual(['ENOENT', 'ENOENT', 'again'])
  })

  it('is EEXIST for an exclusive creation of what it has just made itself', async () => {
    const lines = await output(`
      await os.fs.writeFile('/mine', 'x')
      await os.print(await code(os.fs.open('/mine', 'wx')))
      await os.print(await code(os.fs.open('/there', 'wx')))`)
    expect(lines).toEqual(['EEXIST', 'EEXIST'])
  })

  it('is what becomes of a path that it watches, until it stops to watch', async () => {
    await start(2, 53)
    await cluster.run(at(0).fs.mkdir('/in'))
    const kid = await spawn(`
      export async function start({ data }, os) {
        for await (const { eventType, filename } of os.fs.watch('/in')) return os.print(eventType + ' ' + filename)
      }`)
    let written = 0
    const changed = async () => {
      await at(1).fs.writeFile(`/in/${written++}`, 'x')
      return (await row(kid))?.state === 'exited'
    }
    await cluster.until(changed, 'the task saw a change', 60_000)
    expect(await exitOf(kid)).toMatchObject({ error: null })
    expect(await stdout(kid)).toMatch(/^rename \d+\n$/)
  })

  it('is nothing of an event that failed: none of its files appears', async () => {
    await start(1, 52)
    const kid = await spawn(
      `export async function start(e, os) { await os.fs.writeFile('/half', 'x'); throw new Error('no') }`,
    )
    await exitOf(kid)
    expect(await snapshot(cluster, at(0))).not.toHaveProperty('/half')
  })
})

vi.setConfig({ testTimeout: 30_000 })
