// A process that begins while something happens to those who should keep its journal, or to its home: at each step of it.
import { afterEach, describe, expect, it } from 'vitest'
import type { Cluster, SimNode } from '../../sim/cluster.ts'
import { bootSleepers, codeOf, endSleepers } from '../cluster.contract.ts'

const SOURCE = `export async function start(event, os) { testRan(); await testSleep(1_000); await os.print('x') }`
/** A beginning takes some 18 ms here. */
const STEP_MS = 0.25
const steps = (count: number, each: number) => Array.from({ length: count }, (_, i) => i * each)

/** How often it has run. */
let runs: number
let cluster: Cluster
let nodes: SimNode[]
let home: SimNode
let others: SimNode[]

afterEach(() => {
  endSleepers()
  Reflect.deleteProperty(globalThis, 'testRan')
})

async function ready({ seed = 50, source = SOURCE } = {}): Promise<void> {
  ;({ cluster, nodes } = await bootSleepers(3, seed))
  runs = 0
  Object.assign(globalThis, { testRan: () => runs++ })
  await cluster.advance(12_000) // nobody is new any more
  ;[home, ...others] = nodes as [SimNode, ...SimNode[]]
  await cluster.run(home.fs.writeFile('/p.js', source))
  for (const node of nodes) await cluster.run(node.fs.readFile('/p.js'))
}
const run = (signal?: AbortSignal) => home.os.call('run', { program: '/p.js', args: [], cwd: '/' }, { signal })
const journalsOf = ({ kernel }: SimNode) =>
  (kernel?.journals ?? []).filter(({ name }) => name.startsWith('process/')).map(({ name }) => name)
const waiting = () => Promise.all(nodes.map(async (node) => (await cluster.run(node.os.info('node'))).waiting))
const cut = (on: boolean) => {
  for (const { id } of others) cluster.hub.setPartition(id, home.id, on)
}

/** Begins one. @returns what is told of it so far, when so many steps are over. */
async function begin(count: number, signal?: AbortSignal): Promise<{ told: string; code: Promise<string> }> {
  const said = { told: '' }
  const code = codeOf(run(signal))
  code.then((each) => {
    said.told = each
  })
  for (let i = 0; i < count; i++) await cluster.advance(STEP_MS)
  return Object.assign(said, { code })
}

/** How many steps a beginning takes when nothing happens. */
async function stepsOf(): Promise<number> {
  await ready()
  const said = await begin(0)
  let count = 0
  while (said.told === '') {
    await cluster.advance(STEP_MS)
    count++
  }
  expect(said.told).toBe('ok')
  return count
}

/** What each process has printed, as another node than its home knows it. */
async function outputs(): Promise<string[]> {
  const node = others[0] as SimNode
  const rows = await cluster.run(node.os.info('processes'))
  expect(rows.map(({ state }) => state)).toEqual(rows.map(() => 'exited'))
  return Promise.all(rows.map(({ kid }) => cluster.run(node.fs.readFile(`/proc/${kid}/stdout`, 'utf8'))))
}

