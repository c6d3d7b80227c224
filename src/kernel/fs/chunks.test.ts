// Files that are cut by content: what says so, and that it stays so whatever is done with them.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { contentChunker } from './chunker.ts'

async function one(seed = 1): Promise<{ cluster: TestCluster; node: SimNode; keg: Keg }> {
  const cluster = newCluster({ seed })
  const [node] = (await boot(cluster, 1)) as [SimNode]
  return { cluster, node, keg: new Keg(node.os) }
}

describe('a file cut by content', () => {
  it('is what is made in a directory that says so, and below it, also by copying and moving', async () => {
    const { cluster, node, keg } = await one()
    const { fs } = node
    const cut = async (path: string) => (await cluster.run(fs.stat(path))).info.chunks
    await cluster.run(fs.mkdir('/images'))
    await cluster.run(keg.chunks('/images', 'content'))
    await cluster.run(fs.mkdir('/images/deep/er', { recursive: true }))
    const text = 'some text of which there are many versions\n'.repeat(2_000)
    for (const path of ['/images/a', '/images/deep/er/b', '/c']) await cluster.run(fs.writeFile(path, text))
    expect(await cut('/images')).toBe('content')
    expect([await cut('/images/a'), await cut('/images/deep/er/b'), await cut('/c')]).toEqual([
      'content',
      'content',
      undefined,
    ])
    await cluster.run(fs.appendFile('/images/a', text))
    await cluster.run(fs.copyFile('/images/a', '/copied'))
    await cluster.run(fs.rename('/images/deep', '/moved'))
    await cluster.run(fs.writeFile('/images/a', `${text}!`))
    await cluster.run(fs.chmod('/copied', 0o600))
    for (const path of ['/images/a', '/copied', '/moved', '/moved/er/b']) expect(await cut(path)).toBe('content')
    expect(await cluster.run(fs.readFile('/images/a', 'utf8'))).toBe(`${text}!`)
    expect(await cluster.run(fs.readFile('/copied', 'utf8'))).toBe(text + text)
    await cluster.run(keg.checkout('HEAD~3', '/images'))
    expect(await cut('/images/a')).toBe('content')
    await cluster.run(keg.chunks('/images', 'fixed'))
    await cluster.run(fs.writeFile('/images/d', text))
    expect(await cut('/images/d')).toBeUndefined()
  })

  it('becomes one, and none again, without anything else of it being another', async () => {
    const { cluster, node, keg } = await one(2)
    const bytes = cluster.random.bytes(3_000_000)
    await cluster.run(node.fs.writeFile('/a', bytes))
    await cluster.run(node.fs.chmod('/a', 0o640))
    const { info: before } = await cluster.run(node.fs.stat('/a'))
    await cluster.run(keg.chunks('/a', 'content'))
    const { info } = await cluster.run(node.fs.stat('/a'))
    expect(info).toMatchObject({ chunks: 'content', mode: 0o640, mtimeMs: before.mtimeMs, size: before.size })
    expect(info.cid).not.toBe(before.cid)
    expect(await cluster.run(node.fs.readFile('/a'))).toEqual(bytes)
    await cluster.run(keg.chunks('/a', 'fixed'))
    expect((await cluster.run(node.fs.stat('/a'))).info).toEqual(before)
  })

  it('is refused where that cannot be', async () => {
    const { cluster, node, keg } = await one(3)
    await cluster.run(node.fs.symlink('/nowhere', '/l'))
    const codes = ['/nothing', '/proc', '/', '/l'].map((path) => codeOf(keg.chunks(path, 'content')))
    expect(await cluster.run(Promise.all(codes))).toEqual(['ENOENT', 'EROFS', 'EPERM', 'ENOENT'])
  })

  it('stays one in a branch that is merged, with the directory that says so', async () => {
    const cluster = newCluster({ seed: 4 })
    const nodes = await boot(cluster, 3)
    const [, others] = await homeAndOthers(cluster, nodes)
    const [lone, there] = others as [SimNode, SimNode]
    for (const node of nodes) if (node !== lone) cluster.hub.setPartition(lone.id, node.id, true)
    await cluster.advance(8_000)
    await cluster.run(lone.fs.mkdir('/images'))
    await cluster.run(new Keg(lone.os).chunks('/images', 'content'))
    await cluster.run(lone.fs.writeFile('/images/a', 'alone'))
    for (const node of nodes) if (node !== lone) cluster.hub.setPartition(lone.id, node.id, false)
    await oneHome(cluster)
    await cluster.until(async () => (await codeOf(there.fs.stat('/images/a'))) === 'ok', 'it is merged')
    for (const path of ['/images', '/images/a']) {
      expect((await cluster.run(there.fs.stat(path))).info.chunks).toBe('content')
    }
  })
})

describe('cutting by content', () => {
  it('keeps to its sizes, whatever the content', () => {
    for (const content of [new Uint8Array(100_000), new Uint8Array(100_000).fill(255)]) {
      expect(contentChunker.leaf(content, false)).toBe(12_288)
    }
    expect(contentChunker.leaf(new Uint8Array(12_287), false)).toBe(0)
    expect(contentChunker.leaf(new Uint8Array(12_287), true)).toBe(12_287)
    expect(contentChunker.leaf(new Uint8Array(0), true)).toBe(0)
    const children = Array.from({ length: 200 }, () => ({ cid: 'bafkreib' }))
    expect(contentChunker.node(children, 0)).toBe(64)
    expect(contentChunker.node(children, 190)).toBe(10)
    expect(
      contentChunker.node(
        Array.from({ length: 200 }, () => ({ cid: 'bafkreia' })),
        0,
      ),
    ).toBe(8)
  })

  it('is where it always was, or nothing that is stored would be found again', () => {
    const content = new Uint8Array(40_000)
    for (let at = 0, seed = 1; at < content.byteLength; at++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      content[at] = seed >>> 24
    }
    const sizes: number[] = []
    for (let at = 0; at < content.byteLength; at += sizes.at(-1) as number) {
      sizes.push(contentChunker.leaf(content.subarray(at), true))
    }
    expect(sizes).toEqual([
      1548, 1935, 596, 1967, 1277, 788, 2110, 3618, 4083, 654, 2429, 2374, 2812, 2834, 2607, 1696, 3208, 1918, 1546,
    ])
  })
})
