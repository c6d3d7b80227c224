// A node that leads journals and is frozen, or hangs: it is there for its peers, and answers nobody.
import { beforeEach, describe, expect, it } from 'vitest'
import type { SimNode } from '../sim/cluster.ts'
import { Keg } from '../syscalls/keg.ts'
import { boot, homeAndOthers, newCluster, type TestCluster } from './cluster.contract.ts'

let cluster: TestCluster
let nodes: SimNode[]
const run = <T>(work: Promise<T>) => cluster.run(work)
const pause = (ms: number) => run(new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'pause')))

beforeEach(async () => {
  cluster = newCluster({ seed: 11 })
  nodes = await boot(cluster, 5)
  await run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
  const maker = nodes[4] as SimNode
  await run(new Keg(maker.os).create('/data'))
  await run(maker.fs.writeFile('/data/f', 'one'))
  await pause(2_000)
})

/** Who leads the keg, and another. */
async function leaderAndOther(): Promise<[SimNode, SimNode]> {
  const [row] = await run(new Keg((nodes[0] as SimNode).os).list())
  const leader = nodes.find(({ id }) => id === row?.home) as SimNode
  return [leader, nodes.find(({ id }) => id !== row?.home) as SimNode]
}

/** @returns virtual time. */
async function timeOf(work: Promise<unknown>): Promise<number> {
  const startMs = cluster.clock.nowMs()
  await run(work)
  return cluster.clock.nowMs() - startMs
}

describe('others go on without a leader of theirs', () => {
  for (const { name, pauseMs } of [
    { name: 'that says it is about to be frozen, again and again', pauseMs: 50 },
    { name: 'also when a change is on its way to it', pauseMs: 0 },
  ]) {
    it(name, async () => {
      for (const round of ['1', '2', '3']) {
        const [leader, other] = await leaderAndOther()
        leader.kernel?.lifecycle('freeze')
        const thaw = leader.freeze()
        if (pauseMs > 0) await pause(pauseMs)
        expect(await timeOf(other.fs.writeFile('/data/f', round))).toBeLessThan(8_000)
        expect((await leaderAndOther())[0]).not.toBe(leader)
        await pause(10_000)
        thaw()
        leader.kernel?.lifecycle('resume')
        expect(await run(leader.fs.readFile('/data/f', 'utf8'))).toBe(round)
        await run(leader.fs.writeFile('/data/g', round))
        expect(await run(other.fs.readFile('/data/g', 'utf8'))).toBe(round)
      }
      const versions = await run(new Keg((nodes[0] as SimNode).os).log({ path: '/data', all: true }))
      expect(versions.map(({ what }) => what)).not.toContain('merge')
      // Each change once, whoever made it.
      expect(versions.filter(({ what }) => what === 'write /f').length).toBe(4)
    })
  }

  it('also when a change is all that it was asked for', async () => {
    for (const path of ['/1', '/2', '/3']) {
      const [home, others] = await homeAndOthers(cluster, nodes)
      const [other] = others as [SimNode]
      await run(other.fs.readdir('/')) // it knows who leads
      const made = other.fs.mkdir(path)
      home.kernel?.lifecycle('freeze')
      const thaw = home.freeze()
      expect(await timeOf(made)).toBeLessThan(8_000)
      await pause(10_000)
      thaw()
      home.kernel?.lifecycle('resume')
      expect(await run(home.fs.readdir('/'))).toContain(path.slice(1))
    }
    const versions = await run(new Keg((nodes[0] as SimNode).os).log({ all: true }))
    expect(versions.filter(({ what }) => /^make .[123]$/.test(what)).length).toBe(3)
  })

  it.each(['visible', 'hidden'] as const)('that is %s and hangs without a word', async (seen) => {
    const [leader, other] = await leaderAndOther()
    leader.kernel?.lifecycle(seen)
    await pause(50)
    const thaw = leader.freeze()
    expect(await timeOf(other.fs.writeFile('/data/f', 'two'))).toBeLessThan(25_000)
    thaw()
    expect(await run(leader.fs.readFile('/data/f', 'utf8'))).toBe('two')
  })
})
