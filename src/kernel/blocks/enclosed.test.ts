import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Disk } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { TreeKeeper } from '../fs/tree-keeper.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import { CACHED_MS, ENCLOSED_BYTES, ENCLOSED_KEPT_BYTES, SMALL_BLOCK_BYTES } from '../limits.ts'
import { RpcNode } from '../rpc/node.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

let lab: Lab
let keeper: LabNode
let writer: LabNode
let disk: Disk
let blocks: Blocks
let theirs: Blocks
/** Blocks that anybody was asked for. */
let asked: string[]

beforeEach(async () => {
  lab = new Lab()
  ;[keeper, writer] = await lab.pair()
  ;({ disk, blocks } = blocksOf(lab, keeper))
  ;({ blocks: theirs } = blocksOf(lab, writer))
  asked = []
  const call = RpcNode.prototype.call
  vi.spyOn(RpcNode.prototype, 'call').mockImplementation(function (this: RpcNode, ...args) {
    if (args[1] === 'blocks.get') asked.push(...(args[2] as { cids: string[] }).cids)
    return call.apply(this, args)
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

const cidOf = (bytes: Uint8Array) => theirs.cidOf(RAW, bytes)
async function written(content: Uint8Array): Promise<string> {
  const cid = await cidOf(content)
  await theirs.putMany([[cid, content]])
  return cid
}
/** Until what was sent has come. */
const arrived = () => lab.advance(100)
const hold = (cids: readonly string[], hints = [writer.id]) => lab.run(blocks.hold(cids, { hints }))

describe('small blocks that go ahead of what names them', () => {
  it('are stored without asking for them', async () => {
    const cids = [await written(utf8('one')), await written(utf8('two')), await written(new Uint8Array(0))]
    theirs.enclose(keeper.id, cids)
    await arrived()
    expect(disk.blocks.size).toBe(0)
    await hold(cids)
    expect([...disk.blocks.keys()].sort()).toEqual([...cids].sort())
    expect(asked).toEqual([])
  })

  it('are asked for when they do not go ahead: too large, too many, or not stored lately', async () => {
    const large = await written(new Uint8Array(SMALL_BLOCK_BYTES + 1))
    const earlier = await written(utf8('earlier'))
    await lab.advance(2 * CACHED_MS)
    const many: string[] = []
    for (let i = 0; i <= ENCLOSED_BYTES / SMALL_BLOCK_BYTES; i++) {
      many.push(await written(new Uint8Array(SMALL_BLOCK_BYTES).fill(i)))
    }
    const cids = [large, earlier, ...many]
    theirs.enclose(keeper.id, cids)
    await arrived()
    await hold(cids)
    expect(disk.blocks.size).toBe(cids.length)
    expect(asked).toContain(large)
    expect(asked).toContain(earlier)
    const came = cids.length - asked.length
    expect(came).toBeGreaterThan(0)
    expect(came).toBeLessThanOrEqual(ENCLOSED_BYTES / SMALL_BLOCK_BYTES)
  })

  it('are not believed: whoever sends wrong bytes is noted, and others are asked', async () => {
    const cid = await cidOf(utf8('right'))
    const liar = await lab.node('liar')
    await lab.link(keeper, liar)
    const honest = await lab.node('honest')
    await blocksOf(lab, honest).blocks.putMany([[cid, utf8('right')]])
    await lab.link(keeper, honest)
    liar.rpc.note(keeper.id, 'blocks.enclosed', { blocks: [[cid, utf8('wrong')]] })
    await arrived()
    await hold([cid], [liar.id])
    expect(disk.blocks.get(cid)).toEqual(utf8('right'))
    expect([...blocks.liars().keys()]).toEqual([liar.id])
    // Nor is what it sends afterwards, right or wrong.
    const next = await written(utf8('next'))
    liar.rpc.note(keeper.id, 'blocks.enclosed', { blocks: [[next, utf8('next')]] })
    await arrived()
    await hold([next], [liar.id, writer.id])
    expect(asked).toContain(next)
  })

  it('count only from who is said to have them', async () => {
    const cid = await written(utf8('x'))
    const stranger = await lab.node('stranger')
    await lab.link(keeper, stranger)
    stranger.rpc.note(keeper.id, 'blocks.enclosed', { blocks: [[cid, utf8('not x')]] })
    await arrived()
    await hold([cid])
    expect(disk.blocks.get(cid)).toEqual(utf8('x'))
    expect(blocks.liars().size).toBe(0)
  })

  it('cost a bounded memory, whatever is sent: the oldest are forgotten, and asked for', async () => {
    const first = await written(utf8('first'))
    theirs.enclose(keeper.id, [first])
    for (let i = 0; i <= ENCLOSED_KEPT_BYTES / SMALL_BLOCK_BYTES; i++) {
      const bytes = new Uint8Array(SMALL_BLOCK_BYTES).fill(i)
      writer.rpc.note(keeper.id, 'blocks.enclosed', { blocks: [[await cidOf(bytes), bytes]] })
    }
    await arrived()
    await hold([first])
    expect(asked).toEqual([first])
  })

  it('are sent once, however many files have them', async () => {
    const cid = await written(utf8('x'))
    let sent = 0
    const { note } = writer.rpc
    writer.rpc.note = (...args: Parameters<typeof note>) => {
      if (args[1] === 'blocks.enclosed') sent += (args[2] as { blocks: unknown[] }).blocks.length
      return note.apply(writer.rpc, args)
    }
    theirs.enclose(keeper.id, Array<string>(50).fill(cid))
    expect(sent).toBe(1)
  })

  it('that are none, or empty, or sent right after wrong, do no harm', async () => {
    const cid = await written(utf8('right'))
    const odd = `bafy${'a'.repeat(50)}`
    const send = (blocks: [string, Uint8Array][]) => writer.rpc.note(keeper.id, 'blocks.enclosed', { blocks })
    send([])
    send([[cid, utf8('wrong')], [cid, utf8('right')], [odd, utf8('x')]]) // biome-ignore format: one line
    await arrived()
    await hold([cid])
    expect(disk.blocks.get(cid)).toEqual(utf8('right'))
    await expect(hold([odd])).rejects.toMatchObject({ code: 'EIO' })
    expect(blocks.liars().size).toBe(0)
  })

  it('that are here already are held also when the disk is full', async () => {
    const cid = await written(utf8('x'))
    disk.blocks.set(cid, utf8('x')) // before this tab was reloaded
    disk.quotaBytes = disk.usedBytes()
    theirs.enclose(keeper.id, [cid])
    await arrived()
    await hold([cid])
  })

  it('that do not fit on the disk are refused as if they had been fetched', async () => {
    const cid = await written(utf8('x'))
    theirs.enclose(keeper.id, [cid])
    await arrived()
    disk.quotaBytes = disk.usedBytes()
    await expect(hold([cid])).rejects.toMatchObject({ code: 'ENOSPC' })
  })
})

describe('a small file of a tree that three nodes keep', () => {
  it('is on all their disks, and nobody asked for it', async () => {
    const cluster = newCluster()
    const [home, others] = await homeAndOthers(cluster, await boot(cluster, 3))
    await cluster.run(home.fs.writeFile('/first', 'first', { ack: 'all' }))
    const cids: string[] = []
    for (const [i, node] of [home, ...others].entries()) {
      const { cid } = await cluster.run(node.fs.writeFile(`/f${i}`, `of ${i}`, { ack: 'all' }))
      cids.push(cid as string)
    }
    for (const { disk } of [home, ...others]) for (const cid of cids) expect(disk.blocks.has(cid)).toBe(true)
    expect(asked.filter((cid) => cids.includes(cid))).toEqual([])
  })

  it('goes over a slow link once, and not where others wait for it: a member catches up', async () => {
    const cluster = newCluster({ seed: 78 })
    const [home, [slow]] = (await homeAndOthers(cluster, await boot(cluster, 3))) as [SimNode, [SimNode]]
    await cluster.run(home.fs.writeFile('/first', 'first', { ack: 'all' }))
    let sent = 0
    const { note } = RpcNode.prototype
    vi.spyOn(RpcNode.prototype, 'note').mockImplementation(function (this: RpcNode, ...args) {
      const [peer, name, body] = args
      if (name === 'blocks.enclosed' && peer === slow.id) {
        for (const [, bytes] of (body as { blocks: [string, Uint8Array][] }).blocks) sent += bytes.byteLength
      }
      return note.apply(this, args)
    })
    cluster.hub.setSlow(slow.id, { factor: 1, bytesPerMs: 60 })
    const [count, size] = [60, 15_000]
    const written: Promise<unknown>[] = []
    for (let i = 0; i < count; i++) {
      const bytes = new Uint8Array(size).fill(i)
      written.push(home.fs.writeFile(`/f${i}`, bytes))
      await cluster.advance(100)
    }
    await cluster.run(Promise.all(written))
    expect(await cluster.run(home.os.info('peers'))).toHaveLength(2)
    await cluster.until(async () => slow.disk.blocks.size >= count, 'it has them all')
    expect(sent).toBeLessThanOrEqual(count * size)
    await cluster.run(slow.fs.writeFile('/mine', 'x'), 10_000)
  })

  it('goes ahead once, also where its change is tried again', async () => {
    const cluster = newCluster()
    const [home, [member]] = (await homeAndOthers(cluster, await boot(cluster, 3))) as [SimNode, [SimNode]]
    await cluster.run(home.fs.writeFile('/first', 'first', { ack: 'all' }))
    const note = vi.spyOn(RpcNode.prototype, 'note')
    const untilMs = cluster.clock.nowMs() + 12_000
    const { apply } = TreeKeeper.prototype
    vi.spyOn(TreeKeeper.prototype, 'apply').mockImplementation(function (this: TreeKeeper, ...args) {
      if (cluster.clock.nowMs() < untilMs) return Promise.reject(new OsError('EAGAIN', 'not sure whether it leads'))
      return apply.apply(this, args)
    })
    await cluster.run(member.fs.writeFile('/f', 'of a member'))
    expect(note.mock.calls.filter(([peer, name]) => name === 'blocks.enclosed' && peer === home.id)).toHaveLength(1)
  })

  it('is not sent to who wrote it', async () => {
    const cluster = newCluster()
    const [home, [member]] = await homeAndOthers(cluster, await boot(cluster, 3))
    await cluster.run(home.fs.writeFile('/first', 'first', { ack: 'all' }))
    const note = vi.spyOn(RpcNode.prototype, 'note')
    await cluster.run((member ?? home).fs.writeFile('/f', 'of a member', { ack: 'all' }))
    const to = note.mock.calls.flatMap(([peer, name]) => (name === 'blocks.enclosed' ? [peer] : []))
    expect(to.filter((peer) => peer === member?.id)).toEqual([])
    expect(new Set(to).size).toBe(2)
    expect(to).toHaveLength(2)
  })
})
