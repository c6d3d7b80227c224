// What a second attack on the placing of leaves found, by parts and at the edges.
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { Pins } from '../blocks/pins.ts'
import { codeOf, homeAndOthers } from '../cluster.contract.ts'
import { TestLog } from '../harness.contract.ts'
import { COPIES, MAX_CIDS_PER_CALL } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import { BlockHolder, NEEDED, SAYS_LEADER } from './block-holder.ts'
import { holders, keepers, linkedTo, membersOf, UNIT, withFiles, write } from './placement.contract.ts'
import { type LedTree, Placement, type PlacementOptions } from './placement.ts'

const TREE = `K-${'3'.repeat(64)}` as Kid
const ids = (letters: string) => [...letters].map((letter) => `12D3KooW${letter.repeat(8)}` as NodeId)
const deviceOf = (id: NodeId) => id.slice(-1).repeat(32) as DeviceId

describe('an audit', () => {
  it('does not take hours where one peer does not answer', async () => {
    const clock = new VirtualClock()
    const log = new TestLog()
    const pins = new Pins(new MemoryLogStore(new Disk()), log)
    await pins.load()
    const [self, leader, member, mute] = ids('slmx') as [NodeId, NodeId, NodeId, NodeId]
    const all = Array.from({ length: 64 * MAX_CIDS_PER_CALL }, (_, i) => `bafkrei${i}`) // a gigabyte of 64 KiB each
    await pins.add({ tree: TREE }, all)
    const holder = new BlockHolder({
      blocks: {} as Blocks,
      pins,
      rpc: {
        self,
        handle: () => undefined,
        onNote: () => undefined,
        call: async (to: string, _method: string, { cids }: { cids: string[] }) => {
          if (to === mute) {
            await new Promise<void>((resolve) => clock.setTimer(resolve, 10_000, 'call'))
            throw new Error('it does not answer')
          }
          const answer = new Uint8Array(cids.length).fill(to === leader ? SAYS_LEADER | NEEDED : NEEDED)
          return { answer, members: [leader, member] }
        },
      } as unknown as RpcNode,
      device: 'a'.repeat(32) as DeviceId,
      membership: linkedTo([leader, member, mute], (id) => deviceOf(id as NodeId)) as unknown as Membership,
      absorbed: async () => undefined,
      log,
      full: () => false,
      keeps: () => false,
      leaderOf: async () => leader,
      onReleased: () => undefined,
    })
    const fromMs = clock.nowMs()
    let done = false
    void holder
      .audit(TREE, async () => Promise.reject(new Error('not here')))
      .then(() => {
        done = true
      })
    while (!done) {
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
      if (!done) clock.step(Number.POSITIVE_INFINITY)
    }
    expect(clock.nowMs() - fromMs).toBeLessThan(60_000)
  })
})

describe('a leader that is elected anew while a change is under way', () => {
  it('does not say that what it brings is not needed', async () => {
    const clock = new VirtualClock()
    const [self, ...peers] = ids('labcd') as [NodeId, ...NodeId[]]
    const options = {
      rpc: {
        self,
        handle: () => undefined,
        note: () => undefined,
        call: async (_to: string, method: string, { cids }: { cids: string[] }) =>
          new Uint8Array(cids.length).fill(method === 'tree.keep' ? 1 : 0),
      },
      membership: linkedTo(peers),
      holder: {
        kept: async (_tree: string, cids: string[]) => new Uint8Array(cids.length),
        keep: async (_of: object, cids: string[]) => new Uint8Array(cids.length).fill(1),
      },
      clock,
      log: new TestLog(),
      keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: 1 })),
      led: (): LedTree => ({ keg: undefined, roots: ['r'], copies: 3, members: [self], changing: false }),
      confirm: async () => undefined,
      roots: () => ['r'],
      members: () => [],
      onUnused: () => undefined,
      breathe: async () => undefined,
      census: async () => ({ leaves: new Map(), complete: true }),
    }
    const placement = new Placement(options as unknown as PlacementOptions)
    placement.led(TREE)
    const placing = placement.begin(TREE, { ops: [] })
    await placing.elsewhere([{ cid: 'x', size: UNIT }], {})
    // Another asked for votes, and this one was elected again; TreeKeeper.#enqueue journals the change all the same.
    placement.unled(TREE)
    placement.led(TREE)
    const [word] = (await placement.needs(peers[0] as NodeId, TREE, ['x'])).answer
    placing.end('done')
    expect({ needed: ((word as number) & NEEDED) === NEEDED }).toEqual({ needed: true })
  })
})

