// What an attack on the placing of leaves found.
import { describe, expect, it, vi } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import { OsError } from '../../base/errors.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { Pins } from '../blocks/pins.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer, type RawStream, TestLog } from '../harness.contract.ts'
import { COPIES, MAX_CIDS_PER_CALL, PLACED_BYTES, SWEEP_AFTER_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { FRAME } from '../rpc/frames.ts'
import type { RpcNode } from '../rpc/node.ts'
import { BlockHolder, SAYS_LEADER } from './block-holder.ts'
import { type LedTree, Placement, type PlacementOptions } from './placement.ts'

const UNIT = PLACED_BYTES

interface Stored {
  path: string
  cid: string
  bytes: Uint8Array
}

async function write(
  cluster: TestCluster,
  node: SimNode,
  path: string,
  bytes: Uint8Array = cluster.random.bytes(UNIT),
): Promise<Stored> {
  const { cid } = await cluster.run(node.fs.writeFile(path, bytes))
  return { path, cid: cid as string, bytes }
}

async function writeAll(cluster: TestCluster, node: SimNode, count: number, folder = ''): Promise<Stored[]> {
  const files: Stored[] = []
  for (let i = 0; i < count; i++) files.push(await write(cluster, node, `${folder}/file-${i}`))
  return files
}

const holders = (nodes: readonly SimNode[], { cid }: { cid: string }) =>
  nodes.filter(({ disk }) => disk.blocks.has(cid))
const keepers = (nodes: readonly SimNode[], { cid }: { cid: string }) => {
  return nodes.filter(({ disk }) => {
    const pages = [...disk.records].filter(([name]) => name.startsWith('pins '))
    return pages.some(([, page]) => Buffer.from(page).includes(cid))
  })
}

async function withFiles<N extends SimNode[]>(size: number, seed: number, count: number) {
  const cluster = newCluster({ seed })
  const nodes = await boot<N>(cluster, size)
  await oneHome(cluster)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
  await cluster.advance(10_000)
  const files = await writeAll(cluster, nodes[0] as SimNode, count)
  await cluster.advance(10_000)
  return { cluster, nodes, files }
}

const treesOf = (nodes: readonly SimNode[]) => [
  ...new Set(
    nodes.flatMap(({ disk }) =>
      [...disk.logs.keys()].filter((name) => name.startsWith('tree/')).map((name) => name.slice('tree/'.length)),
    ),
  ),
]
const membersOf = (nodes: readonly SimNode[]) =>
  nodes.filter(({ disk }) => [...disk.logs.keys()].some((name) => name.startsWith('tree/')))

const health = (cluster: TestCluster, node: SimNode, path = '/') =>
  cluster.run(node.os.call('info', { topic: 'health', path }))

type Frames = unknown[]
/** A peer linked to all of those, which answers pings, and what it is told to answer. */
async function stranger(
  cluster: TestCluster,
  victims: readonly SimNode[],
  answer: (method: string, args: Record<string, unknown>, from: SimNode) => unknown,
  name = '1',
  hello: object = {},
  pulse: object = {},
) {
  const id = nodeId(name)
  const network = new MemoryNetwork(cluster.hub, id)
  await network.start()
  const lanes: { victim: SimNode; control: RawStream; bulk: RawStream }[] = []
  for (const victim of victims) {
    const peer = new RawPeer(network, victim.id)
    await cluster.run(network.connect(victim.id))
    lanes.push({
      victim,
      ...(await cluster.run(peer.greet({ cluster: 'sim', device: 'e'.repeat(32) as never, ...hello }))),
    })
  }
  const seen = new Map<RawStream, number>()
  const calls: string[] = []
  const step = async (ms: number) => {
    await cluster.advance(ms)
    for (const { victim, control, bulk } of lanes) {
      for (const lane of [control, bulk]) {
        for (const f of lane.frames.slice(seen.get(lane) ?? 0) as Frames[]) {
          if (f[0] === FRAME.PING && f[1] !== 0) lane.send([FRAME.PONG, f[1]] as never)
          if (f[0] === FRAME.CALL) {
            calls.push(String(f[2]))
            const result = answer(String(f[2]), f.at(-1) as Record<string, unknown>, victim)
            if (result !== undefined) lane.send([FRAME.RESULT, f[1], result] as never)
          }
        }
        seen.set(lane, lane.frames.length)
      }
    }
  }
  let beat = 0
  /** Lets time pass, and sends heartbeats. */
  const advance = async (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      await step(100)
      if (++beat % 5 === 0) {
        for (const { control } of lanes)
          control.send([FRAME.PING, 0, { state: 'alive', running: 0, storage: 2, watch: true, ...pulse }] as never)
      }
    }
  }
  const to = (victim: SimNode) => (lanes.find((lane) => lane.victim === victim) as (typeof lanes)[number]).control
  return { id: id as NodeId, advance, to, lanes, calls }
}

