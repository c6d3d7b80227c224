// What peers that lie, or say nothing, must not do where leaves are placed.
import { describe, expect, it, vi } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, homeAndOthers, newCluster, oneHome } from '../cluster.contract.ts'
import { nodeId } from '../harness.contract.ts'
import { COPIES, SWEEP_AFTER_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'
import { SAYS_LEADER } from './block-holder.ts'
import { holders, keepers, stranger, treesOf, UNIT, withFiles, write, writeAll } from './placement.contract.ts'
import { Placement } from './placement.ts'

describe('a hostile peer', () => {
  it('that says it leads the tree has nothing freed', async () => {
    const { cluster, nodes, files } = await withFiles(7, 110, 6)
    const [tree] = treesOf(nodes) as [string]
    await homeAndOthers(cluster, nodes)
    await cluster.advance(TOUCHED_MS)
    const root = (await cluster.run(new Keg((nodes[0] as SimNode).os).log()))[0] as { cid: string; version: number }
    const head = () => ({ tree, bornMs: 0, term: 1e6, version: root.version, root: root.cid, home: nodeId('1') })
    const evil = await stranger(cluster, nodes, (method, args) => {
      if (method === 'tree.head') return head()
      if (method === 'tree.needs') {
        const answer = new Uint8Array((args.cids as string[]).length).fill(SAYS_LEADER)
        return { answer, members: [nodeId('1'), ...nodes.map(({ id }) => id)] }
      }
      if (method === 'blocks.have') return new Uint8Array((args.cids as string[]).length)
      return undefined
    })
    // What its writer has as well is a mere copy.
    for (const file of files)
      for (const node of nodes) if (!keepers([node], file).length) node.disk.blocks.delete(file.cid)
    await evil.advance(2_000)
    for (const { control } of evil.lanes) {
      control.send([FRAME.NOTE, 'tree.head', head()] as never)
      control.send([FRAME.NOTE, 'tree.forgotten', { tree, roots: [], soon: true }] as never)
    }
    await evil.advance(SWEEP_AFTER_MS + 30_000)
    await evil.advance(SWEEP_AGAIN_MS + TOUCHED_MS)
    const kept = files.map((file) => [keepers(nodes, file).length, holders(nodes, file).length])
    expect(kept.filter(([pins, copies]) => (pins as number) < COPIES || (copies as number) < COPIES)).toEqual([])
  })

  it('that keeps nothing it is asked to, and says nothing, does not hold up writers', async () => {
    const { cluster, nodes } = await withFiles(6, 111, 0)
    const [_home, others] = await homeAndOthers(cluster, nodes)
    const hole = await stranger(cluster, nodes, (method, args) => {
      if (method === 'blocks.have' || method === 'tree.kept') return new Uint8Array((args.cids as string[]).length)
      if (method === 'tree.head') return null
      return undefined
    })
    await hole.advance(5_000)
    const times: number[] = []
    for (let i = 0; i < 16; i++) {
      const from = cluster.clock.nowMs()
      let done = false
      void others[0]?.fs.writeFile(`/w-${i}`, cluster.random.bytes(UNIT)).then(
        () => {
          done = true
        },
        () => {
          done = true
        },
      )
      while (!done && cluster.clock.nowMs() - from < 300_000) await hole.advance(100)
      times.push(cluster.clock.nowMs() - from)
    }
    expect(Math.max(...times)).toBeLessThan(10_000)
  })

  it('that asks for what does not exist does not hold up writers', async () => {
    const { cluster, nodes } = await withFiles(6, 112, 0)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const [tree] = treesOf(nodes) as [string]
    const evil = await stranger(cluster, [home], (method, args) => {
      if (method === 'blocks.have' || method === 'tree.kept') return new Uint8Array((args.cids as string[]).length)
      if (method === 'tree.head') return null
      return undefined
    })
    await evil.advance(2_000)
    const letters = 'abcdefghijklmnopqrstuvwxyz234567'
    const nonsense = () => `bafkrei${Array.from({ length: 52 }, () => letters[cluster.random.below(32)]).join('')}`
    for (let i = 0; i < 20; i++) {
      const args = { tree, cids: Array.from({ length: 256 }, nonsense), relieve: true }
      evil.to(home).send([FRAME.CALL, i + 1, 'tree.placed', 10_000, 0, args] as never)
    }
    await evil.advance(5_000)
    const times: number[] = []
    for (let i = 0; i < 4; i++) {
      const from = cluster.clock.nowMs()
      let done = false
      void others[0]?.fs.writeFile(`/w-${i}`, cluster.random.bytes(UNIT)).then(
        () => {
          done = true
        },
        () => {
          done = true
        },
      )
      while (!done && cluster.clock.nowMs() - from < 300_000) await evil.advance(100)
      times.push(cluster.clock.nowMs() - from)
    }
    expect(Math.max(...times)).toBeLessThan(10_000)
  })

  it('that leads no tree does not have anything pinned for ever', async () => {
    const { cluster, nodes } = await withFiles(5, 113, 0)
    const victim = nodes[1] as SimNode
    const [file] = [await write(cluster, victim, '/mine')]
    await cluster.run(victim.fs.rm('/mine'))
    const evil = await stranger(cluster, [victim], () => undefined)
    await evil.advance(1_000)
    for (let i = 0; i < 300; i++) {
      const tree = `K-${i.toString(16).padStart(64, '0')}`
      evil.to(victim).send([FRAME.CALL, i + 1, 'tree.keep', 10_000, 0, { tree, cids: [file.cid], hints: [] }] as never)
      await evil.advance(100)
    }
    const pins = [...victim.disk.records.keys()].filter((name) => name.startsWith('pins '))
    expect(pins.length).toBeLessThan(50)
  })

  it('that asks for something with another keg does not keep it there for ever', async () => {
    const { cluster, nodes } = await withFiles(6, 114, 0)
    const [tree] = treesOf(nodes) as [string]
    const [home, others] = await homeAndOthers(cluster, nodes)
    const bait = await cluster.run(others[0]?.fs.writeFile('/bait', 'bait') as Promise<{ cid: string }>)
    const evil = await stranger(cluster, nodes, () => undefined)
    await evil.advance(1_000)
    const keg = `K-${'ab'.repeat(32)}`
    for (const { control } of evil.lanes)
      control.send([FRAME.CALL, 1, 'tree.keep', 10_000, 0, { tree, keg, cids: [bait.cid], hints: [home.id] }] as never)
    await evil.advance(5_000)
    for (const { control, bulk } of evil.lanes) {
      control.close()
      bulk.close()
    }
    await cluster.advance(30_000)
    const writer = others[0] as SimNode
    const files = await writeAll(cluster, writer, 4)
    await cluster.advance(10_000)
    for (const { path } of files) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 3 * SWEEP_AGAIN_MS)
    expect(files.map((file) => keepers(nodes, file).length)).toEqual(files.map(() => 0))
  })
})

