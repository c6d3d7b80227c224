// Branches of `/` that begin where two of the nodes that keep it fail before anybody could take their place.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, homeAndOthers, newCluster, type TestCluster } from '../cluster.contract.ts'
import { TREE_TOLD_MS } from '../limits.ts'
import { stranger, treesOf } from './placement.contract.ts'

const SEEDS = 20

/** One of `/`'s homes fails, what is written then is acknowledged, and the next home fails at once. @returns a node to go on with. */
async function twoHomesFail(cluster: TestCluster, nodes: SimNode[], seed: number): Promise<SimNode> {
  const [first] = await homeAndOthers(cluster, nodes)
  first.crash()
  const before = cluster.up()
  await cluster.run((before[seed % before.length] as SimNode).fs.writeFile('/acknowledged', 'kept'))
  const [second] = await homeAndOthers(cluster, before)
  second.crash()
  const after = cluster.up()
  return after[seed % after.length] as SimNode
}

describe('a branch that begins after two homes have failed in the same second', () => {
  it.each([4, 5, 6])('has what was acknowledged in between, in a cluster of %i', async (count) => {
    const seedsThatLost: number[] = []
    for (let seed = 1; seed <= SEEDS; seed++) {
      const cluster = newCluster({ seed })
      const nodes = await boot(cluster, count)
      await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
      await cluster.advance(3_000)
      const last = await twoHomesFail(cluster, nodes, seed)
      await cluster.run(last.fs.writeFile('/after', ''))
      const kept = await cluster.run(last.fs.readFile('/acknowledged', 'utf8').catch(() => 'lost'))
      if (kept !== 'kept') seedsThatLost.push(seed)
    }
    expect(seedsThatLost).toEqual([])
  })

  it('merges into the tree without a conflict when they are back', async () => {
    const cluster = newCluster({ seed: 9 })
    const nodes = await boot(cluster, 5)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
    await cluster.advance(3_000)
    const last = await twoHomesFail(cluster, nodes, 9)
    await cluster.run(last.fs.writeFile('/acknowledged', 'changed'))
    await cluster.run(last.fs.rm('/x'))
    for (const node of nodes) if (!cluster.up().includes(node)) await cluster.run(node.boot())
    await cluster.until(async () => treesOf(cluster.up()).length === 1, 'one tree')
    await cluster.advance(3_000)
    const files = (await cluster.run(last.fs.readdir('/'))).filter((name) => /^(x|ack)/.test(name))
    expect(files).toEqual(['acknowledged'])
    for (const node of cluster.up())
      expect(await cluster.run(node.fs.readFile('/acknowledged', 'utf8'))).toBe('changed')
  })

  it('does not wait for a peer that says it has a newer one, and has not', async () => {
    const cluster = newCluster({ seed: 4 })
    const nodes = await boot(cluster, 4)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
    let asked = 0
    const root = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
    const evil = await stranger(cluster, nodes, (method, args) => {
      if (method === 'tree.head') return null
      if (method === 'blocks.have') return new Uint8Array((args.cids as string[]).length).fill(1)
      if (method !== 'tree.stored') return undefined
      asked++
      return { root, version: 1_000_000 }
    })
    await evil.advance(3_000)
    const last = await twoHomesFail(cluster, nodes, 4)
    const fromMs = cluster.clock.nowMs()
    let done = false
    const writing = last.fs.writeFile('/after', '').then(() => {
      done = true
    })
    while (!done && cluster.clock.nowMs() - fromMs < 60_000) await evil.advance(100)
    await writing
    expect(asked).toBeGreaterThan(0)
    expect(cluster.clock.nowMs() - fromMs).toBeLessThan(10_000 + TREE_TOLD_MS)
    expect(await cluster.run(last.fs.readFile('/acknowledged', 'utf8'))).toBe('kept')
  })
})