describe('what was freed and is written again', () => {
  it('is kept again', async () => {
    const { cluster, nodes } = await withFiles(6, 101, 1)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const writer = others[0] as SimNode
    const file = await write(cluster, writer, '/again')
    await cluster.advance(10_000)
    expect(keepers(nodes, file)).toHaveLength(COPIES)
    await cluster.run(writer.fs.rm('/again'))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    expect(keepers(nodes, file)).toHaveLength(0)
    // Undo: the same content.
    await write(cluster, writer, '/again', file.bytes)
    await cluster.advance(10_000)
    const copies = holders(nodes, file).length
    const kept = keepers(nodes, file).length
    writer.crash()
    cluster.forget(writer)
    await cluster.advance(60_000)
    const code = await codeOf(cluster.run(home.fs.readFile('/again')))
    expect({ copies: copies >= COPIES, kept, code }).toEqual({ copies: true, kept: COPIES, code: 'ok' })
  })
})

describe('a disk that lost blocks, not pins', () => {
  it('fsck --repair has them made anew', async () => {
    const { cluster, nodes, files } = await withFiles(8, 102, 16)
    const [home] = await homeAndOthers(cluster, nodes)
    const members = membersOf(nodes)
    // At least two of those that keep it are no members of the journal: these lose it.
    const outsiders = (file: Stored) => keepers(nodes, file).filter((node) => !members.includes(node))
    const file = files.find((each) => outsiders(each).length === 2) as Stored
    const lossy = outsiders(file)
    const left = keepers(nodes, file).filter((node) => !lossy.includes(node))
    expect(left).toHaveLength(1)
    // It has been looked into before, as after everybody who comes or goes.
    await cluster.run(home.os.call('change', { op: 'repair' }))
    await cluster.advance(TOUCHED_MS)
    for (const node of nodes) if (!left.includes(node)) node.disk.blocks.delete(file.cid)
    expect(await health(cluster, home)).toMatchObject({ under: 1 })
    await cluster.run(home.os.call('change', { op: 'repair' }))
    await cluster.advance(10 * 60_000)
    expect(await health(cluster, home)).toMatchObject({ under: 0 })
    expect(holders(nodes, file).length).toBeGreaterThanOrEqual(2)
  })

  it('a member does not free the last copy because its leader believes that others keep it', async () => {
    const { cluster, nodes } = await withFiles(7, 103, 0)
    await homeAndOthers(cluster, nodes)
    const members = membersOf(nodes)
    expect(members).toHaveLength(3)
    // Written by a member that is not asked to keep it.
    let found: [Stored, SimNode] | undefined
    for (let i = 0; !found; i++) {
      const member = members[i % 3] as SimNode
      const file = await write(cluster, member, `/f-${i}`)
      await cluster.advance(5_000)
      if (!keepers([member], file).length) found = [file, member]
    }
    const [file, member] = found
    await cluster.advance(10_000)
    expect(keepers(nodes, file)).toHaveLength(COPIES)
    for (const node of nodes) if (node !== member) node.disk.blocks.delete(file.cid)
    await cluster.run(member.fs.writeFile('/other', 'y'))
    await cluster.run(member.fs.writeFile('/other', 'z'))
    await cluster.run(new Keg(member.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    // Those of the holders that are members have noticed, and fetched it from here.
    expect(holders(nodes, file).length).toBeGreaterThanOrEqual(2)
    expect(await cluster.run(member.fs.readFile(file.path))).toEqual(file.bytes)
  })
})

describe('copies', () => {
  it('as many as there are devices', async () => {
    const { cluster, nodes } = await withFiles(5, 104, 0)
    const writer = nodes[0] as SimNode
    const keg = new Keg(writer.os)
    await cluster.run(keg.create('/precious'))
    await cluster.run(keg.setCopies(5, { path: '/precious' }))
    await cluster.advance(10_000)
    const file = await write(cluster, writer, '/precious/f')
    await cluster.advance(10 * 60_000)
    expect({ on: holders(nodes, file).length, health: await health(cluster, writer, '/precious') }).toMatchObject({
      on: 5,
      health: { target: 4, under: 0 },
    })
  })
})

describe('two kegs with the same leaf on the same nodes', () => {
  it('sweeping ends', async () => {
    const { cluster, nodes } = await withFiles(6, 105, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.advance(10_000)
    const file = await write(cluster, writer, '/data/f')
    await write(cluster, writer, '/f', file.bytes)
    await cluster.advance(10_000)
    await cluster.run(writer.fs.rm('/f'))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(60 * 60_000)
    const before = cluster.lines.length
    await cluster.advance(3 * 60 * 60_000)
    const sweeps = cluster.lines.slice(before).filter((line) => line.includes('blocks of versions of'))
    expect(sweeps).toEqual([])
  })
})

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
      if (method === 'tree.needs') return new Uint8Array((args.cids as string[]).length)
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

async function part(cluster: TestCluster, left: readonly SimNode[], right: readonly SimNode[], cut: boolean) {
  for (const a of left) for (const b of right) cluster.hub.setPartition(a.id, b.id, cut)
}

describe('when all that keep its journal are lost', () => {
  it.each([1, 20])('a tree is changed again soon: %s files', async (count) => {
    const { cluster, nodes } = await withFiles(8, 122, count)
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    await cluster.advance(60_000)
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    const one = rest[0] as SimNode
    const from = cluster.clock.nowMs()
    let code = ''
    for (let i = 0; i < 10 && code !== 'ok'; i++)
      code = await codeOf(cluster.run(one.fs.writeFile('/small', 'x'), 300_000))
    expect({ code, soon: cluster.clock.nowMs() - from < 60_000 }).toEqual({ code: 'ok', soon: true })
  })
})

describe('branches', () => {
  it('one begins where there is none of those that keep the journal', async () => {
    const { cluster, nodes } = await withFiles(10, 120, 2)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const left = [...members, ...others.slice(0, 2)]
    const right = others.slice(2)
    await part(cluster, left, right, true)
    await cluster.advance(30_000)
    const one = right[0] as SimNode
    const codes: string[] = []
    while (codes.at(-1) !== 'ok' && codes.length < 20) {
      codes.push(await codeOf(cluster.run(one.fs.writeFile('/small', 'x'))))
      await cluster.advance(30_000)
    }
    expect(codes).toEqual(['ok'])
  })

  it('what was kept for one that was taken in is let go', async () => {
    const { cluster, nodes, files: already } = await withFiles(10, 120, 2)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const left = [...members, ...others.slice(0, 2)]
    const right = others.slice(2)
    expect(right).toHaveLength(5)
    // Otherwise no branch can begin: see above.
    for (const node of right) for (const { path } of already) await cluster.run(node.fs.readFile(path))
    await part(cluster, left, right, true)
    await cluster.advance(30_000)
    const files = await writeAll(cluster, right[0] as SimNode, 6, '')
    const named: Stored[] = []
    for (const [i, file] of files.entries()) {
      await cluster.run((right[0] as SimNode).fs.rename(file.path, `/right-${i}`))
      named.push({ ...file, path: `/right-${i}` })
    }
    await cluster.advance(20_000)
    await part(cluster, left, right, false)
    cluster.hub.setRelay(false)
    await cluster.advance(1_000)
    cluster.hub.setRelay(true)
    await cluster.until(
      async () => {
        const homes = await Promise.all(nodes.map(async (node) => (await node.os.info('node')).treeHome))
        return homes[0] !== null && homes.every((home) => home === homes[0])
      },
      'one home',
      600_000,
    )
    await cluster.advance(60_000)
    for (const { path, bytes } of named)
      expect(await cluster.run((left[0] as SimNode).fs.readFile(path))).toEqual(bytes)
    for (const { path } of named) await cluster.run((left[0] as SimNode).fs.rm(path))
    await cluster.run(new Keg((left[0] as SimNode).os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 6 * SWEEP_AGAIN_MS)
    expect(named.map((file) => keepers(nodes, file).length)).toEqual(named.map(() => 0))
  })

  it('a tree larger than any disk survives those that keep its journal', async () => {
    const cluster = newCluster({ seed: 121 })
    const nodes = await boot<SimNode[]>(cluster, 9)
    await oneHome(cluster)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
    await cluster.advance(10_000)
    const { FULL_BYTES } = await import('../limits.ts')
    const room = 14 * UNIT
    for (const { disk } of nodes) disk.quotaBytes = disk.usedBytes() + FULL_BYTES + room
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    const files: Stored[] = []
    for (let i = 0; i < 28; i++) {
      files.push(await write(cluster, rest[i % rest.length] as SimNode, `/file-${i}`))
      await cluster.advance(TOUCHED_MS)
    }
    for (const { disk } of nodes) disk.quotaBytes -= FULL_BYTES - UNIT
    const alive = files.filter((file) => keepers(rest, file).length > 0)
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    await cluster.advance(60_000)
    const one = rest[0] as SimNode
    let code = ''
    for (let i = 0; i < 10 && code !== 'ok'; i++) {
      code = await codeOf(cluster.run(one.fs.writeFile('/small', 'x'), 300_000))
      await cluster.advance(60_000)
    }
    for (const { path, bytes } of alive) expect(await cluster.run(one.fs.readFile(path))).toEqual(bytes)
    expect(code).toBe('ok')
    await cluster.advance(10 * 60_000)
    const copies = alive.map((file) => holders(rest, file).length)
    expect(copies.filter((count) => count < 2)).toEqual([])
  })
})

/** The placement of one node, over whatever a test says. */
function placementOf(given: {
  led?(): LedTree | undefined
  confirm?(): Promise<void>
  census?(): Promise<Map<string, number>>
  kept?(peer: string): number
}) {
  const clock = new VirtualClock()
  const peers = ['12D3KooWaaaaaaaa', '12D3KooWbbbbbbbb', '12D3KooWcccccccc', '12D3KooWmmmmmmmm'] as NodeId[]
  const self = '12D3KooWllllllll' as NodeId
  const deviceOf = (id: NodeId) => id.slice(-1).repeat(32) as DeviceId
  const asked: string[] = []
  const answers = (peer: string, count: number) => new Uint8Array(count).fill(given.kept?.(peer) ?? 0)
  const options = {
    rpc: {
      self,
      handle: () => undefined,
      note: () => undefined,
      call: async (peer: string, method: string, { cids }: { cids: string[] }) => {
        asked.push(method)
        return method === 'tree.kept' ? answers(peer, cids.length) : new Uint8Array(cids.length)
      },
    },
    membership: { events: { on: () => undefined }, linked: () => peers, has: () => true },
    holder: {
      kept: async (_tree: string, cids: string[]) => answers(self, cids.length),
      keep: async (_of: object, cids: string[]) => new Uint8Array(cids.length),
    },
    clock,
    log: new TestLog(),
    keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: 1 })),
    led: given.led ?? (() => ({ keg: undefined, roots: ['r'], copies: 3, members: [self], changing: false })),
    confirm: given.confirm ?? (async () => undefined),
    roots: () => undefined,
    census: given.census ?? (async () => new Map([['x', UNIT]])),
  }
  return { placement: new Placement(options as unknown as PlacementOptions), peers, self, asked, clock }
}
const TREE = `K-${'3'.repeat(64)}` as Kid

describe('a leader', () => {
  it('that leads again does not go by what it knew', async () => {
    let leads = true
    let kept = 2
    const led = () => (leads ? { keg: undefined, roots: ['r'], copies: 3, members: [], changing: false } : undefined)
    const { placement, peers } = placementOf({ led, kept: () => kept })
    const member = peers[3] as NodeId
    placement.led(TREE)
    expect(await placement.placed(member, TREE, ['x'])).toEqual([true])
    // Another leads, and has all of them release it; nobody comes or goes.
    leads = false
    placement.unled(TREE)
    kept = 0
    leads = true
    placement.led(TREE)
    expect(await placement.placed(member, TREE, ['x'])).toEqual([false])
  })

  it('that was deposed while it counted does not say what is needed', async () => {
    let deposed = false
    const confirm = async () => {
      if (deposed) throw new OsError('EAGAIN', 'this node does not lead the tree now')
    }
    const census = async () => {
      deposed = true // it does not know yet, and asks nobody again
      return new Map([['x', UNIT]])
    }
    const { placement, self } = placementOf({ confirm, census })
    const answer = await placement.needs(self, TREE, ['y']).catch((error: OsError) => error.code)
    expect(answer).toBe('EAGAIN')
  })
})

describe('pins', () => {
  it('are not overwritten when it could not be read once which there are', async () => {
    const disk = new Disk()
    const kid = `K-${'1'.repeat(64)}` as Kid
    const other = `K-${'2'.repeat(64)}` as Kid
    const log = new TestLog()
    const pinsOf = async () => {
      const pins = new Pins(new MemoryLogStore(disk), log)
      await pins.load()
      return pins
    }
    await (await pinsOf()).add({ tree: kid }, ['bafkreiaaaa'])
    const index = disk.records.get('pins') as Uint8Array<ArrayBuffer>
    disk.records.set('pins', new Uint8Array([255]))
    const blind = await pinsOf()
    expect(blind.unread).toBe(true)
    await blind.add({ tree: other }, ['bafkreibbbb']).catch(() => undefined)
    if (disk.records.get('pins')?.byteLength === 1) disk.records.set('pins', index)
    const again = await pinsOf()
    expect([again.unread, again.of(kid)]).not.toEqual([false, []])
  })
})

describe('tabs that are frozen', () => {
  it('do not hold up writers for long', async () => {
    const { cluster, nodes } = await withFiles(7, 140, 0)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const [home] = await homeAndOthers(cluster, nodes)
    await cluster.advance(60_000)
    for (const node of others.slice(0, 2)) node.freeze()
    const times: number[] = []
    for (let i = 0; i < 12; i++) {
      const from = cluster.clock.nowMs()
      await cluster.run(home.fs.writeFile(`/w-${i}`, cluster.random.bytes(UNIT)), 300_000)
      times.push(cluster.clock.nowMs() - from)
    }
    expect(Math.max(...times)).toBeLessThan(10_000)
  })
})

describe('a node that was away', () => {
  it('frees what was given up meanwhile', async () => {
    const { cluster, nodes, files } = await withFiles(7, 141, 12)
    const members = membersOf(nodes)
    const [away] = nodes.filter((node) => !members.includes(node) && node !== nodes[0]) as [SimNode]
    const kept = files.filter((file) => keepers([away], file).length > 0)
    expect(kept.length).toBeGreaterThan(0)
    await cluster.run(away.close())
    await cluster.advance(30_000)
    const writer = nodes[0] as SimNode
    for (const { path } of files) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    await cluster.run(away.boot())
    await cluster.advance(6 * SWEEP_AGAIN_MS)
    expect(kept.map((file) => keepers([away], file).length)).toEqual(kept.map(() => 0))
  })
})

describe('what is asked for again while it is given up', () => {
  it('stays pinned', async () => {
    const log = new TestLog()
    const pins = new Pins(new MemoryLogStore(new Disk()), log)
    await pins.load()
    const leader = '12D3KooWllllllll' as NodeId
    const all = Array.from({ length: MAX_CIDS_PER_CALL + 1 }, (_, i) => `bafkrei${i}`)
    await pins.add({ tree: TREE }, all)
    let again = async () => {}
    const holder: BlockHolder = new BlockHolder({
      blocks: {
        pin: () => () => undefined,
        touch: () => undefined,
        hold: async () => undefined,
        hasMany: async (cids: string[]) => cids.map(() => true),
      } as unknown as Blocks,
      pins,
      rpc: {
        self: '12D3KooWssssssss',
        handle: () => undefined,
        onNote: () => undefined,
        call: async (_to: string, _method: string, { cids }: { cids: string[] }) => {
          const answer = new Uint8Array(cids.length).fill(SAYS_LEADER) // none is needed now
          if (cids.length === 1) await again()
          return answer
        },
      } as unknown as RpcNode,
      device: 'a'.repeat(32) as DeviceId,
      membership: {
        linked: () => [leader, '12D3KooWmmmmmmmm'],
        row: (id: string) => ({ device: id }),
      } as unknown as Membership,
      absorbed: async () => false,
      log,
      full: () => false,
      keeps: () => false,
      leaderOf: async () => leader,
      onReleased: () => undefined,
    })
    const first = all[0] as string
    let said: number | undefined
    // Its first answer is here, and somebody writes the same content anew: the leader asks for it.
    again = async () => {
      const signal = new AbortController().signal
      said = (await holder.keep({ tree: TREE }, [first], { hints: [], signal }))[0]
    }
    const gone = await holder.audit(TREE, async () => Promise.reject(new OsError('EAGAIN', 'it is not kept here')))
    expect({ said, has: pins.has(TREE, first) }).toEqual({ said: 1, has: true })
    expect(gone).toHaveLength(all.length)
    expect(pins.of(TREE)).toEqual([first])
  })

  it('is not said to be pinned when it is not', async () => {
    const disk = new Disk()
    const store = new MemoryLogStore(disk)
    let fail = true
    const put = store.putRecord.bind(store)
    store.putRecord = async (name, bytes) => {
      await Promise.resolve()
      if (fail) {
        fail = false
        throw new OsError('EIO', 'once')
      }
      return put(name, bytes)
    }
    const pins = new Pins(store, new TestLog())
    await pins.load()
    const one = pins.add({ tree: TREE }, ['bafkreix']).then(
      () => 'ok',
      () => 'failed',
    )
    const two = pins.add({ tree: TREE }, ['bafkreiy']).then(
      () => 'ok',
      () => 'failed',
    )
    const three = pins.add({ tree: TREE }, ['bafkreix']).then(
      () => 'ok',
      () => 'failed',
    )
    const said = [await one, await two, await three]
    expect({ said: said[2], has: pins.has(TREE, 'bafkreix') }).toEqual({ said: said[2], has: said[2] === 'ok' })
  })
})

describe('how many copies', () => {
  it('is what it was, when a tree is kept on as a branch', async () => {
    const { cluster, nodes } = await withFiles(8, 150, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).setCopies(5))
    await cluster.advance(10_000)
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    const one = rest[0] as SimNode
    for (let i = 0; i < 5; i++) if ((await codeOf(cluster.run(one.fs.writeFile('/small', 'x')))) === 'ok') break
    expect(await cluster.run(new Keg(one.os).copies())).toBe(5)
  })

  it('is made when there is room again', async () => {
    const { cluster, nodes } = await withFiles(6, 151, 0)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const full = nodes.filter((node) => node !== home && node !== others[0])
    for (const { disk } of full) disk.quotaBytes = disk.usedBytes() + 8 * UNIT
    await cluster.advance(3 * 60_000)
    const file = await write(cluster, others[0] as SimNode, '/f')
    await cluster.advance(30_000)
    for (const { disk } of full) disk.quotaBytes = Number.POSITIVE_INFINITY
    await cluster.advance(30 * 60_000)
    expect(keepers(nodes, file).length).toBe(COPIES)
  })
})

