// A disk that is full of copies of what was read, which belong to nobody here.
import { describe, expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, newCluster, oneHome } from '../cluster.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { MAKE_ROOM_AGAIN_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'

const MIB = 1024 * 1024
/** What the files of a full disk are made of: hashing in a simulator takes real time. */
const UNIT = MIB / 4

/** Three nodes that keep `/` with some files, and one that comes later and has a small disk. */
async function withReader(seed: number) {
  const cluster = newCluster({ seed })
  const nodes = await boot(cluster, 3)
  await oneHome(cluster)
  const contents = new Map<string, Uint8Array>()
  for (let i = 0; i < 6; i++) {
    const bytes = cluster.random.bytes(2 * UNIT)
    contents.set(`/file-${i}`, bytes)
    await cluster.run((nodes[0] as SimNode).fs.writeFile(`/file-${i}`, bytes))
  }
  await cluster.advance(5_000)
  const reader = cluster.addNode()
  await cluster.run(reader.boot())
  await oneHome(cluster)
  reader.disk.quotaBytes = reader.disk.usedBytes() + 7 * UNIT
  const readAll = async () => {
    for (const [path, bytes] of contents) expect(await cluster.run(reader.fs.readFile(path))).toEqual(bytes)
  }
  return { cluster, nodes, reader, readAll, contents }
}

describe('a full disk', () => {
  it('frees what was only read here, when something is to be read or written', async () => {
    const { cluster, reader, readAll, contents } = await withReader(31)
    await readAll()
    await readAll()
    await cluster.advance(MAKE_ROOM_AGAIN_MS)
    expect(cluster.lines.some((line) => line.includes('that were only read here'))).toBe(true)
    await readAll()
    const written = cluster.random.bytes(2 * UNIT)
    const names = ['/written', '/at-once']
    await cluster.run(Promise.all(names.map((name) => reader.fs.writeFile(name, written))))
    for (const name of names) contents.set(name, written)
    for (const node of cluster.up()) expect(await cluster.run(node.fs.readFile('/written'))).toEqual(written)
    await cluster.advance(TOUCHED_MS)
    await readAll()
  })

  it('keeps what nobody else has', async () => {
    const { cluster, nodes, reader, contents } = await withReader(32)
    const readTwice = async (path: string) => {
      for (let i = 0; i < 2; i++) await cluster.run(reader.fs.readFile(path))
    }
    await readTwice('/file-0')
    const { info } = await cluster.run(reader.fs.stat('/file-0'))
    for (const node of nodes) node.disk.blocks.delete(info.cid as string)
    for (const path of ['/file-1', '/file-2', '/file-3']) await readTwice(path)
    await cluster.advance(MAKE_ROOM_AGAIN_MS)
    expect(reader.disk.blocks.has(info.cid as string)).toBe(true)
    expect(await cluster.run(reader.fs.readFile('/file-0'))).toEqual(contents.get('/file-0'))
  })

  it('of a node that owes all of it is full', async () => {
    const { cluster, nodes } = await withReader(33)
    for (const { disk } of nodes) disk.quotaBytes = disk.usedBytes() + UNIT / 2
    const write = (nodes[0] as SimNode).fs.writeFile('/more', cluster.random.bytes(4 * UNIT))
    expect(await codeOf(cluster.run(write))).toBe('ENOSPC')
    for (const node of nodes) expect(await cluster.run(node.fs.readdir('/'))).not.toContain('more')
  })
})

/** Whether anybody counts on that node for `/`. */
async function isMemberOf(up: readonly SimNode[], { id }: SimNode): Promise<boolean> {
  return up.some((node) =>
    node.kernel?.journals.some(({ leads, config }) => leads && config.voters.some((each) => each.id === id)),
  )
}

