// Processes of more events than fit: journals that are folded many times, and queues that are full. The bounds are
// small here, so that some hundred events are a long process.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { QUEUE_EVENTS } from '../../syscalls/limits.ts'
import type { ExitStatus } from '../../syscalls/types.ts'
import { bootSleepers, endSleepers, historyOf, type TestCluster } from '../cluster.contract.ts'

vi.mock('../limits.ts', async (original) => {
  const limits = await original<typeof import('../limits.ts')>()
  return { ...limits, COMPACT_ENTRIES: 24, COMPACT_BYTES: 4_096, EMIT_STEP: 20 }
})
vi.mock('../../syscalls/limits.ts', async (original) => {
  return { ...(await original<typeof import('../../syscalls/limits.ts')>()), QUEUE_EVENTS: 200 }
})

let cluster: TestCluster
let nodes: SimNode[]
async function start(count: number, seed: number): Promise<void> {
  ;({ cluster, nodes } = await bootSleepers(count, seed))
}
afterEach(endSleepers)

async function spawn(node: SimNode, source: string): Promise<Kid> {
  await cluster.run(node.fs.writeFile('/p.js', source))
  return (await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))).kid
}
async function rowOf(kid: Kid, node: SimNode) {
  return (await cluster.run(node.os.info('processes'))).find((each) => each.kid === kid)
}
async function exitOf(kid: Kid, node: SimNode): Promise<ExitStatus> {
  const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  return exits?.[0] as ExitStatus
}

/** A chain of events, each with a side branch that writes a file; the last one gathers what the branches returned. */
const CHAIN = `
  export const start = (event, os) => os.emit('link', { i: 0, ids: [] })
  export async function link({ data: { i, ids } }, os) {
    await os.print('link ' + i + ' ' + 'x'.repeat(200))
    await testSleep(40)
    const id = await os.emit('branch', i)
    if (i < 79) await os.emit('link', { i: i + 1, ids: i % 20 ? ids : [...ids, id] })
    else await os.gather(ids, 'sum', null)
  }
  export async function branch({ data }, os) {
    if (data % 10 === 0) await os.fs.writeFile('/tmp/branch/' + data, 'branch ' + data)
    return data % 20 ? null : data
  }
  export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b, 0))`

async function expectChain(kid: Kid, node: SimNode): Promise<void> {
  expect(await exitOf(kid, node)).toEqual({ kid, state: 'exited', code: 0, error: null })
  const links = Array.from({ length: 80 }, (_, i) => `link ${i} ${'x'.repeat(200)}`)
  const text = fromUtf8(await cluster.run(node.fs.readFile(`/proc/${kid}/stdout`)))
  expect(text.trimEnd().split('\n')).toEqual([...links, 'sum 120'])
  expect(await rowOf(kid, node)).toMatchObject({ done: 162, total: 162 })
  const files = await cluster.run(node.fs.readdir('/tmp/branch'))
  expect(files.length).toBe(8)
}

const history = (kid: Kid, node: SimNode) => historyOf(cluster, node, kid)

describe('a process whose journal is folded again and again', () => {
  it('is the same as ever, and tells its whole past', async () => {
    await start(3, 61)
    const kid = await spawn(nodes[0] as SimNode, CHAIN)
    await expectChain(kid, nodes[1] as SimNode)
    const rows = await history(kid, nodes[2] as SimNode)
    expect(rows.filter(({ what }) => what === 'completed')).toHaveLength(162)
    expect(rows[0]).toMatchObject({ n: 0, what: 'spawned' })
    expect(rows.at(-1)?.what).toBe('ended')
    for (const node of nodes) {
      const journal = node.disk.logs.get(`process/${kid}`)
      expect(journal?.snapshotIndex).toBeGreaterThan(300)
      expect(journal?.entries.length).toBeLessThan(100)
    }
  })

  it.each([62, 63, 64, 65])('goes on when its homes are killed one after the other (seed %i)', async (seed) => {
    await start(4, seed)
    const kid = await spawn(nodes[0] as SimNode, CHAIN)
    for (const least of [30, 90]) {
      const up = nodes.filter((node) => node.up)
      const asked = up[0] as SimNode
      await cluster.until(async () => ((await rowOf(kid, asked))?.done ?? 0) >= least, 'some done', 60_000)
      const home = (await rowOf(kid, asked))?.home
      nodes.find(({ id }) => id === home)?.crash()
    }
    await expectChain(kid, nodes.find((node) => node.up) as SimNode)
  })

  it('goes on after all tabs were closed and opened again', async () => {
    await start(3, 66)
    const kid = await spawn(nodes[0] as SimNode, CHAIN)
    await cluster.until(async () => ((await rowOf(kid, nodes[1] as SimNode))?.done ?? 0) >= 60, 'some done', 60_000)
    for (const node of nodes) node.crash()
    for (const node of nodes) await cluster.run(node.boot())
    await expectChain(kid, nodes[2] as SimNode)
  })
})

describe('a process whose queue is full', () => {
  it('lets its tasks wait before they emit more, until others have made room', async () => {
    await start(2, 67)
    const home = nodes[0] as SimNode
    const kid = await spawn(
      home,
      `export async function start(event, os) {
        await os.gather([await os.emit('many', 150), await os.emit('many', 150)], 'more', null)
      }
      export async function many({ data }, os) {
        for (let i = 0; i < data; i++) await os.emit('one', null)
      }
      export const one = () => testSleep(10)
      export async function more(event, os) {
        await os.emit('one', null)
        await os.print('there is room')
        await testSleep(60_000)
      }`,
    )
    const { ref } = await cluster.run(home.os.call('open', { path: `/proc/${kid}/stdout`, mode: 'r' }))
    await cluster.run(home.os.call('read', { ref, offset: 0, length: 99 }), 600_000)
    const { done = 0, total = 0 } = (await rowOf(kid, home)) ?? {}
    expect(total).toBe(304)
    expect(done).toBeGreaterThan(100)
    expect(total - done).toBeLessThanOrEqual(QUEUE_EVENTS)
    await cluster.run(home.os.call('signal', { signal: 'KILL', kid }))
    expect(await exitOf(kid, home)).toMatchObject({ state: 'killed' })
  })

  it('gets through when nobody but the one that emits could make room', async () => {
    await start(1, 68)
    const kid = await spawn(
      nodes[0] as SimNode,
      `export async function start(event, os) {
        for (let i = 0; i < 2_000; i++) await os.emit('one', null)
      }
      export const one = () => null`,
    )
    expect(await exitOf(kid, nodes[0] as SimNode)).toMatchObject({ state: 'exited', code: 0 })
    expect(await rowOf(kid, nodes[0] as SimNode)).toMatchObject({ done: 2_001, total: 2_001 })
  })
})
