// What a second attack on the placing of leaves found.
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { Pins } from '../blocks/pins.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome } from '../cluster.contract.ts'
import { nodeId, TestLog } from '../harness.contract.ts'
import { COPIES, MAX_CIDS_PER_CALL, MAX_KEGS, SWEEP_AFTER_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { FRAME } from '../rpc/frames.ts'
import type { RpcNode } from '../rpc/node.ts'
import { BlockHolder, NEEDED } from './block-holder.ts'
import {
  holders,
  keepers,
  linkedTo,
  membersOf,
  stranger,
  treesOf,
  UNIT,
  withFiles,
  write,
  writeAll,
} from './placement.contract.ts'
import { type LedTree, Placement, type PlacementOptions } from './placement.ts'
import { PlacementMember } from './placement-member.ts'
import { ASKED, PlacementSite, UnderWay } from './placement-site.ts'
import { Spreader } from './placement-spread.ts'

const TREE = `K-${'3'.repeat(64)}` as Kid
const ids = (letters: string) => [...letters].map((letter) => `12D3KooW${letter.repeat(8)}` as NodeId)
const deviceOf = (id: NodeId) => id.slice(-1).repeat(32) as DeviceId
const until = async (clock: VirtualClock, done: () => boolean, ms: number) => {
  const untilMs = clock.nowMs() + ms
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  while (!done() && clock.step(untilMs))
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('a repair of many leaves', () => {
  it('does not hold up a writer', async () => {
    const clock = new VirtualClock()
    const [self, ...peers] = ids('labcdef') as [NodeId, ...NodeId[]]
    const sleep = (ms: number) => new Promise<void>((resolve) => clock.setTimer(resolve, ms, 'call'))
    const spreader = new Spreader({
      rpc: {
        self,
        call: async (_to: string, _method: string, { cids }: { cids: string[] }) => {
          await sleep(1_000) // four mebibytes in a second
          return new Uint8Array(cids.length).fill(1)
        },
      } as unknown as RpcNode,
      clock,
      log: new TestLog(),
      holder: {
        keep: async (_of: object, cids: string[]) => new Uint8Array(cids.length).fill(1),
      } as unknown as BlockHolder,
      keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: 1 })),
      onLate: () => undefined,
    })
    const site = new PlacementSite(TREE, new UnderWay())
    const view = () => ({
      keg: undefined,
      devices: new Map([self, ...peers].map((id) => [id, deviceOf(id)])),
      members: [self],
    })
    // A gigabyte has too few copies.
    const leaves = Array.from({ length: 1_000 }, (_, i) => ({ cid: `bafkreirare${i}`, size: 2 ** 20 }))
    spreader.spread({ site, leaves, copies: 3, view, later: true })
    await until(clock, () => false, 3_000)
    const fromMs = clock.nowMs()
    let doneMs = 0
    const { enough } = spreader.spread({ site, leaves: [{ cid: 'bafkreinew', size: UNIT }], copies: 3, view })
    void enough.then(() => {
      doneMs = clock.nowMs()
    })
    await until(clock, () => doneMs > 0, 30 * 60_000)
    expect((doneMs || Number.POSITIVE_INFINITY) - fromMs).toBeLessThan(10_000)
  })
})

describe('a leader that is deposed while it asks who keeps what', () => {
  it('has nothing released', async () => {
    const clock = new VirtualClock()
    const [self, ...peers] = ids('labcd') as [NodeId, ...NodeId[]]
    let leads = true
    const released: string[] = []
    const options = {
      rpc: {
        self,
        handle: () => undefined,
        note: (to: string, name: string) => released.push(`${name} ${to}`),
        call: async (_to: string, _method: string, { cids }: { cids: string[] }) => {
          leads = false // another is elected, and asks the same
          return new Uint8Array(cids.length).fill(ASKED)
        },
      },
      membership: linkedTo(peers),
      holder: {
        kept: async (_tree: string, cids: string[]) => new Uint8Array(cids.length).fill(ASKED),
        release: () => released.push('here'),
      },
      clock,
      log: new TestLog(),
      keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: id === self ? 0.01 : 1 })),
      led: (): LedTree | undefined =>
        leads ? { keg: undefined, roots: ['r'], copies: 3, members: [self], changing: false } : undefined,
      confirm: async () => {
        if (!leads) throw new Error('this node does not lead the tree')
      },
      roots: () => undefined,
      members: () => [],
      breathe: async () => undefined,
      census: async () => ({
        leaves: new Map(Array.from({ length: 10 }, (_, i) => [`x${i}`, UNIT])),
        complete: true,
      }),
    }
    const placement = new Placement(options as unknown as PlacementOptions)
    placement.led(TREE)
    await placement.review(TREE).catch(() => undefined)
    expect(released).toEqual([])
  })
})

