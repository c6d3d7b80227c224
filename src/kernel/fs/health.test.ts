import { beforeEach, describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { Progress, TreeHealth } from '../../syscalls/types.ts'
import { boot, codeOf, newCluster, type TestCluster } from '../cluster.contract.ts'
import { PLACED_BYTES } from '../limits.ts'

const MIB = 1024 * 1024
const big = (fill: number) => new Uint8Array(2 * MIB + 5).map((_, i) => (i >> 12) ^ (31 * (i >> 20)) ^ (fill << 4))

let cluster: TestCluster
let nodes: SimNode[]
const first = () => nodes[0] as SimNode

async function start(count: number): Promise<void> {
  cluster = newCluster({ seed: 21 })
  nodes = await boot(cluster, count)
  await cluster.advance(10_000)
}
const check = (path = '/'): Promise<TreeHealth> =>
  cluster.run(first().os.call('info', { topic: 'health', path }) as Promise<TreeHealth>)

describe('what takes long', () => {
  it('tells how far it is: nodes that repair, and blocks that were asked for', async () => {
    cluster = newCluster({ seed: 21, latencyMs: [150, 200] })
    nodes = await boot(cluster, 3)
    await cluster.advance(10_000)
    await cluster.run(first().fs.writeFile('/a', big(1), { ack: 'all' }))
    const told: Progress[] = []
    const onProgress = (progress: Progress) => void told.push(progress)
    await cluster.run(first().os.call('change', { op: 'repair' }, { onProgress }))
    expect(told.at(-1)).toMatchObject({ total: 3, unit: 'nodes' })
    const { blocks } = (await cluster.run(first().os.call('info', { topic: 'health' }, { onProgress }))) as TreeHealth
    expect(told.at(-1)).toMatchObject({ total: 3 * blocks, unit: 'blocks' })
  })
})

describe('the health of / on three devices', () => {
  beforeEach(async () => {
    await start(3)
    await cluster.run(first().fs.mkdir('/d'))
    await cluster.run(first().fs.writeFile('/d/a', big(1)))
    await cluster.run(first().fs.writeFile('/d/b', 'small', { ack: 'all' }))
  })

  it('counts files and bytes: each as often as it is there, once, and on all nodes together', async () => {
    await cluster.run(first().os.call('change', { op: 'copy', from: '/d', to: '/copy' }))
    await cluster.advance(1_000)
    const size = 2 * MIB + 5 + 5
    expect(await check()).toEqual({
      ...{ files: 4, directories: 5, blocks: 8, logicalBytes: 2 * size, storedBytes: size, physicalBytes: 3 * size },
      ...{ devices: 3, target: 2, under: 0, lost: 0, troubles: [], silent: [] },
    })
    expect(await check('/d/b')).toMatchObject({ files: 1, directories: 0, blocks: 1, logicalBytes: 5 })
    expect(await codeOf(check('/nothing'))).toBe('ENOENT')
  })

  it('names what is on too few devices and what is lost, and repair brings back what somebody has', async () => {
    const info = (await cluster.run(first().fs.stat('/d/b'))).info
    for (const node of nodes.slice(1)) node.disk.blocks.delete(info.cid as string)
    const under = await check()
    expect(under).toMatchObject({ under: 1, lost: 0, troubles: [{ path: '/d/b', cid: info.cid, devices: 1 }] })
    await cluster.run(first().os.call('change', { op: 'repair' }))
    expect(await check()).toMatchObject({ under: 0, lost: 0, troubles: [] })
    for (const node of nodes) node.disk.blocks.delete(info.cid as string)
    await cluster.run(first().os.call('change', { op: 'repair' }))
    expect(await check()).toMatchObject({ lost: 1, troubles: [{ path: '/d/b', devices: 0 }] })
    await cluster.run(first().fs.mkdir('/e'))
    await cluster.run(first().fs.writeFile('/e/f', 'in a directory that is lost', { ack: 'all' }))
    const directory = await cluster.run(first().fs.stat('/e'))
    const root = (await cluster.run(first().fs.stat('/d/a'))).info.cid as string
    for (const node of nodes) node.disk.blocks.delete(root)
    expect(await check()).toMatchObject({ lost: 2, troubles: [{ path: '/d/a', cid: root, devices: 0 }, {}] })
    const cid = directory.info.cid as string
    for (const node of nodes) node.disk.blocks.delete(cid)
    const reloaded = nodes[1] as SimNode // which does not remember the directory
    reloaded.crash()
    await cluster.run(reloaded.boot())
    await cluster.advance(20_000)
    const health = await cluster.run(reloaded.os.call('info', { topic: 'health' }))
    expect(health).toMatchObject({ lost: 3, troubles: expect.arrayContaining([{ path: '/e', cid, devices: 0 }]) })
  })

  it('repairs what can be repaired where something else is lost', async () => {
    for (const name of ['/a', '/z']) {
      await cluster.run(first().fs.mkdir(name))
      await cluster.run(first().fs.writeFile(`${name}/f`, `${name}`, { ack: 'all' }))
    }
    const cidOf = async (path: string) => (await cluster.run(first().fs.stat(path))).info.cid as string
    const [directory, file] = [await cidOf('/a'), await cidOf('/z/f')]
    for (const node of nodes) node.disk.blocks.delete(directory)
    for (const node of nodes.slice(1)) node.disk.blocks.delete(file)
    for (const node of nodes) {
      node.crash()
      await cluster.run(node.boot())
    }
    await cluster.advance(20_000)
    expect(await check()).toMatchObject({ lost: 1, under: 1 })
    await cluster.run(first().os.call('change', { op: 'repair' }))
    expect(await check()).toMatchObject({ lost: 1, under: 0 })
  })

  it('names who is here and does not say what it has, whose disk is busy: that is not lost', async () => {
    const { cid } = (await cluster.run(first().fs.stat('/d/b'))).info
    for (const node of nodes.slice(0, 2)) node.disk.blocks.delete(cid as string)
    const busy = nodes[2] as SimNode
    busy.disk.read = () => new Promise(() => undefined)
    expect(await check()).toMatchObject({ lost: 1, troubles: [{ path: '/d/b' }], silent: [busy.id] })
  })
})

describe('the health of what is in two kegs', () => {
  it('is judged by the one that asks for more copies', async () => {
    await start(5)
    const keg = new Keg(first().os)
    await cluster.run(keg.create('/z'))
    await cluster.run(keg.setCopies(5, { path: '/z' }))
    const bytes = cluster.random.bytes(PLACED_BYTES)
    for (const path of ['/a', '/z/a']) await cluster.run(first().fs.writeFile(path, bytes, { ack: 'all' }))
    await cluster.advance(10_000)
    const cid = (await cluster.run(first().fs.stat('/a'))).info.cid as string
    for (const node of nodes.slice(0, 2)) node.disk.blocks.delete(cid)
    expect(await check('/z')).toMatchObject({ under: 1 })
    expect(await check('/')).toMatchObject({ under: 1, troubles: [{ path: '/z/a', devices: 3 }] })
  })
})

describe('the health of / on one device', () => {
  it('asks for no more copies than there are devices', async () => {
    await start(1)
    await cluster.run(first().fs.writeFile('/a', 'x'))
    expect(await check()).toMatchObject({ devices: 1, target: 1, under: 0, lost: 0 })
  })
})
