// Tasks that need what does not answer, in whole kernels over virtual time: they run again, and not for ever.
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import type { ExitStatus } from '../../syscalls/types.ts'
import { BlockMissing } from '../blocks/blocks.ts'
import { boot, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { DagReader } from '../fs/dag.ts'

let cluster: TestCluster
let node: SimNode
/** Whether content cannot be had now. */
let away: () => boolean
let spy: { mockRestore(): void } | undefined

async function start(count: number): Promise<void> {
  cluster = newCluster({ programs: true, seed: 3, slots: 2 })
  const nodes = await boot(cluster, count)
  node = nodes[0] as SimNode
  await oneHome(cluster)
  away = () => false
  const original = DagReader.prototype.readAt
  let blocks = 0
  spy = vi.spyOn(DagReader.prototype, 'readAt').mockImplementation(function (this: DagReader, ...args) {
    if (!away()) return original.apply(this, args)
    const what = `block b${blocks++} cannot be had now: a node does not answer`
    return Promise.reject(new BlockMissing(what, { certain: false }))
  })
}
afterEach(() => spy?.mockRestore())

async function run(path: string, args: string[] = []): Promise<ExitStatus & { ms: number }> {
  const beganMs = cluster.clock.nowMs()
  const { kid } = await cluster.run(node.os.call('run', { program: path, args, cwd: '/' }))
  const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  return { ...(exits as [ExitStatus])[0], ms: cluster.clock.nowMs() - beganMs }
}

const write = (path: string, text: string) => cluster.run(node.fs.writeFile(path, text))

describe('a task that needs what does not answer', () => {
  it.each([
    ['one file', `await os.fs.readFile('/a')`],
    ['two files, one after the other', `await os.fs.readFile('/a'); await os.fs.readFile('/b')`],
    ['two files at a time', `await Promise.all([os.fs.readFile('/a'), os.fs.readFile('/b')])`],
  ])('runs again until it has it: %s', async (_what, body) => {
    await start(1)
    let untilMs = 0
    Object.assign(globalThis, {
      testBegan: () => {
        untilMs ||= cluster.clock.nowMs() + 100
      },
    })
    away = () => cluster.clock.nowMs() < untilMs
    for (const path of ['/a', '/b']) await write(path, path)
    await write('/p.js', `export async function start(_, os) { testBegan(); ${body} }`)
    expect(await run('/p.js')).toMatchObject({ state: 'exited', code: 0, error: null })
  })

  it('fails in the end, as the task said it: a keg that nobody knows', async () => {
    await start(2)
    let runs = 0
    Object.assign(globalThis, { testBegan: () => runs++ })
    const kid = `K-${'ab'.repeat(32)}`
    await write(
      '/p.js',
      `export async function start({ data }, os) { testBegan(); await os.fs.readFile(data.args[0]) }`,
    )
    const ended = await run('/p.js', [`/keg/${kid}/x`])
    expect(ended).toMatchObject({ state: 'failed', code: 1, error: expect.stringMatching(/^\/p\.js.*EHOSTUNREACH/) })
    expect(runs).toBe(6)
  })

  it.each([1, 2])('keeps nobody else waiting, on %i nodes', async (count) => {
    await start(count)
    let bad = false
    Object.assign(globalThis, {
      testBegan: () => {
        bad = true
      },
    })
    away = () => {
      const now = bad
      bad = false
      return now
    }
    await write('/bad', 'x'.repeat(12_345))
    await write('/p.js', `export async function start(_, os) { testBegan(); await os.fs.readFile('/bad') }`)
    await write('/q.js', 'export function start() {}')
    const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    const row = async () => (await cluster.run(node.os.info('processes'))).find((each) => each.kid === kid)
    const waited: number[] = []
    while ((await row())?.state === 'running') {
      waited.push((await run('/q.js')).ms)
      await cluster.advance(300)
    }
    expect(waited.length).toBeGreaterThan(20)
    expect(Math.max(...waited)).toBeLessThan(1_000)
  })

  it('costs those nothing that were leased together with it', async () => {
    await start(1)
    const ran: string[] = []
    let failed = false
    Object.assign(globalThis, { testRan: (id: string) => ran.push(id) })
    away = () => {
      const first = ran.length > 30 && !failed
      failed ||= first
      return first
    }
    await write('/bad', 'x')
    await write(
      '/p.js',
      `export async function start(_, os) { for (let i = 0; i < 100; i++) await os.emit('step', i) }
       export async function step(event, os) { testRan(event.id); if (event.data % 10 === 0) await os.fs.readFile('/bad') }`,
    )
    expect(await run('/p.js')).toMatchObject({ state: 'exited', code: 0 })
    expect(cluster.lines.filter((line) => line.includes('(trouble)'))).toHaveLength(1)
  })

  it('ends when it is killed while it waits', async () => {
    await start(1)
    await write('/bad', 'x')
    await write('/p.js', `export async function start(_, os) { await os.fs.readFile('/bad') }`)
    const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    away = () => true
    await cluster.advance(5_000)
    await cluster.run(node.os.call('signal', { signal: 'KILL', kid }))
    const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
    expect(exits?.[0]).toMatchObject({ state: 'killed' })
  })
})
