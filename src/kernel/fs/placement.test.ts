// Leaves of files are kept one by one, where there are more devices than a leaf has copies.
import { describe, expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome } from '../cluster.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { COPIES, FULL_BYTES, GROUP_SIZE, SWEEP_AFTER_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'
import { holders, keepers, type Stored, UNIT, withFiles, write, writeAll } from './placement.contract.ts'

describe('among more devices than a leaf has copies', () => {
  it('each leaf is kept by so many, and all have their share', async () => {
    const { cluster, nodes, files } = await withFiles(7, 71, 24)
    for (const file of files) expect(keepers(nodes, file)).toHaveLength(COPIES)
    const shares = nodes.map((node) => files.filter((file) => keepers([node], file).length > 0).length)
    for (const share of shares) expect(share).toBeGreaterThan(2)
    // Nobody but its writer has what it is not to keep: those that keep the tree neither.
    for (const file of files) expect(holders(nodes.slice(1), file).length).toBeLessThanOrEqual(COPIES)
    for (const node of nodes) {
      for (const { path, bytes } of files.slice(0, 3)) expect(await cluster.run(node.fs.readFile(path))).toEqual(bytes)
    }
  })

  it('small files, and what tells where the others are, stay where the tree is', async () => {
    const { cluster, nodes } = await withFiles(6, 72, 1)
    const { cid } = await cluster.run((nodes[0] as SimNode).fs.writeFile('/small', new Uint8Array(UNIT - 1).fill(7)))
    await cluster.advance(10_000)
    const has = nodes.filter(({ disk }) => disk.blocks.has(cid as string))
    const members = nodes.filter(({ disk }) => [...disk.logs.keys()].some((name) => name.startsWith('tree/')))
    expect(members).toHaveLength(GROUP_SIZE)
    for (const member of members) expect(has).toContain(member)
    expect(keepers(nodes, { cid: cid as string })).toHaveLength(0)
  })

  it('a tree is larger than any disk', async () => {
    const cluster = newCluster({ seed: 73 })
    const nodes = await boot<SimNode[]>(cluster, 8)
    await oneHome(cluster)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
    await cluster.advance(10_000)
    // Room for ten files each, and what has to stay free; there are twenty.
    const room = 10 * UNIT
    for (const { disk } of nodes) disk.quotaBytes = disk.usedBytes() + FULL_BYTES + room
    const files: Stored[] = []
    for (let i = 0; i < 20; i++) {
      // From everywhere, in the course of an hour: whoever writes keeps what it wrote for some minutes.
      files.push(await write(cluster, nodes[i % 8] as SimNode, `/file-${i}`))
      await cluster.advance(TOUCHED_MS)
    }
    for (const file of files) expect(keepers(nodes, file)).toHaveLength(COPIES)
    // What somebody wrote it has as well, until there is no room left.
    for (const { disk } of nodes) expect(disk.usedBytes()).toBeLessThan(room + 5 * UNIT)
    const reader = nodes[3] as SimNode
    for (const { path, bytes } of files) expect(await cluster.run(reader.fs.readFile(path))).toEqual(bytes)
  })

  it('what a lost one kept is kept by another soon', async () => {
    const { cluster, nodes, files } = await withFiles(6, 74, 12)
    const [, ...others] = await homeAndOthers(cluster, nodes)
    const lost = others.flat()[1] as SimNode
    lost.crash()
    cluster.forget(lost)
    const left = nodes.filter((node) => node !== lost)
    const whole = () => files.every((file) => holders(left, file).length >= COPIES)
    await cluster.until(whole, 'every leaf has its copies again', 30_000)
  })

  it('the same when it led the tree', async () => {
    const { cluster, nodes, files } = await withFiles(6, 75, 12)
    const [home] = await homeAndOthers(cluster, nodes)
    home.crash()
    cluster.forget(home)
    const left = nodes.filter((node) => node !== home)
    const whole = () => files.every((file) => holders(left, file).length >= COPIES)
    await cluster.until(whole, 'every leaf has its copies again', 60_000)
    for (const { path, bytes } of files)
      expect(await cluster.run((left[0] as SimNode).fs.readFile(path))).toEqual(bytes)
  })

  it('the same when most of those that keep the tree go at once, and the others begin a branch', async () => {
    const { cluster, nodes, files } = await withFiles(6, 81, 12)
    const isMember = ({ disk }: SimNode) => [...disk.logs.keys()].some((name) => name.startsWith('tree/'))
    const members = nodes.filter(isMember)
    for (const lost of members.slice(0, 2)) {
      lost.crash()
      cluster.forget(lost)
    }
    const left = nodes.filter((node) => !members.slice(0, 2).includes(node))
    const whole = () => files.every((file) => holders(left, file).length >= COPIES || holders(left, file).length === 0)
    await cluster.run((left[0] as SimNode).fs.writeFile('/after', 'x'))
    await cluster.until(whole, 'every leaf has its copies again', 90_000)
    // Three copies, and two are lost: one is left of each.
    for (const { path, bytes } of files)
      expect(await cluster.run((left[1] as SimNode).fs.readFile(path))).toEqual(bytes)
    await cluster.advance(10_000)
    const health = await cluster.run((left[2] as SimNode).os.info('health'))
    expect(health).toMatchObject({ under: 0, lost: 0, devices: 4 })
  })

  it('who comes back keeps what it kept, and what is too much goes', async () => {
    const { cluster, nodes, files } = await withFiles(6, 76, 12)
    const [, others] = await homeAndOthers(cluster, nodes)
    const away = others[1] as SimNode
    await cluster.run(away.close())
    const left = nodes.filter((node) => node !== away)
    const whole = () => files.every((file) => holders(left, file).length >= COPIES)
    await cluster.until(whole, 'every leaf has its copies again', 60_000)
    await cluster.run(away.boot())
    const exact = () => files.every((file) => keepers(nodes, file).length === COPIES)
    await cluster.until(exact, 'nothing is kept too often', 4 * SWEEP_AGAIN_MS)
    await cluster.advance(TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    // What nobody counts on is freed, and nothing else is.
    for (const file of files) expect(holders(nodes.slice(1), file).length).toBeLessThanOrEqual(COPIES + 1)
    for (const { path, bytes } of files) expect(await cluster.run(away.fs.readFile(path))).toEqual(bytes)
  })

  it('who has no room any more is relieved', async () => {
    const { cluster, nodes, files } = await withFiles(7, 80, 16)
    const [, others] = await homeAndOthers(cluster, nodes.slice(1))
    const full = others[0] as SimNode
    const kept = files.filter((file) => keepers([full], file).length > 0)
    expect(kept.length).toBeGreaterThan(2)
    full.disk.quotaBytes = full.disk.usedBytes() + UNIT / 2
    await cluster.advance(TOUCHED_MS)
    const written = cluster.random.bytes(UNIT)
    const tryToWrite = async () => (await codeOf(full.fs.writeFile('/more', written))) === 'ok'
    for (let i = 0; i < 10 && !(await cluster.run(tryToWrite())); i++) await cluster.advance(TOUCHED_MS)
    expect(await cluster.run((nodes[0] as SimNode).fs.readFile('/more'))).toEqual(written)
    await cluster.advance(4 * SWEEP_AGAIN_MS)
    expect(kept.filter((file) => keepers([full], file).length > 0).length).toBeLessThan(kept.length)
    for (const file of files) expect(keepers(nodes, file).length).toBeGreaterThanOrEqual(COPIES)
    for (const { path, bytes } of files) expect(await cluster.run(full.fs.readFile(path))).toEqual(bytes)
  })

  it('what no version needs is freed everywhere, and what one needs is not', async () => {
    const { cluster, nodes, files } = await withFiles(6, 77, 8)
    const writer = nodes[0] as SimNode
    for (const { path } of files.slice(0, 4)) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).snapshot('kept'))
    for (const { path } of files.slice(4, 6)) await cluster.run(writer.fs.rm(path))
    await cluster.advance(TOUCHED_MS)
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    const gone = files.slice(0, 4)
    for (const file of gone) expect(keepers(nodes, file)).toHaveLength(0)
    for (const file of gone) expect(holders(nodes.slice(1), file)).toHaveLength(0)
    for (const file of files.slice(4)) expect(keepers(nodes, file)).toHaveLength(COPIES)
    await cluster.run(new Keg(writer.os).checkout('kept'))
    for (const { path, bytes } of files.slice(4)) expect(await cluster.run(writer.fs.readFile(path))).toEqual(bytes)
  })

  it('a keg may have more copies or fewer, and fsck says so', async () => {
    const { cluster, nodes } = await withFiles(7, 78, 0)
    const writer = nodes[0] as SimNode
    const keg = new Keg(writer.os)
    await cluster.run(keg.create('/scratch'))
    await cluster.run(keg.setCopies(1, { path: '/scratch' }))
    await cluster.run(keg.create('/precious'))
    await cluster.run(keg.setCopies(5, { path: '/precious' }))
    await cluster.advance(10_000)
    const [scratch, precious] = [
      await writeAll(cluster, writer, 6, '/scratch'),
      await writeAll(cluster, writer, 6, '/precious'),
    ]
    await cluster.advance(10_000)
    for (const file of scratch) expect(keepers(nodes, file)).toHaveLength(1)
    for (const file of precious) expect(keepers(nodes, file)).toHaveLength(5)
    const check = async (path: string) => cluster.run(writer.os.call('info', { topic: 'health', path }))
    // What is acknowledged is so.
    const bytes = cluster.random.bytes(UNIT)
    const ackOf = async (path: string, ack?: 'all' | 'majority') => {
      return (await cluster.run(writer.fs.writeFile(path, bytes, ack ? { ack } : {}))).ack
    }
    expect(await ackOf('/scratch/one')).toEqual({ level: 'local', devices: 1 })
    await expect(ackOf('/scratch/two', 'majority')).rejects.toMatchObject({ code: 'ENOQUORUM' })
    expect((await ackOf('/precious/one'))?.devices).toBeGreaterThanOrEqual(2)
    expect(await ackOf('/precious/two', 'all')).toEqual({ level: 'all', devices: 3 })
    expect(await check('/precious')).toMatchObject({ target: 4, under: 0, lost: 0 })
    expect(await check('/scratch')).toMatchObject({ target: 1, under: 0, lost: 0 })
    await cluster.run(keg.setCopies(2, { path: '/precious' }))
    const fewer = () => precious.every((file) => keepers(nodes, file).length <= 2)
    await cluster.until(fewer, 'fewer are kept', 4 * SWEEP_AGAIN_MS)
    for (const file of precious) expect(holders(nodes, file).length).toBeGreaterThanOrEqual(2)
    await expect(cluster.run(keg.setCopies(0, { path: '/scratch' }))).rejects.toMatchObject({ code: 'EINVAL' })
  })
})

describe('a stranger', () => {
  it('cannot have anything freed', async () => {
    const { cluster, nodes, files } = await withFiles(6, 79, 6)
    const [file] = files as [Stored]
    const [victim] = keepers(nodes, file) as [SimNode]
    const [journal] = nodes.flatMap(({ disk }) => [...disk.logs.keys()].filter((name) => name.startsWith('tree/')))
    const tree = (journal as string).slice('tree/'.length)
    const network = new MemoryNetwork(cluster.hub, nodeId('1'))
    const peer = new RawPeer(network, victim.id)
    await network.start()
    await cluster.run(network.connect(victim.id))
    const { control } = await cluster.run(peer.greet({ cluster: 'sim' }))
    await cluster.advance(1_000)
    control.send([FRAME.NOTE, 'tree.release', { tree, cids: [file.cid] }])
    control.send([FRAME.NOTE, 'tree.forgotten', { tree, roots: [], soon: true }])
    control.send([FRAME.NOTE, 'tree.release', { tree, cids: ['nonsense'] }])
    await cluster.advance(TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    expect(keepers([victim], file)).toHaveLength(1)
    expect(victim.disk.blocks.has(file.cid)).toBe(true)
  })
})
