// Branches of `/` that begin where two of the nodes that keep it fail before anybody could take their place.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, homeAndOthers, newCluster, type TestCluster } from '../cluster.contract.ts'
import { MAX_VERSION_ROWS, TREE_TOLD_MS } from '../limits.ts'
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

/** A branch that has changed what was acknowledged. */
async function branched() {
  const cluster = newCluster({ seed: 9 })
  const nodes = await boot(cluster, 5)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
  await cluster.advance(3_000)
  const last = await twoHomesFail(cluster, nodes, 9)
  await cluster.run(last.fs.writeFile('/acknowledged', 'changed'))
  return { cluster, nodes, last }
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
    const { cluster, nodes, last } = await branched()
    await cluster.run(last.fs.rm('/x'))
    for (const node of nodes) if (!cluster.up().includes(node)) await cluster.run(node.boot())
    await cluster.until(async () => treesOf(cluster.up()).length === 1, 'one tree')
    await cluster.advance(3_000)
    const files = (await cluster.run(last.fs.readdir('/'))).filter((name) => /^(x|ack)/.test(name))
    expect(files).toEqual(['acknowledged'])
    for (const node of cluster.up())
      expect(await cluster.run(node.fs.readFile('/acknowledged', 'utf8'))).toBe('changed')
  })

  it('merges without a conflict also where the tree has gone on for hundreds of versions', async () => {
    const { cluster, nodes, last } = await branched()
    const here = cluster.up()
    const away = nodes.filter((node) => !here.includes(node))
    const cut = (yes: boolean) => {
      for (const a of here) for (const b of away) cluster.hub.setPartition(a.id, b.id, yes)
    }
    cut(true)
    for (const node of away) await cluster.run(node.boot())
    await cluster.advance(5_000)
    for (let i = 0; i <= MAX_VERSION_ROWS; i++) await cluster.run((away[0] as SimNode).fs.writeFile('/busy', `${i}`))
    cut(false)
    await cluster.until(async () => treesOf(cluster.up()).length === 1, 'one tree', 120_000)
    await cluster.advance(3_000)
    const names = await cluster.run(last.fs.readdir('/'))
    expect(names.filter((name) => name.startsWith('acknowledged'))).toEqual(['acknowledged'])
  })
})

describe('a branch of a node that has just come, and is cut off', () => {
  it.each([0, 50, 200, 500, 1_000, 3_000])('shows what it has read, %i ms later', async (ms) => {
    const cluster = newCluster({ seed: 21 })
    const nodes = await boot(cluster, 2)
    const [first] = nodes as [SimNode]
    for (let i = 0; i < 60; i++) {
      await cluster.run(first.fs.mkdir(`/d${i}`))
      await cluster.run(first.fs.writeFile(`/d${i}/f`, `${i}`))
    }
    const [last] = (await boot(cluster, 1)) as [SimNode]
    await cluster.until(async () => (await last.fs.readdir('/')).includes('d7'), 'it reads the tree')
    expect(await cluster.run(last.fs.readFile('/d7/f', 'utf8'))).toBe('7')
    await cluster.advance(ms)
    for (const node of nodes) cluster.hub.setPartition(last.id, node.id, true)
    await cluster.run(last.fs.writeFile('/mine', ''))
    expect(await cluster.run(last.fs.readdir('/'))).toEqual(expect.arrayContaining(['d7', 'mine']))
    expect(await cluster.run(last.fs.readFile('/d7/f', 'utf8'))).toBe('7')
    for (const node of nodes) cluster.hub.setPartition(last.id, node.id, false)
    await cluster.until(async () => treesOf(cluster.up()).length === 1, 'one tree', 120_000)
    await cluster.until(async () => (await first.fs.readdir('/')).includes('mine'), 'they have met')
    expect((await cluster.run(first.fs.readdir('/'))).filter((name) => name.startsWith('d'))).toHaveLength(61)
  })
})

describe('a branch that begins where peers lie', () => {
  /** They say that of the tree, and that they hold every block. */
  const liars = async (cluster: TestCluster, nodes: SimNode[], roots: readonly string[]) => {
    const evils: Awaited<ReturnType<typeof stranger>>[] = []
    for (const [i, root] of roots.entries()) {
      const answer = (method: string, args: Record<string, unknown>) => {
        if (method === 'tree.head') return null
        if (method === 'blocks.have') return new Uint8Array((args['cids'] as string[]).length).fill(1)
        return method === 'tree.stored' ? { root, version: 1_000_000 + i, once: [] } : undefined
      }
      evils.push(await stranger(cluster, nodes, answer, `${i + 1}`))
    }
    const advance = async (ms: number) => {
      for (const evil of evils) await evil.advance(ms / evils.length)
    }
    await advance(3_000)
    return { evils, advance }
  }
  /** Writes a file while the liars answer. @returns virtual ms that it took. */
  const write = async (cluster: TestCluster, node: SimNode, advance: (ms: number) => Promise<void>) => {
    const fromMs = cluster.clock.nowMs()
    let done = false
    const writing = node.fs.writeFile('/after', '').finally(() => {
      done = true
    })
    while (!done && cluster.clock.nowMs() - fromMs < 90_000) await advance(100)
    await writing
    return cluster.clock.nowMs() - fromMs
  }

  it('waits once for all that say they have more and have not', async () => {
    const cluster = newCluster({ seed: 4 })
    const nodes = await boot(cluster, 4)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
    const roots = ['a', 'b', 'c', 'd', 'e'].map(
      (one) => `bafybeigdyrz${one}5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi`,
    )
    const { evils, advance } = await liars(cluster, nodes, roots)
    const last = await twoHomesFail(cluster, nodes, 4)
    expect(await write(cluster, last, advance)).toBeLessThan(12_000 + TREE_TOLD_MS)
    expect(evils.every(({ calls }) => calls.includes('tree.stored'))).toBe(true)
    expect(await cluster.run(last.fs.readFile('/acknowledged', 'utf8'))).toBe('kept')
  })

  it('removes nothing from the tree that it never removed, though it began empty', async () => {
    const cluster = newCluster({ seed: 4 })
    const nodes = await boot(cluster, 4)
    const [first] = nodes as [SimNode]
    for (const path of ['/x', '/dir/y']) {
      await cluster.run(first.fs.mkdir('/dir', { recursive: true }))
      await cluster.run(first.fs.writeFile(path, path))
    }
    await cluster.run(first.fs.mkdir('/empty'))
    const empty = (await cluster.run(first.fs.stat('/empty'))).info.cid as string
    const { advance } = await liars(cluster, nodes, [empty])
    const last = await twoHomesFail(cluster, nodes, 4)
    await write(cluster, last, advance)
    for (const node of nodes) if (!cluster.up().includes(node)) await cluster.run(node.boot())
    await cluster.until(async () => treesOf(cluster.up()).length === 1, 'one tree', 120_000)
    await cluster.advance(3_000)
    for (const node of cluster.up()) {
      expect(await cluster.run(node.fs.readdir('/'))).toEqual(expect.arrayContaining(['x', 'acknowledged', 'after']))
      expect(await cluster.run(node.fs.readFile('/dir/y', 'utf8'))).toBe('/dir/y')
    }
  })
})