describe('a process that begins', () => {
  it.each(['silent', 'cut'])(
    'runs once where its home loses its network, while others have its journal: %s',
    async (how) => {
      await ready()
      run().catch(() => undefined)
      while (!others.every((node) => journalsOf(node).length > 0)) await cluster.advance(STEP_MS)
      const set = (on: boolean) => {
        if (how === 'cut') cut(on)
        else for (const { id } of others) cluster.hub.setSilent(id, home.id, on)
      }
      set(true)
      await cluster.advance(40_000)
      set(false)
      await cluster.advance(60_000)
      expect(runs).toBe(1)
    },
  )

  it.each(steps(18, 1).map((i) => 1 + i))(
    'and is cut off %i steps before it is said to have begun does not run when it is said to have failed',
    async (before) => {
      const all = await stepsOf()
      await ready()
      const { code } = await begin(all - before)
      cut(true)
      const said = await cluster.run(code, 90_000)
      await cluster.advance(40_000)
      cut(false)
      await cluster.advance(60_000)
      // Where its first entry was under way, nobody who is cut off can know.
      if (said === 'ECONNRESET') expect(runs).toBeLessThan(2)
      else if (said !== 'ok') expect(runs).toBe(0)
      else expect(await outputs()).toEqual(['x\n']) // it ran here as well, perhaps, where nobody heard of it
    },
  )

  it.each(steps(12, 8))(
    'leaves the same everywhere when its home is killed at step %i and comes back',
    async (step) => {
      await ready()
      const { told } = await begin(step)
      home.crash()
      await cluster.advance(20_000)
      await cluster.run(home.boot())
      await cluster.advance(60_000)
      expect(journalsOf(nodes[1] as SimNode)).toEqual(journalsOf(home))
      expect(await waiting()).toEqual([0, 0, 0])
      if (told === 'ok') expect(runs).toBeGreaterThan(0)
    },
  )

  it.each(steps(10, 10))('goes on, or is nowhere, when all are killed at step %i and come back', async (step) => {
    await ready()
    const { told } = await begin(step)
    for (const node of nodes) node.crash()
    await cluster.advance(5_000)
    for (const node of nodes) await cluster.run(node.boot())
    await cluster.advance(60_000)
    expect(await waiting()).toEqual([0, 0, 0])
    if (told === 'ok') expect(runs).toBeGreaterThan(0)
  })

  it.each(steps(12, 8))(
    'survives its home also where those who keep it were busy for 8 s from step %i on',
    async (step) => {
      await ready({ seed: 36 })
      const { code } = await begin(step)
      const thaws = others.map((node) => node.freeze())
      await cluster.advance(8_000)
      for (const thaw of thaws) thaw()
      expect(await cluster.run(code, 60_000)).toBe('ok')
      home.crash()
      await cluster.advance(30_000)
      expect(await cluster.run((others[0] as SimNode).os.info('processes'))).toHaveLength(1)
    },
  )

  it.each(steps(6, 4).map((i) => 44 + i))(
    'is told of within a minute, when the others stand still from step %i on',
    async (step) => {
      await ready()
      const said = await begin(step)
      const thaws = others.map((node) => node.freeze())
      await cluster.advance(60_000)
      const { told } = said
      expect(told).not.toBe('')
      for (const thaw of thaws) thaw()
      await cluster.advance(60_000)
      expect(runs).toBe(told === 'ok' ? 1 : 0)
    },
  )

  it.each(steps(12, 10))(
    'does not run when its home’s disk is full from step %i on, unless it is said to',
    async (step) => {
      await ready()
      const { code } = await begin(step)
      home.disk.quotaBytes = home.disk.usedBytes()
      const said = await cluster.run(code, 60_000)
      expect(['ok', 'ENOSPC']).toContain(said)
      await cluster.advance(30_000)
      home.disk.quotaBytes = Number.POSITIVE_INFINITY
      await cluster.advance(60_000)
      expect(runs > 0).toBe(said === 'ok')
      if (said !== 'ok') expect(nodes.map(journalsOf)).toEqual([[], [], []])
    },
  )

  it.each(steps(12, 8))(
    'goes on for no more than a moment when whoever asked for it gives up at step %i',
    async (step) => {
      await ready()
      const cancel = new AbortController()
      const { code } = await begin(step, cancel.signal)
      cancel.abort()
      const said = await cluster.run(code, 60_000)
      await cluster.advance(60_000)
      const rows = await cluster.run(home.os.info('processes'))
      expect(rows.map(({ state }) => state)).toEqual(said === 'ok' ? ['exited'] : rows.length === 0 ? [] : ['killed'])
    },
  )

  it.each(steps(18, 1).map((i) => 1 + i))(
    'and is cut off %i steps before it is said to have begun is killed when whoever asked for it gives up',
    async (before) => {
      const all = await stepsOf()
      await ready({ source: 'export async function start() { await testSleep(120_000) }' })
      const cancel = new AbortController()
      const { code } = await begin(all - before, cancel.signal)
      cut(true)
      await cluster.advance(9_000)
      cancel.abort()
      const said = await cluster.run(code, 60_000)
      cut(false)
      await cluster.advance(60_000)
      const rows = await cluster.run((others[0] as SimNode).os.info('processes'))
      expect(rows.map(({ state }) => state)).toEqual(rows.map(() => (said === 'ECANCELED' ? 'killed' : 'running')))
    },
  )
})