describe('where all links are slow', () => {
  it('a leaf is not kept by everybody', async () => {
    const { cluster, nodes } = await withFiles(9, 301, 0)
    const [, others] = await homeAndOthers(cluster, nodes)
    const writer = others[0] as SimNode
    cluster.hub.setSlow(writer.id, { factor: 2, bytesPerMs: 60 })
    const file = await cluster.run(
      (async () => {
        const bytes = cluster.random.bytes(4 * UNIT)
        const { cid } = await writer.fs.writeFile('/slow', bytes)
        return { cid: cid as string, path: '/slow', bytes }
      })(),
      600_000,
    )
    await cluster.advance(10 * 60_000)
    cluster.hub.setSlow(writer.id, undefined)
    await cluster.advance(2 * 60 * 60_000)
    expect(keepers(nodes, file).length).toBeLessThanOrEqual(COPIES)
  })
})

describe('what is acknowledged', () => {
  it('is on so many devices, also where something old is lost', async () => {
    const { cluster, nodes } = await withFiles(8, 302, 2)
    const big = await write(cluster, nodes[0] as SimNode, '/big', cluster.random.bytes(2.5 * 2 ** 20))
    await cluster.advance(10_000)
    const [home] = await homeAndOthers(cluster, nodes)
    for (const node of nodes) {
      if (node === home) continue
      await cluster.run(node.close())
      await cluster.run(node.boot())
      await cluster.advance(2_000)
    }
    for (const node of nodes) node.disk.blocks.delete(big.cid)
    home.crash()
    cluster.forget(home)
    const left = nodes.filter((node) => node !== home)
    await cluster.advance(60_000)
    // Little room is left everywhere: nobody is asked to keep anything.
    for (const { disk } of left) disk.quotaBytes = disk.usedBytes() + 40 * UNIT
    await cluster.advance(3 * 60_000)
    const members = membersOf(left)
    const writer = left.find((node) => !members.includes(node)) as SimNode
    const bytes = cluster.random.bytes(UNIT)
    const { cid, ack } = (await cluster.run(writer.fs.writeFile('/new', bytes))) as unknown as {
      cid: string
      ack: { devices: number; level: string }
    }
    const on = holders(left, { cid }).length
    const pinned = keepers(left, { cid }).length
    expect(on).toBeGreaterThanOrEqual(ack.devices)
    expect(holders(members, { cid }).length + pinned).toBeGreaterThanOrEqual(ack.devices)
  })
})

describe('two kegs with the same leaves, one of which keeps them once', () => {
  it('sweeping ends', async () => {
    const { cluster, nodes } = await withFiles(6, 303, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.run(new Keg(writer.os).setCopies(1, { path: '/data' }))
    await cluster.advance(10_000)
    for (let i = 0; i < 8; i++) {
      const file = await write(cluster, writer, `/data/f-${i}`)
      await write(cluster, writer, `/f-${i}`, file.bytes)
    }
    await cluster.advance(10_000)
    for (let i = 0; i < 8; i++) await cluster.run(writer.fs.rm(`/f-${i}`))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(2 * 60 * 60_000)
    const before = cluster.lines.length
    await cluster.advance(3 * 60 * 60_000)
    const sweeps = cluster.lines.slice(before).filter((line) => line.includes('blocks of versions of'))
    expect(sweeps).toEqual([])
  })
})

describe('a change that fails', () => {
  it('leaves nothing that is kept for ever', async () => {
    const { cluster, nodes } = await withFiles(7, 304, 0)
    const writer = nodes[0] as SimNode
    // Two devices are full: what is to be on all seven cannot be.
    for (const { disk } of nodes.slice(5)) disk.quotaBytes = disk.usedBytes() + 8 * UNIT
    await cluster.run(new Keg(writer.os).setCopies(8))
    await cluster.advance(3 * 60_000)
    const codes: string[] = []
    for (let i = 0; i < 10; i++) {
      const bytes = cluster.random.bytes(UNIT)
      codes.push(await codeOf(cluster.run(writer.fs.writeFile(`/w-${i}`, bytes, { ack: 'all' }), 300_000)))
    }
    expect(new Set(codes)).toEqual(new Set(['ENOQUORUM']))
    await cluster.advance(3 * 60 * 60_000)
    const pins = nodes.map(({ disk }) =>
      [...disk.records]
        .filter(([name]) => name.startsWith('pins '))
        .reduce((sum, [, page]) => sum + page.byteLength, 0),
    )
    expect(pins).toEqual(nodes.map(() => 0))
  })
})