describe('who has no room, and is asked again while it hears what others keep', () => {
  it('does not let go what it has just said that it keeps', async () => {
    const log = new TestLog()
    const pins = new Pins(new MemoryLogStore(new Disk()), log)
    await pins.load()
    const leader = '12D3KooWllllllll' as NodeId
    const all = Array.from({ length: MAX_CIDS_PER_CALL + 1 }, (_, i) => `bafkrei${i}`)
    await pins.add({ tree: TREE }, all)
    let said: number | undefined
    const holder: BlockHolder = new BlockHolder({
      blocks: {
        pin: () => () => undefined,
        touch: () => undefined,
        lookAgain: () => undefined,
        hold: async () => undefined,
        hasMany: async (cids: string[]) => cids.map(() => true),
      } as unknown as Blocks,
      pins,
      rpc: { self: '12D3KooWssssssss', handle: () => undefined, onNote: () => undefined } as unknown as RpcNode,
      device: 'a'.repeat(32) as DeviceId,
      membership: linkedTo([leader]) as unknown as Membership,
      absorbed: async () => undefined,
      log,
      full: () => true,
      keeps: () => false,
      leaderOf: async () => leader,
      onReleased: () => undefined,
    })
    const member = new PlacementMember({
      log,
      holder,
      placed: async () => [],
      rpc: {
        self: '12D3KooWssssssss',
        call: async (_to: string, _method: string, { cids }: { cids: string[] }) => {
          // The leader has answered for the first of them; then one of the others that kept it goes, and it asks here.
          if (cids.length === 1)
            said = (
              await holder.keep({ tree: TREE }, [all[0] as string], { hints: [], signal: new AbortController().signal })
            )[0]
          return new Uint8Array(cids.length).fill(1)
        },
      } as unknown as RpcNode,
    })
    await member.relieve(TREE)
    await new Promise((resolve) => setImmediate(resolve))
    // What it lets go stays until two others say that they have it.
    const has = pins.has(TREE, all[0] as string)
    expect({ said, has }).toEqual({ said: 1, has: true })
  })
})

describe('an audit', () => {
  it('where only the leader could be asked is not taken for done', async () => {
    const { cluster, nodes, files } = await withFiles(7, 201, 10)
    const [home] = await homeAndOthers(cluster, nodes)
    const members = membersOf(nodes).filter((node) => node !== home)
    const outside = nodes.filter((node) => node !== home && !members.includes(node) && node !== nodes[0])
    const one = outside[0] as SimNode
    const kept = files.filter((file) => keepers([one], file).length > 0)
    expect(kept.length).toBeGreaterThan(0)
    for (const { path } of files) await cluster.run(home.fs.rm(path))
    await cluster.run(new Keg(home.os).gc({ keep: 1, forMs: 0 }))
    // While it asks, it cannot reach the two other members.
    await cluster.advance(SWEEP_AFTER_MS - 30_000)
    for (const member of members) cluster.hub.setPartition(one.id, member.id, true)
    await cluster.advance(60_000)
    for (const member of members) cluster.hub.setPartition(one.id, member.id, false)
    await cluster.advance(2 * 60 * 60_000)
    expect(kept.map((file) => keepers([one], file).length)).toEqual(kept.map(() => 0))
  })
})