describe('a keg', () => {
  it('whose keepers have never looked into it frees what it does not need', async () => {
    const { cluster, nodes } = await withFiles(8, 152, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.advance(10_000)
    const files = await writeAll(cluster, writer, 8, '/data')
    await cluster.advance(10_000)
    // After a reload they know nothing but their pins.
    const members = membersOf(nodes)
    for (const node of nodes) {
      if (members.includes(node) || node === writer) continue
      await cluster.run(node.close())
      await cluster.run(node.boot())
    }
    await cluster.advance(60_000)
    for (const { path } of files) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0, path: '/data' }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 3 * SWEEP_AGAIN_MS)
    expect(files.map((file) => keepers(nodes, file).length)).toEqual(files.map(() => 0))
  })
})

describe('a review that fails', () => {
  it('is tried again', async () => {
    let counted = 0
    const census = async () => {
      counted++
      if (counted === 1) throw new OsError('EIO', 'a directory cannot be read now')
      return new Map([['x', UNIT]])
    }
    const { placement, clock } = placementOf({ census })
    placement.led(TREE)
    const untilMs = clock.nowMs() + 60 * 60_000
    await new Promise((resolve) => setImmediate(resolve))
    while (clock.step(untilMs)) await new Promise((resolve) => setImmediate(resolve))
    expect(counted).toBeGreaterThan(1)
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
