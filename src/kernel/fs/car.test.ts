import { CarReader, CarWriter } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { beforeEach, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../adapters/memory/random.ts'
import { concat, fromUtf8, utf8 } from '../../base/bytes.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, newCluster, oneHome, snapshot, type TestCluster } from '../cluster.contract.ts'
import { carOf, imported } from './importer.contract.ts'

const MIB = 1024 * 1024
const noise = new SeededRandom(5).bytes(3 * MIB)

type Files = Record<string, Uint8Array>

let cluster: TestCluster
let node: SimNode
beforeEach(async () => {
  cluster = newCluster({ seed: 1 })
  cluster.hub.setRelay(false)
  node = cluster.addNode()
  await cluster.run(node.boot())
})

async function write(files: Files): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const folder = `/dir${path}`.split('/').slice(0, -1).join('/')
    await cluster.run(node.fs.mkdir(folder, { recursive: true }))
    await cluster.run(node.fs.writeFile(`/dir${path}`, content))
  }
}
const importTo = (bytes: Uint8Array, to = '/got') =>
  cluster.run(
    (async () => {
      await node.fs.writeFile('/in.car', bytes)
      await node.os.call('change', { op: 'import', from: '/in.car', to })
    })(),
  )
async function readAll(at: string): Promise<Files> {
  const out: Files = {}
  for (const entry of await cluster.run(node.fs.readdir(at, { withFileTypes: true }))) {
    const path = `/${entry.name}`
    if (!entry.isDirectory()) out[path] = await cluster.run(node.fs.readFile(at + path))
    else for (const [below, bytes] of Object.entries(await readAll(at + path))) out[path + below] = bytes
  }
  return out
}
const same = (a: Files, b: Files) => {
  expect(Object.keys(a).sort()).toEqual(Object.keys(b).sort())
  for (const [path, bytes] of Object.entries(a)) expect(Buffer.compare(bytes, b[path] as Uint8Array), path).toBe(0)
}

const FILES: Files = {
  '/a.txt': utf8('hello\n'),
  '/empty': new Uint8Array(0),
  '/deep/er/big.bin': noise.subarray(0, 2 * MIB + 7),
  '/deep/er/same.bin': noise.subarray(0, 2 * MIB + 7),
  '/deep/one block': noise.subarray(0, MIB),
  '/ünïcödé ☂': utf8('umbrella'),
  [`/${'n'.repeat(255)}`]: utf8('long'),
}