describe('one leaf that is lost', () => {
  it('does not keep others from being kept again', async () => {
    const { cluster, nodes, files } = await withFiles(7, 202, 40)
    const [home] = await homeAndOthers(cluster, nodes)
    const lost = files.slice(0, 6)
    for (const file of lost) for (const node of nodes) node.disk.blocks.delete(file.cid)
    // Whoever wrote them has copies; only those that keep them are to have one.
    const rest = files.slice(6)
    for (const file of rest)
      for (const node of nodes) if (!keepers([node], file).length) node.disk.blocks.delete(file.cid)
    home.crash()
    cluster.forget(home)
    const left = nodes.filter((node) => node !== home)
    await cluster.advance(60 * 60_000)
    const counts = rest.map((file) => holders(left, file).length)
    expect(counts.filter((count) => count < COPIES)).toEqual([])
  })

  it('is one of a thousand files: the others are looked after all the same', async () => {
    const { cluster, nodes, files } = await withFiles(7, 203, 12)
    const big = await write(cluster, nodes[0] as SimNode, '/big', cluster.random.bytes(2.5 * 2 ** 20))
    await cluster.advance(10_000)
    const [home] = await homeAndOthers(cluster, nodes)
    // Nobody remembers it from before.
    for (const node of nodes) {
      if (node === home) continue
      await cluster.run(node.close())
      await cluster.run(node.boot())
      await cluster.advance(2_000)
    }
    // The block that says which leaves it has is nowhere: they are of no use any more.
    for (const node of nodes) node.disk.blocks.delete(big.cid)
    home.crash()
    cluster.forget(home)
    const left = nodes.filter((node) => node !== home)
    await cluster.advance(3 * 60 * 60_000)
    const few = files.map((file) => holders(left, file).length).filter((count) => count < COPIES)
    const failed = cluster.lines.filter((line) => line.includes('not looked after now')).at(-1)
    expect({ few, failed }).toEqual({ few: [], failed: undefined })
  })

  it('does not keep what nobody needs from being freed', async () => {
    const { cluster, nodes, files } = await withFiles(7, 208, 12)
    const big = await write(cluster, nodes[0] as SimNode, '/big', cluster.random.bytes(2.5 * 2 ** 20))
    await cluster.advance(10_000)
    for (const node of nodes) {
      await cluster.run(node.close())
      await cluster.run(node.boot())
      await cluster.advance(2_000)
    }
    const [home] = await homeAndOthers(cluster, nodes)
    for (const node of nodes) node.disk.blocks.delete(big.cid)
    for (const { path } of files) await cluster.run(home.fs.rm(path))
    // As long as the tree has what nobody has, a device that is away may know what it needs; an old version is let go.
    await cluster.run(new Keg(home.os).snapshot('damaged'))
    await cluster.run(home.fs.rm('/big'))
    await cluster.run(new Keg(home.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(60 * 60_000)
    expect(files.map((file) => keepers(nodes, file).length)).toEqual(files.map(() => 0))
  })
})

describe('one copy', () => {
  it('sweeping ends', async () => {
    const { cluster, nodes } = await withFiles(6, 204, 0)
    const writer = membersOf(nodes)[0] as SimNode
    await cluster.run(new Keg(writer.os).setCopies(1))
    await cluster.advance(10_000)
    const files = await writeAll(cluster, writer, 8)
    await cluster.run(writer.fs.writeFile('/a', 'x'))
    await cluster.run(writer.fs.writeFile('/a', 'y'))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(2 * 60 * 60_000)
    const before = cluster.lines.length
    await cluster.advance(3 * 60 * 60_000)
    const sweeps = cluster.lines.slice(before).filter((line) => line.includes('blocks of versions of'))
    expect(sweeps).toEqual([])
    expect(files.map((file) => holders(nodes, file).length > 0)).toEqual(files.map(() => true))
  })
})

describe('a hostile peer', () => {
  it('that says it leads the tree releases nothing', async () => {
    const { cluster, nodes, files } = await withFiles(7, 205, 6)
    const [tree] = treesOf(nodes) as [string]
    await homeAndOthers(cluster, nodes)
    await cluster.advance(TOUCHED_MS)
    const root = (await cluster.run(new Keg((nodes[0] as SimNode).os).log()))[0] as { cid: string; version: number }
    const head = () => ({ tree, bornMs: 0, term: 1e6, version: root.version, root: root.cid, home: nodeId('1') })
    const evil = await stranger(cluster, nodes, (method, args) => {
      if (method === 'tree.head') return head()
      if (method === 'blocks.have') return new Uint8Array((args.cids as string[]).length).fill(1)
      if (method === 'blocks.get') return null
      return undefined
    })
    await evil.advance(2_000)
    for (const { control } of evil.lanes) {
      control.send([FRAME.NOTE, 'tree.head', head()] as never)
    }
    await evil.advance(2_000)
    for (const { control } of evil.lanes)
      control.send([FRAME.NOTE, 'tree.release', { tree, cids: files.map(({ cid }) => cid) }] as never)
    await evil.advance(5_000)
    for (const { control, bulk } of evil.lanes) {
      control.close()
      bulk.close()
    }
    // It has gone, and all are by themselves again.
    await cluster.advance(60 * 60_000)
    // A member that has it keeps it too.
    const kept = files.map((file) => keepers(nodes, file).length)
    expect(kept.filter((pins) => pins < COPIES - 1)).toEqual([])
    expect(files.filter((file) => holders(nodes, file).length < COPIES)).toEqual([])
  })

  it('does not keep everybody from freeing what nobody needs', async () => {
    const { cluster, nodes, files } = await withFiles(6, 206, 6)
    const writer = nodes[0] as SimNode
    const evil = await stranger(cluster, nodes, (method, args) => {
      if (method === 'tree.needs') {
        return { answer: new Uint8Array((args.cids as string[]).length).fill(NEEDED), members: [nodeId('1')] }
      }
      if (method === 'blocks.have' || method === 'tree.kept') return new Uint8Array((args.cids as string[]).length)
      if (method === 'tree.head') return null
      return undefined
    })
    await evil.advance(2_000)
    for (const { path } of files) {
      const done = writer.fs.rm(path)
      await evil.advance(500)
      await done
    }
    const done = new Keg(writer.os).gc({ keep: 1, forMs: 0 })
    await evil.advance(1_000)
    await done
    await evil.advance(SWEEP_AFTER_MS + TOUCHED_MS + 30_000)
    await evil.advance(SWEEP_AGAIN_MS + 60_000)
    expect(files.map((file) => keepers(nodes, file).length)).toEqual(files.map(() => 0))
  })

  it('that asks for kegs that do not exist does not keep others from being looked into', async () => {
    const { cluster, nodes } = await withFiles(8, 207, 0) // six keep the two trees, one writes
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.run(writer.fs.writeFile('/data/f', 'x'))
    await cluster.advance(10_000)
    const members = membersOf(nodes)
    const victim = nodes.find((node) => !members.includes(node) && node !== writer) as SimNode
    const evil = await stranger(cluster, [victim], () => undefined)
    await evil.advance(1_000)
    const codes: string[] = []
    for (let i = 0; i < 2 * MAX_KEGS; i++) {
      const keg = `K-${i.toString(16).padStart(64, 'a')}`
      const args = { tree: keg, keg, cids: ['bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'], hints: [] }
      evil.to(victim).send([FRAME.CALL, i + 1, 'tree.keep', 60_000, 0, args] as never)
      if (i % 16 === 0) await evil.advance(100)
    }
    for (let i = 0; i < 5; i++) {
      const read = codeOf(victim.fs.readFile('/data/f'))
      let code = ''
      void read.then((said) => {
        code = said
      })
      for (let j = 0; j < 100 && !code; j++) await evil.advance(100)
      codes.push(code || 'hangs')
    }
    expect(codes).toEqual(codes.map(() => 'ok'))
  })
})

void boot
void newCluster
void oneHome
void write
