// A node that is there for its peers and answers nobody: what is asked of all does not wait for it.
import { expect, it } from 'vitest'
import type { SimNode } from '../sim/cluster.ts'
import type { TreeHealth } from '../syscalls/types.ts'
import { boot, newCluster } from './cluster.contract.ts'

it.each([
  { name: 'has told that it is frozen', told: true, afterMs: 50 },
  { name: 'has been silent for a while', told: false, afterMs: 15_000 },
])('lists, usage and health wait for nobody who $name', async ({ told, afterMs }) => {
  const cluster = newCluster({ seed: 12, programs: true })
  const nodes = await boot(cluster, 4)
  const [frozen, asked] = [nodes[3], nodes[0]] as [SimNode, SimNode]
  const pause = (ms: number) =>
    cluster.run(new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'pause')))
  const timed = async <T>(work: Promise<T>): Promise<[T, number]> => {
    const startMs = cluster.clock.nowMs()
    return [await cluster.run(work), cluster.clock.nowMs() - startMs]
  }
  await cluster.run(asked.fs.writeFile('/p.js', 'export const start = () => undefined'))
  const { kid } = await cluster.run(asked.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
  await pause(5_000)
  if (told) frozen.kernel?.lifecycle('freeze')
  const thaw = frozen.freeze()
  await pause(afterMs)
  const [row] = (await cluster.run(asked.os.info('peers'))).filter(({ id }) => id === frozen.id)
  expect(row?.state).toBe(told ? 'frozen' : 'stalled')

  const [processes, listMs] = await timed(asked.os.info('processes'))
  expect(processes.map((each) => each.kid)).toEqual([kid])
  const [storage, usageMs] = await timed(asked.os.info('storage'))
  expect(storage.map(({ node }) => node).sort()).toEqual(
    nodes
      .slice(0, 3)
      .map(({ id }) => id)
      .sort(),
  )
  const check = async () => (await asked.os.call('info', { topic: 'health', path: '/' })) as TreeHealth
  const [health, healthMs] = await timed(check())
  expect(health).toMatchObject({ silent: [frozen.id], devices: 4 })
  const [, foundMs] = await timed(asked.os.call('info', { topic: 'history', kid: kid.slice(0, 12) as typeof kid }))
  for (const ms of [listMs, usageMs, healthMs, foundMs]) expect(ms).toBeLessThan(1_000)

  thaw()
  if (told) frozen.kernel?.lifecycle('resume')
  await pause(3_000)
  expect((await cluster.run(check())).silent).toEqual([])
  expect(await cluster.run(asked.os.info('storage'))).toHaveLength(4)
})
