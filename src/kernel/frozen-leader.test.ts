// A node that leads journals and is frozen, or hangs: it is there for its peers, and answers nobody.
import { beforeEach, describe, expect, it } from 'vitest'
import type { SimNode } from '../sim/cluster.ts'
import { Keg } from '../syscalls/keg.ts'
import { boot, newCluster, type TestCluster } from './cluster.contract.ts'

let cluster: TestCluster
let other: SimNode
let leader: SimNode
const run = <T>(work: Promise<T>) => cluster.run(work)
const pause = (ms: number) => run(new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'pause')))

/** @returns virtual time. */
async function timeOf(work: Promise<unknown>): Promise<number> {
  const startMs = cluster.clock.nowMs()
  await run(work)
  return cluster.clock.nowMs() - startMs
}

beforeEach(async () => {
  cluster = newCluster({ seed: 11 })
  const nodes = (await boot(cluster, 5)) as [SimNode, SimNode, SimNode, SimNode, SimNode]
  ;[other, , , , leader] = nodes
  await run(other.fs.writeFile('/first', 'x'))
  await run(new Keg(leader.os).create('/data'))
  await run(leader.fs.writeFile('/data/f', 'one'))
})

describe('others go on without a leader of theirs', () => {
  it('that says it is about to be frozen, again and again', async () => {
    for (const round of ['1', '2', '3']) {
      leader.kernel?.lifecycle('freeze')
      await pause(50)
      const thaw = leader.freeze()
      expect(await timeOf(other.fs.writeFile('/data/f', round))).toBeLessThan(8_000)
      await pause(10_000)
      thaw()
      leader.kernel?.lifecycle('resume')
      expect(await run(leader.fs.readFile('/data/f', 'utf8'))).toBe(round)
      await run(leader.fs.writeFile('/data/g', round))
      expect(await run(other.fs.readFile('/data/g', 'utf8'))).toBe(round)
    }
    const versions = await run(new Keg(other.os).log({ path: '/data', all: true }))
    expect(versions.map(({ what }) => what)).not.toContain('merge')
  })

  it('that hangs without a word', async () => {
    const thaw = leader.freeze()
    expect(await timeOf(other.fs.writeFile('/data/f', 'two'))).toBeLessThan(25_000)
    thaw()
    expect(await run(leader.fs.readFile('/data/f', 'utf8'))).toBe('two')
  })
})