describe('idle', () => {
  it('a newcomer that cannot hold all of a tree does not have it looked through every five seconds', async () => {
    const cluster = newCluster({ seed: 160 })
    const nodes = await boot<SimNode[]>(cluster, 3)
    await oneHome(cluster)
    for (let i = 0; i < 20; i++)
      await cluster.run((nodes[0] as SimNode).fs.writeFile(`/s-${i}`, cluster.random.bytes(UNIT / 2)))
    await cluster.advance(10_000)
    const small = cluster.addNode()
    await cluster.run(small.boot())
    await oneHome(cluster)
    small.disk.quotaBytes = small.disk.usedBytes() + UNIT
    await cluster.advance(120_000)
    const [, others] = await homeAndOthers(cluster, nodes)
    const gone = others[0] as SimNode
    gone.crash()
    cluster.forget(gone)
    await cluster.advance(60_000)
    const reviews = vi.spyOn(Placement.prototype, 'review')
    await cluster.advance(10 * 60_000)
    const count = reviews.mock.calls.length
    vi.restoreAllMocks()
    expect(count).toBeLessThan(10)
  })

  it('a peer that changes its state does not pile up reviews', async () => {
    const { cluster, nodes } = await withFiles(6, 161, 20)
    const hole = await stranger(cluster, nodes, () => undefined)
    await hole.advance(3_000)
    const reviews = vi.spyOn(Placement.prototype, 'review')
    let [begun, _ended] = [0, 0]
    const real = reviews.getMockImplementation()
    void real
    // Ten minutes, hidden and alive in turn.
    for (let i = 0; i < 100; i++) {
      for (const { control } of hole.lanes)
        control.send([
          FRAME.PING,
          0,
          { state: i % 2 ? 'alive' : 'hidden', running: 0, storage: 2, watch: true },
        ] as never)
      await hole.advance(5_000)
    }
    begun = reviews.mock.calls.length
    for (const result of reviews.mock.settledResults) if (result.type !== 'incomplete') _ended++
    vi.restoreAllMocks()
    expect(begun).toBeLessThan(20)
  })
})