describe('when a node that keeps / is away, and another keeps it', () => {
  it.each([
    ['it', true],
    ['the other', false],
  ])('%s frees what is too much when it is back', async (_who, replaced) => {
    // With this seed, as with most, it is back before it is replaced.
    const cluster = newCluster({ seed: 33 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await oneHome(cluster)
    const bytes = cluster.random.bytes(3 * MIB)
    await cluster.run(nodes[0].fs.writeFile('/file', bytes))
    await cluster.advance(5_000)
    const fourth = cluster.addNode()
    await cluster.run(fourth.boot())
    await oneHome(cluster)
    const [away] = nodes
    expect(away.disk.usedBytes()).toBeGreaterThan(3 * MIB)
    await cluster.run(away.close())
    await cluster.until(() => fourth.disk.usedBytes() > 3 * MIB, 'another keeps it', 120_000)
    if (replaced) await cluster.until(async () => !(await isMemberOf(cluster.up(), away)), 'it is replaced', 120_000)
    await cluster.run(away.boot())
    const all = [...nodes, fourth]
    await cluster.until(() => all.filter(({ disk }) => disk.logs.size === 0).length === 1, 'one is told', 120_000)
    const surplus = all.find(({ disk }) => disk.logs.size === 0) as SimNode
    expect(surplus === away).toBe(replaced)
    await cluster.until(() => surplus.disk.usedBytes() < MIB, 'the surplus is gone', 2 * SWEEP_AGAIN_MS)
    expect(all.filter(({ disk }) => disk.usedBytes() > 3 * MIB)).toHaveLength(3)
    expect(await cluster.run(surplus.fs.readFile('/file'))).toEqual(bytes)
  })

  it('it keeps what the others have lost meanwhile', async () => {
    const cluster = newCluster({ seed: 35 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await oneHome(cluster)
    const [away, one] = nodes
    await cluster.run(away.fs.writeFile('/file', cluster.random.bytes(MIB)))
    await cluster.advance(5_000)
    const fourth = cluster.addNode()
    await cluster.run(fourth.boot())
    await oneHome(cluster)
    const cid = (await cluster.run(away.fs.stat('/file'))).info.cid as string
    await cluster.run(away.close())
    await cluster.until(() => fourth.disk.usedBytes() > MIB, 'another keeps it', 120_000)
    for (const { disk } of [nodes[1], nodes[2], fourth]) disk.blocks.delete(cid)
    await cluster.until(async () => !(await isMemberOf(cluster.up(), away)), 'it is replaced', 120_000)
    await cluster.run(away.boot())
    await cluster.until(() => away.disk.logs.size === 0, 'it is told', 120_000)
    await cluster.advance(2 * SWEEP_AGAIN_MS)
    expect(away.disk.blocks.has(cid)).toBe(true)
    expect(await cluster.run(one.fs.readFile('/file'))).toHaveLength(MIB)
  })

  it.each([[false], [true]])('it keeps what nobody else has, whatever a stranger says: %s', async (hostile) => {
    const cluster = newCluster({ seed: 35 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await oneHome(cluster)
    const [away] = nodes
    await cluster.run(away.fs.writeFile('/file', cluster.random.bytes(MIB)))
    await cluster.advance(5_000)
    const fourth = cluster.addNode()
    await cluster.run(fourth.boot())
    await oneHome(cluster)
    const cid = (await cluster.run(away.fs.stat('/file'))).info.cid as string
    const [journal] = [...away.disk.logs.keys()].filter((name) => name.startsWith('tree/'))
    await cluster.run(away.close())
    await cluster.until(() => fourth.disk.usedBytes() > MIB, 'another keeps it', 120_000)
    for (const { disk } of [nodes[1], nodes[2], fourth]) disk.blocks.delete(cid)
    await cluster.until(async () => !(await isMemberOf(cluster.up(), away)), 'it is replaced', 120_000)
    await cluster.run(away.boot())
    await cluster.until(() => away.disk.logs.size === 0, 'it is told', 120_000)
    if (hostile) {
      const network = new MemoryNetwork(cluster.hub, nodeId('1'))
      const peer = new RawPeer(network, away.id)
      await network.start()
      await cluster.run(network.connect(away.id))
      const { control } = await cluster.run(peer.greet({ cluster: 'sim' }))
      await cluster.advance(1_000)
      const message = { t: 'append', term: 1, prevIndex: 9, prevTerm: 1, entries: [], commit: 0, round: 1 }
      control.send([FRAME.NOTE, 'journal.step', { group: journal, message }])
    }
    await cluster.advance(2 * SWEEP_AGAIN_MS)
    expect(away.disk.blocks.has(cid)).toBe(true)
  })
})
