// All that keep a tree are frozen, or hang, but one or none: who asks for a change then goes on with a branch.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../sim/cluster.ts'
import { boot, homeAndOthers, newCluster } from './cluster.contract.ts'

const cases = [3, 5].flatMap((count) =>
  [true, false].flatMap((says) => ['on its way', 'asked for later'].map((when) => ({ count, says, when }))),
)

describe('a change that too few are there to make', () => {
  it.each(cases)('of $count nodes, that say so: $says, $when', async ({ count, says, when }) => {
    const cluster = newCluster({ seed: 12 })
    const run = <T>(work: Promise<T>) => cluster.run(work)
    const pause = (ms: number) => run(new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'pause')))
    const nodes = await boot(cluster, count)
    await run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
    await pause(5_000)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const last = others.at(-1) as SimNode
    await run(last.fs.readFile('/first')) // it knows who leads
    const frozen = [home, ...others.slice(0, -1)]
    const rename = () => last.fs.rename('/first', '/second')
    const underWay = when === 'on its way' ? rename() : undefined
    const thaws = frozen.map((node) => {
      if (says) node.kernel?.lifecycle('freeze')
      return node.freeze()
    })
    if (!underWay) await pause(50)
    const startMs = cluster.clock.nowMs()
    await run(underWay ?? rename())
    expect(cluster.clock.nowMs() - startMs).toBeLessThan(says ? 10_000 : 25_000)
    await run(last.fs.writeFile('/third', 'y'))
    for (const thaw of thaws) thaw()
    if (says) for (const node of frozen) node.kernel?.lifecycle('resume')
    await pause(60_000)
    // As one tree again, with each change once.
    for (const node of nodes) {
      const names = await run(node.fs.readdir('/'))
      expect(names.filter((name) => /first|second|third/.test(name)).sort()).toEqual(['second', 'third'])
      expect(await run(node.fs.readFile('/second', 'utf8'))).toBe('x')
    }
  })
})

it.each([true, false])('the other of two and a witness stops nobody, if it says so: %s', async (says) => {
  const cluster = newCluster({ seed: 13 })
  const run = <T>(work: Promise<T>) => cluster.run(work)
  const nodes = await boot(cluster, 2)
  await run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
  await run(new Promise<void>((resolve) => cluster.clock.setTimer(resolve, 10_000, 'pause')))
  const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
  if (says) other.kernel?.lifecycle('freeze')
  const thaw = other.freeze()
  const startMs = cluster.clock.nowMs()
  await run(home.fs.writeFile('/second', 'y'))
  expect(cluster.clock.nowMs() - startMs).toBeLessThan(says ? 3_000 : 10_000)
  thaw()
  if (says) other.kernel?.lifecycle('resume')
  expect(await run(other.fs.readFile('/second', 'utf8'))).toBe('y')
})