describe('a CAR', () => {
  it('has the root and the blocks that IPFS tools give the same files, and is read by @ipld/car', async () => {
    await write(FILES)
    const theirs = await imported(FILES)
    const car = await cluster.run(node.fs.readFile('/car/dir.car'))
    expect(car.byteLength).toBe((await cluster.run(node.fs.stat('/car/dir.car'))).size)
    const reader = await CarReader.fromBytes(car)
    expect((await reader.getRoots()).map(String)).toEqual([String(theirs.root)])
    const blocks = new Map<string, Uint8Array>()
    for await (const { cid, bytes } of reader.blocks()) blocks.set(String(cid), bytes)
    expect([...blocks.keys()].sort()).toEqual([...theirs.blocks.keys()].sort())
    for (const [cid, bytes] of blocks) expect(Buffer.compare(bytes, theirs.blocks.get(cid) as Uint8Array)).toBe(0)
    expect([...blocks.keys()][0]).toBe(String(theirs.root))
    const info = await cluster.run(node.os.call('info', { topic: 'path', path: '/dir', plain: true }))
    expect(info).toMatchObject({ cid: String(theirs.root) })
  })

  it('is the same whatever piece of it is read', async () => {
    await write(FILES)
    const car = await cluster.run(node.fs.readFile('/car/dir.car'))
    const handle = await cluster.run(node.fs.open('/car/dir.car'))
    const offset = fc.nat(car.byteLength + 10)
    const length = fc.oneof(fc.nat(100), fc.nat(2 * MIB))
    await fc.assert(
      fc.asyncProperty(offset, length, async (at, count) => {
        const piece = await cluster.run(handle.read(at, count))
        expect(Buffer.compare(piece, car.subarray(at, at + count))).toBe(0)
      }),
      { numRuns: 60 },
    )
  })

  it('of a single file, of an old version, and of a folder below both', async () => {
    await write({ '/a': utf8('old') })
    await write({ '/a': utf8('new') })
    for (const [path, text] of [
      ['/car/dir/a.car', 'new'],
      ['/car/keg/HEAD~1/dir/a.car', 'old'],
    ] as const) {
      const reader = await CarReader.fromBytes(await cluster.run(node.fs.readFile(path)))
      const [root] = await reader.getRoots()
      expect(fromUtf8((await reader.get(root as CID))?.bytes as Uint8Array)).toBe(text)
    }
    expect(await cluster.run(node.fs.readdir('/car'))).toEqual(['dir', 'dir.car', 'home', 'home.car', 'tmp', 'tmp.car'])
    for (const path of ['/car/no.car', '/car/.car', '/car/dir.ca', '/car/keg/77/dir.car']) {
      expect(await codeOf(cluster.run(node.fs.readFile(path))), path).toBe('ENOENT')
    }
    expect(await codeOf(cluster.run(node.fs.writeFile('/car/x.car', 'x')))).toBe('EROFS')
  })

  it('that @ipld/car made of what an importer made comes into the tree', async () => {
    await importTo(await carOf(await imported(FILES)))
    same(await readAll('/got'), FILES)
    const again = await cluster.run(node.fs.readFile('/car/got.car'))
    expect(String((await (await CarReader.fromBytes(again)).getRoots())[0])).toBe(String((await imported(FILES)).root))
  })

  it('with sharded directories comes into the tree as well', async () => {
    const files = Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`/many/${i}.txt`, utf8(`${i}`)]))
    const made = await imported(files, { shardSplitThresholdBytes: 0 })
    await importTo(await carOf(made))
    same(await readAll('/got'), files)
  })

  it('goes out and comes back as it was, for any tree (property)', async () => {
    const name = fc.stringMatching(/^[a-zé☂. -]{1,12}$/).filter((text) => !/^\.{1,2}$/.test(text))
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`)
    const size = fc.oneof({ weight: 5, arbitrary: fc.nat(5_000) }, { weight: 1, arbitrary: fc.nat(1.5 * MIB) })
    const bytes = fc.tuple(fc.nat(MIB), size).map(([from, length]) => noise.subarray(from, from + length))
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.dictionary(path, bytes, { minKeys: 1, maxKeys: 6 }), async (tree) => {
        const files = Object.fromEntries(
          Object.entries(tree).filter(([each]) => !Object.keys(tree).some((other) => other.startsWith(`${each}/`))),
        )
        await write(files)
        const theirs = await imported(files)
        const info = await cluster.run(node.os.call('info', { topic: 'path', path: '/dir', plain: true }))
        expect(info).toMatchObject({ cid: String(theirs.root) })
        const to = `/back${run++}`
        await importTo(await cluster.run(node.fs.readFile('/car/dir.car')), to)
        same(await readAll(to), files)
        await cluster.run(node.fs.rm('/dir', { recursive: true }))
      }),
      { numRuns: 25 },
    )
  })
})

describe('a CAR that is wrong is refused, and the tree stays as it was', () => {
  const text = utf8('what it is')
  let good: Uint8Array
  let root: CID
  let before: Record<string, string>
  beforeEach(async () => {
    const made = await imported({ '/f': text })
    root = made.root
    good = await carOf(made)
    await cluster.run(node.fs.writeFile('/in.car', ''))
    before = await snapshot(cluster, node)
  })
  const changed = (at: number, by: number) => good.map((byte, i) => (i === at ? byte ^ by : byte))
  const withRoots = async (roots: CID[], blocks: [CID, Uint8Array][] = []) => {
    const { writer, out } = CarWriter.create(roots)
    const parts: Uint8Array[] = []
    const read = (async () => {
      for await (const part of out) parts.push(part)
    })()
    for (const [cid, bytes] of blocks) await writer.put({ cid, bytes })
    await writer.close()
    await read
    return concat(parts)
  }

  it.each<[string, () => Uint8Array | Promise<Uint8Array>, string]>([
    ['empty', () => new Uint8Array(0), 'EINVAL'],
    ['no CAR', () => utf8('a text that is no CAR at all, but long enough to look like one'), 'EINVAL'],
    ['cut in the middle', () => good.subarray(0, -3), 'EINVAL'],
    ['with another byte in a block', () => changed(good.length - 1, 1), 'EINVAL'],
    ['with a block of 8 GiB', () => concat([good, new Uint8Array([0x80, 0x80, 0x80, 0x80, 0x20])]), 'EINVAL'],
    ['with a length that does not end', () => concat([good, new Uint8Array(20).fill(0x80)]), 'EINVAL'],
    ['with an empty section', () => concat([good, new Uint8Array(1)]), 'EINVAL'],
    ['with a section that has no CID', () => concat([good, new Uint8Array([3, 1, 2, 3])]), 'EINVAL'],
    ['without a root', () => withRoots([]), 'EINVAL'],
    ['with two roots', () => withRoots([root, root]), 'EINVAL'],
    [
      'with a root of version 0',
      () => withRoots([CID.parse('QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n')]),
      'EINVAL',
    ],
    ['without the root’s block', () => withRoots([root]), 'EIO'],
  ])('%s', async (_what, make, code) => {
    expect(await codeOf(importTo(await make()))).toBe(code)
    await cluster.run(node.fs.writeFile('/in.car', ''))
    expect(await snapshot(cluster, node)).toEqual(before)
  })

  it('through a link that leads out of the tree, or to nothing', async () => {
    await cluster.run(node.fs.symlink('/bin', '/out'))
    await cluster.run(node.fs.symlink('/nowhere', '/dead'))
    expect(await codeOf(importTo(good, '/out/x'))).toBe('EROFS')
    expect(await codeOf(importTo(good, '/dead/x'))).toBe('ENOENT')
  })

  it('that is a bomb of shards, or tells sizes that cannot be', async () => {
    const made = new Map<string, Uint8Array>()
    const put = (block: Uint8Array) => {
      const cid = CID.createV1(0x70, createDigest(0x12, sha256(block)))
      made.set(String(cid), block)
      return cid
    }
    const shard = (links: CID[]) => {
      const data = new UnixFS({
        type: 'hamt-sharded-directory',
        fanout: 256n,
        hashType: 0x22n,
        data: new Uint8Array(0),
      })
      const Links = links.map((Hash, i) => ({ Name: i.toString(16).padStart(2, '0').toUpperCase(), Hash, Tsize: 1 }))
      return put(dagPb.encode(dagPb.prepare({ Data: data.marshal(), Links })))
    }
    let top = shard([])
    for (let depth = 0; depth < 5; depth++) top = shard(Array.from({ length: 200 }, () => top))
    expect(await codeOf(importTo(await carOf({ root: top, blocks: made })))).toBe('EIO')
    made.clear()
    const leaf = put(
      dagPb.encode(dagPb.prepare({ Data: new UnixFS({ type: 'file', data: text }).marshal(), Links: [] })),
    )
    const file = new UnixFS({ type: 'file' })
    file.addBlockSize(2n ** 60n)
    const huge = put(dagPb.encode(dagPb.prepare({ Data: file.marshal(), Links: [{ Name: '', Hash: leaf, Tsize: 1 }] })))
    expect(await codeOf(importTo(await carOf({ root: huge, blocks: made }), '/huge'))).toBe('EIO')
  })

  it.each<[string, (bytes: Uint8Array) => [Uint8Array, number]]>([
    ['raw', (bytes) => [bytes, 0x55]],
    ['UnixFS', (data) => [encoded(new UnixFS({ type: 'file', data }), []), 0x70]],
  ])('that has a file of whose leaves, which are %s, one is not as long as it says', async (_what, leafOf) => {
    const made = new Map<string, Uint8Array>()
    const put = (block: Uint8Array, codec: number) => {
      const cid = CID.createV1(codec, createDigest(0x12, sha256(block)))
      made.set(String(cid), block)
      return cid
    }
    const leaf = put(...leafOf(text))
    const of = (sizes: number[]) => {
      const file = new UnixFS({ type: 'file' })
      for (const size of sizes) file.addBlockSize(BigInt(size))
      return put(encoded(file, Array(sizes.length).fill(leaf)), 0x70)
    }
    for (const sizes of [[text.length, 5], [50]]) {
      expect(await codeOf(importTo(await carOf({ root: of(sizes), blocks: made }), '/wrong'))).toBe('EIO')
    }
    await importTo(await carOf({ root: of([text.length, text.length]), blocks: made }), '/right')
    expect(await cluster.run(node.fs.readFile('/right'))).toEqual(concat([text, text]))
  })

  it('that has a file of more leaves, or levels, than a file may have', async () => {
    const made = new Map<string, Uint8Array>()
    const leaf = stored(made, text, 0x55)
    const broad = unfolding(made, leaf, text.length, [8, 8, 8, 8, 8, 8, 8])
    expect(await codeOf(importTo(await carOf({ root: broad.cid, blocks: made }), '/broad'))).toBe('EIO')
    const deep = unfolding(made, leaf, text.length, Array(13).fill(1))
    expect(await codeOf(importTo(await carOf({ root: deep.cid, blocks: made }), '/deep'))).toBe('EIO')
    const most = unfolding(made, leaf, text.length, [8, 8, 8, 8, 8, 8, 1, 1, 1, 1, 1, 1])
    await importTo(await carOf({ root: most.cid, blocks: made }), '/most')
    expect((await cluster.run(node.fs.stat('/most'))).size).toBe(most.size)
  })

  it('when something is there already', async () => {
    expect(await codeOf(importTo(good, '/tmp'))).toBe('EEXIST')
    expect(await codeOf(importTo(good, '/bin/x'))).toBe('EROFS')
  })
})

function stored(made: Map<string, Uint8Array>, block: Uint8Array, codec = 0x70): CID {
  const cid = CID.createV1(codec, createDigest(0x12, sha256(block)))
  made.set(String(cid), block)
  return cid
}

/** A file that has one block over and over: `fanouts` tells how often each level has the one below. */
function unfolding(made: Map<string, Uint8Array>, leaf: CID, bytes: number, fanouts: readonly number[]) {
  let [cid, size] = [leaf, bytes]
  for (const fanout of fanouts) {
    const file = new UnixFS({ type: 'file' })
    for (let i = 0; i < fanout; i++) file.addBlockSize(BigInt(size))
    cid = stored(made, encoded(file, Array(fanout).fill(cid)))
    size *= fanout
  }
  return { cid, size }
}

describe('what nothing needs of a CAR', () => {
  const bytesOf = () => [...node.disk.blocks.values()].reduce((sum, each) => sum + each.byteLength, 0)

  it('does not stay: all of one that is wrong, however often it is tried, and what is below no root', async () => {
    const made = await imported(FILES)
    const files = [...made.blocks.keys()].filter((cid) => CID.parse(cid).code === 0x55)
    // More than is stored with one transaction.
    for (let i = 0; i < 12; i++) stored(made.blocks, noise.subarray(i + 1, MIB + i), 0x55)
    const car = await carOf(made)
    const wrong = car.map((byte, i) => (i === car.length - 1 ? byte ^ 1 : byte))
    let before = 0
    const importing = async (bytes: Uint8Array) => {
      await cluster.run(node.fs.writeFile('/in.car', bytes))
      before = bytesOf()
      return codeOf(cluster.run(node.os.call('change', { op: 'import', from: '/in.car', to: '/got' })))
    }
    for (const bytes of [wrong, car.subarray(0, -1), wrong]) {
      expect(await importing(bytes)).toBe('EINVAL')
      expect(bytesOf()).toBe(before)
    }
    expect(await importing(car)).toBe('ok')
    same(await readAll('/got'), FILES)
    const needed = files.reduce((sum, cid) => sum + (made.blocks.get(cid) as Uint8Array).byteLength, 0)
    expect(bytesOf() - before).toBeLessThan(needed + MIB / 4)
  })
})

describe('a CAR of many files that unfold into hundreds of thousands of leaves each', () => {
  // Leaf by leaf it would take minutes, in which this node does nothing else.
  it('comes into the tree, is looked after and checked, each of its blocks once', async () => {
    const made = new Map<string, Uint8Array>()
    const { cid, size } = unfolding(made, stored(made, utf8('x'), 0x55), 1, [8, 8, 8, 8, 8, 8])
    const Links = Array.from({ length: 400 }, (_, i) => {
      const own = stored(made, utf8(`own ${i + 100}`), 0x55)
      const file = new UnixFS({ type: 'file', blockSizes: [BigInt(size), 7n] })
      return { Name: `f${i}`, Hash: stored(made, encoded(file, [cid, own])), Tsize: 1 }
    })
    const Data = new UnixFS({ type: 'directory' }).marshal()
    const root = stored(made, dagPb.encode(dagPb.prepare({ Data, Links })))
    await importTo(await carOf({ root, blocks: made }))
    const health = await cluster.run(node.os.call('info', { topic: 'health', path: '/got' }))
    expect(health).toMatchObject({ files: 400, logicalBytes: 400 * (size + 7), lost: 0 })
    const last = await cluster.run(node.fs.open('/got/f399'))
    expect(fromUtf8(await cluster.run(last.read(size - 1, 1)))).toBe('x')
    expect(fromUtf8(await cluster.run(last.read(size, 7)))).toBe('own 499')
  })
})

function encoded(unixfs: UnixFS, links: CID[]): Uint8Array {
  return dagPb.encode({ Data: unixfs.marshal(), Links: links.map((Hash) => ({ Name: '', Hash, Tsize: 1 })) })
}

describe('a CAR of a file that others keep', () => {
  it('is read over the network once, though its blocks end in the middle of what is read at a time', async () => {
    const shared = newCluster()
    const nodes = await boot(shared, 7)
    await oneHome(shared)
    await shared.run((nodes[0] as SimNode).fs.writeFile('/f', shared.random.bytes(6 * MIB), { ack: 'all' }))
    await shared.advance(10_000)
    const bytesOf = ({ disk }: SimNode) => [...disk.blocks.values()].reduce((sum, each) => sum + each.byteLength, 0)
    const [reader] = [...nodes].sort((a, b) => bytesOf(a) - bytesOf(b)) as [SimNode]
    const missing = 6 * MIB - bytesOf(reader)
    const before = shared.hub.traffic.bytes
    const read = async () => {
      let bytes = 0
      for await (const piece of reader.fs.read('/car/f.car')) bytes += piece.byteLength
      return bytes
    }
    expect(await shared.run(read())).toBeGreaterThan(6 * MIB)
    expect(shared.hub.traffic.bytes - before).toBeLessThan(1.2 * missing)
  })
})
