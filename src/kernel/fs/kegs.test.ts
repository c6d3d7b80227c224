import * as dagPb from '@ipld/dag-pb'
import { encode } from 'cborg'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, meshed, newCluster, snapshot, type TestCluster } from '../cluster.contract.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { decodeDirectory } from './directory.ts'
import { resolve, Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'

let cluster: TestCluster
let nodes: SimNode[]
let a: SimNode
let b: SimNode

beforeEach(async () => {
  cluster = newCluster({ seed: 11, programs: true })
  nodes = await boot(cluster, 4)
  ;[a, b] = nodes as [SimNode, SimNode]
})

const run = <T>(work: Promise<T>) => cluster.run(work)
const read = (node: SimNode, path: string) => run(node.fs.readFile(path, 'utf8'))
const kegAt = async (node: SimNode, path: string) => (await run(node.fs.stat(path))).info.keg as Kid
const kegOf = (node: SimNode) => new Keg(node.os)
const rows = (node: SimNode) => run(kegOf(node).list())

/** A mounted keg with a file. */
async function made(path = '/data'): Promise<Kid> {
  await run(kegOf(a).create(path))
  await run(a.fs.writeFile(`${path}/f`, 'one'))
  return kegAt(a, path)
}

describe('a keg that is mounted', () => {
  it('is written and read by every node like the rest of the tree', async () => {
    await made()
    for (const [i, node] of nodes.entries()) {
      expect(await read(node, '/data/f')).toBe('one')
      await run(node.fs.mkdir(`/data/d${i}/deep`, { recursive: true }))
      await run(node.fs.writeFile(`/data/d${i}/deep/x`, `${i}`))
    }
    expect(await run(b.fs.readdir('/data'))).toEqual(['d0', 'd1', 'd2', 'd3', 'f'])
    await run(b.fs.rename('/data/d0', '/data/e'))
    await run(a.fs.symlink('f', '/data/l'))
    expect(await read(a, '/data/e/deep/x')).toBe('0')
    expect(await read(b, '/data/l')).toBe('one')
    await run(b.fs.rm('/data/d1', { recursive: true }))
    await run(b.fs.chmod('/data/f', 0o600))
    expect((await run(a.fs.stat('/data/f'))).mode & 0o777).toBe(0o600)
    expect(await run(a.fs.readdir('/data'))).toEqual(['d2', 'd3', 'e', 'f', 'l'])
    expect((await run(a.fs.stat('/data'))).isDirectory()).toBe(true)
    expect(await run(a.fs.readdir('/'))).toContain('data')
  })

  it('has a journal and versions of its own: / has none of its changes', async () => {
    const keg = await made()
    const before = (await run(kegOf(a).log()))[0]?.version
    await run(b.fs.writeFile('/data/f', 'two'))
    await run(b.fs.rm('/data/f'))
    expect((await run(kegOf(a).log()))[0]?.version).toBe(before)
    const log = await run(kegOf(b).log({ path: '/data' }))
    expect(log.map(({ what }) => what)).toEqual(['remove /f', 'write /f', 'write /f', ''])
    expect(await run(kegOf(a).diff('2', 'HEAD', { path: '/data' }))).toMatchObject({
      changes: [{ what: 'removed', path: 'f' }],
    })
    expect(await read(a, `/keg/${keg}@3/f`)).toBe('two')
    await run(kegOf(a).checkout('2', '/data/f'))
    expect(await read(b, '/data/f')).toBe('one')
    expect(await read(b, `/keg/${keg}/f`)).toBe('one')
    expect(await codeOf(run(b.fs.writeFile(`/keg/${keg}/f`, 'x')))).toBe('EROFS')
    await run(kegOf(b).snapshot('good', 'HEAD', { path: '/data' }))
    expect(await read(a, `/keg/${keg}@good/f`)).toBe('one')
    expect(await codeOf(run(a.fs.readFile('/keg/good/f')))).toBe('ENOENT')
    await cluster.advance(1_000)
    await run(kegOf(b).gc({ keep: 1, forMs: 0, path: '/data' }))
    expect(await run(kegOf(a).log({ path: '/data', all: true }))).toHaveLength(1)
    expect((await run(kegOf(a).log())).length).toBeGreaterThan(1)
  })

  it('is found in /keg by the beginning of its KID, also by who has not looked into it', async () => {
    const keg = await made()
    const short = keg.slice(0, 14)
    const newcomer = cluster.addNode()
    await run(newcomer.boot())
    await meshed(cluster, [...nodes, newcomer])
    expect(await read(newcomer, `/keg/${short}/f`)).toBe('one')
    expect(await read(newcomer, `/keg/${keg.slice(0, 10)}@2/f`)).toBe('one')
    expect(await run(newcomer.fs.readdir(`/keg/${short}@1`))).toEqual([])
    expect(await codeOf(run(newcomer.fs.readdir(`/keg/${short}@77`)))).toBe('ENOENT')
    expect(await codeOf(run(newcomer.fs.readdir(`/keg/${short}g`)))).toBe('ENOENT')
    await run(kegOf(a).umount('/data'))
    expect(await read(a, `/keg/${short}/f`)).toBe('one')
  })

  it('is unmounted, and mounted again, with all that is in it', async () => {
    const keg = await made()
    await run(kegOf(b).umount('/data'))
    expect(await run(a.fs.readdir('/data'))).toEqual([])
    expect(await codeOf(run(a.fs.readFile('/data/f')))).toBe('ENOENT')
    await run(a.fs.rm('/data', { recursive: true }))
    expect(await rows(a)).toMatchObject([{ kid: keg, paths: [], version: 2 }])
    await run(kegOf(b).mount(keg, '/home/again'))
    expect(await read(a, '/home/again/f')).toBe('one')
    await run(kegOf(b).mount(keg, '/twice'))
    await run(a.fs.writeFile('/twice/g', 'g'))
    expect(await read(b, '/home/again/g')).toBe('g')
    for (const node of nodes)
      expect(await rows(node)).toMatchObject([{ kid: keg, paths: ['/home/again', '/twice'], version: 3 }])
  })

  it('comes back when / is what it was before', async () => {
    await made()
    const version = String((await run(kegOf(a).log()))[0]?.version)
    await run(kegOf(a).umount('/data'))
    await run(a.fs.rm('/data', { recursive: true }))
    await run(kegOf(b).checkout(version, '/data'))
    expect(await read(b, '/data/f')).toBe('one')
    await run(kegOf(a).umount('/data'))
    await run(kegOf(b).checkout(version))
    expect(await read(a, '/data/f')).toBe('one')
  })

  it('is copied from and to without a byte read, and moved from by copying', async () => {
    await made()
    await run(a.fs.mkdir('/data/d'))
    await run(a.fs.writeFile('/data/d/x', new Uint8Array(3 << 20).fill(1)))
    await run(b.fs.cp('/data/d', '/copy'))
    expect((await run(a.fs.readFile('/copy/x'))).length).toBe(3 << 20)
    await run(b.fs.cp('/copy', '/data/back'))
    await run(b.fs.cp('/copy/x', '/data/x'))
    await run(b.fs.cp('/data', '/all'))
    expect(await run(a.fs.readdir('/all'))).toEqual(['back', 'd', 'f', 'x'])
    expect((await run(a.fs.stat('/all'))).info.keg).toBeUndefined()
    expect(await codeOf(run(a.fs.rename('/data/f', '/f')))).toBe('EXDEV')
    expect(
      await codeOf(run(a.os.call('change', { op: 'copy', from: '/data/f', to: '/copy/x', exclusive: true }))),
    ).toBe('EEXIST')
    expect(await codeOf(run(a.fs.cp('/copy', '/data/d')))).toBe('ENOTEMPTY')
    expect(await codeOf(run(a.fs.cp('/copy', '/data/f')))).toBe('ENOTDIR')
    await run(a.fs.mkdir('/other'))
    await run(kegOf(a).create('/other/keg'))
    await run(a.fs.cp('/data/d', '/other/keg/d'))
    expect(await run(b.fs.readdir('/other/keg/d'))).toEqual(['x'])
  })

  it('is not removed, moved or replaced by what is done to directories', async () => {
    await made()
    await run(a.fs.mkdir('/empty'))
    for (const node of [a, b]) {
      const { fs } = node
      expect(await codeOf(run(fs.rm('/data', { recursive: true })))).toBe('EBUSY')
      expect(await codeOf(run(fs.rename('/data', '/moved')))).toBe('EBUSY')
      expect(await codeOf(run(fs.rename('/empty', '/data')))).toBe('EBUSY')
      expect(await codeOf(run(fs.cp('/empty', '/data')))).toBe('EBUSY')
      expect(await codeOf(run(fs.mkdir('/data')))).toBe('EEXIST')
      expect(await codeOf(run(fs.writeFile('/data', 'x')))).toBe('EISDIR')
      expect(await codeOf(run(kegOf(node).create('/data')))).toBe('EBUSY')
      expect(await codeOf(run(kegOf(node).create('/home/no/dir')))).toBe('ENOENT')
      expect(await codeOf(run(kegOf(node).create('/data/inner')))).toBe('EINVAL')
      expect(await codeOf(run(kegOf(node).create('/')))).toBe('EBUSY')
      expect(await codeOf(run(kegOf(node).create('/bin/x')))).toBe('EROFS')
      expect(await codeOf(run(kegOf(node).umount('/empty')))).toBe('EINVAL')
      expect(await codeOf(run(kegOf(node).umount('/nothing')))).toBe('ENOENT')
    }
    // What could not be mounted is nowhere.
    await cluster.advance(1_000)
    for (const node of nodes) expect(await rows(node)).toHaveLength(1)
  })

  it('leads links to where they say, in and out of it', async () => {
    await made()
    await run(a.fs.writeFile('/outside', 'out'))
    await run(a.fs.symlink('/outside', '/data/absolute'))
    await run(a.fs.symlink('../outside', '/data/relative'))
    await run(a.fs.symlink('/data/f', '/into'))
    await run(a.fs.symlink('data', '/alias'))
    for (const path of ['/data/absolute', '/data/relative']) {
      expect(await read(b, path)).toBe('out')
      await run(b.fs.writeFile(path, path))
      expect(await read(a, '/outside')).toBe(path)
      await run(a.fs.writeFile('/outside', 'out'))
    }
    await run(b.fs.writeFile('/into', 'in'))
    expect(await read(a, '/data/f')).toBe('in')
    await run(b.fs.writeFile('/alias/g', 'g'))
    expect(await read(a, '/data/g')).toBe('g')
    expect(await run(b.fs.realpath('/alias/g'))).toBe('/data/g')
    await run(a.fs.symlink('/data/loop', '/data/loop'))
    expect(await codeOf(run(a.fs.readFile('/data/loop')))).toBe('ELOOP')
    expect(await codeOf(run(a.fs.writeFile('/data/loop', '')))).toBe('ELOOP')
  })

  it('tells whoever watches of its changes', async () => {
    await made()
    const since = (await run(b.os.call('wait', { for: 'changes', path: '/data', recursive: true }))).version as string
    const told = b.os.call('wait', { for: 'changes', path: '/data', recursive: true, since })
    await run(a.fs.writeFile('/data/new', 'x'))
    expect((await run(told)).changes).toEqual([{ what: 'added', path: 'new' }])
  })
})

describe('tasks', () => {
  it('write into a keg and beside it in one event', async () => {
    await made()
    const program = `export async function start(_, os) {
      await os.fs.writeFile('/data/task', 'in')
      await os.fs.writeFile('/beside', 'out')
      await os.fs.cp('/data/f', '/copied')
      await os.fs.rename('/data/f', '/data/moved')
    }`
    await run(b.fs.writeFile('/p.js', program))
    const { kid } = await run(b.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    expect((await run(b.os.call('wait', { for: 'exit', kids: [kid] }))).exits).toMatchObject([
      { error: null, state: 'exited', code: 0 },
    ])
    expect(await read(a, '/data/task')).toBe('in')
    expect(await read(a, '/beside')).toBe('out')
    expect(await read(a, '/copied')).toBe('one')
    expect(await run(a.fs.readdir('/data'))).toEqual(['moved', 'task'])
  })
})

describe('when nodes go', () => {
  it('a keg is led by another that keeps it, and known again after all tabs were closed', async () => {
    const keg = await made()
    const home = (await rows(b))[0]?.home
    const leader = nodes.find(({ id }) => id === home) as SimNode
    leader.crash()
    const rest = nodes.filter((node) => node !== leader)
    const [first] = rest as [SimNode]
    expect(await read(first, '/data/f')).toBe('one')
    await run(first.fs.writeFile('/data/g', 'g'))
    await run(leader.boot())
    await meshed(cluster, nodes)
    expect(await read(leader, '/data/g')).toBe('g')
    for (const node of nodes) await run(node.close())
    for (const node of nodes) await run(node.boot())
    await meshed(cluster, nodes)
    for (const node of nodes) expect(await read(node, '/data/g')).toBe('g')
    expect(await kegAt(a, '/data')).toBe(keg)
  })

  it('a keg whose keepers are away is a clear error, and the rest of the tree goes on', async () => {
    await made()
    const { kid } = (await rows(a))[0] as { kid: Kid }
    for (const node of nodes) node.disk.logs.delete(`tree/${kid}`)
    for (const node of nodes) await run(node.close())
    for (const node of nodes) {
      node.disk.logs.delete(`tree/${kid}`)
      node.disk.records.delete(`tree ${kid}`)
      await run(node.boot())
    }
    await meshed(cluster, nodes)
    await run(b.fs.writeFile('/still', 'here'))
    expect(await codeOf(run(b.fs.readFile('/data/f')))).toBe('EHOSTUNREACH')
    expect(await run(b.fs.readdir('/'))).toContain('data')
    expect(await rows(b)).toMatchObject([{ kid, paths: ['/data'], home: null, version: null }])
    expect(await codeOf(run(kegOf(b).mount(`K-${'0'.repeat(64)}` as Kid, '/none')))).toBe('EHOSTUNREACH')
    await run(kegOf(b).umount('/data'))
    expect(await rows(b)).toEqual([])
    expect(await snapshot(cluster, b)).toEqual({ '/home/': '', '/tmp/': '', '/data/': '', '/still': 'here' })
  })

  it('a keg that was written on both sides of a split is one again with all files', async () => {
    await made()
    await cluster.advance(5_000)
    const [one, ...others] = nodes as [SimNode, ...SimNode[]]
    const split = (cut: boolean) => {
      for (const other of others) cluster.hub.setPartition(one.id, other.id, cut)
    }
    split(true)
    await cluster.until(async () => (await one.os.info('peers')).length === 0, 'it is alone')
    await run(one.fs.writeFile('/data/f', 'alone'))
    await run(one.fs.writeFile('/data/mine', 'mine'))
    await run(b.fs.writeFile('/data/theirs', 'theirs'))
    await run(b.fs.writeFile('/data/f', 'together'))
    split(false)
    await meshed(cluster, nodes)
    await cluster.until(async () => (await one.fs.readdir('/data')).length === 4, 'they are one')
    const names = await run(b.fs.readdir('/data'))
    expect(names).toEqual(['f', expect.stringMatching(/^f\.conflict-/), 'mine', 'theirs'])
    for (const node of nodes) {
      expect(await read(node, '/data/f')).toBe('together')
      expect(await read(node, `/data/${names[1]}`)).toBe('alone')
    }
    await cluster.until(() => nodes.flatMap(({ disk }) => [...disk.logs.keys()]).length === 6, 'the branch is gone')
  })

  it('mounts that were made and removed on both sides of a split are all there', async () => {
    const keg = await made('/kept')
    await made('/gone')
    await cluster.advance(5_000)
    const [one, ...others] = nodes as [SimNode, ...SimNode[]]
    for (const other of others) cluster.hub.setPartition(one.id, other.id, true)
    await cluster.until(async () => (await one.os.info('peers')).length === 0, 'it is alone')
    await run(kegOf(one).umount('/gone'))
    await run(one.fs.writeFile('/gone/beneath', 'x'))
    await run(kegOf(one).mount(keg, '/home/twice'))
    await run(kegOf(b).create('/theirs'))
    for (const other of others) cluster.hub.setPartition(one.id, other.id, false)
    await meshed(cluster, nodes)
    const paths = async (node: SimNode) => {
      const mounted = (await kegOf(node).list()).filter((row) => row.paths.length > 0)
      return mounted.map((row) => [row.kid, row.paths])
    }
    const expected = [
      [keg, ['/home/twice', '/kept']],
      [await kegAt(b, '/theirs'), ['/theirs']],
    ].sort()
    for (const node of nodes) {
      await cluster.until(async () => `${(await paths(node)).sort()}` === `${expected}`, 'they are one')
    }
    expect(await read(b, '/gone/beneath')).toBe('x')
  })
})

describe('a tree that nobody of us made', () => {
  const KEG = `K-${'ab'.repeat(32)}` as Kid

  it('leads no further than into one keg', async () => {
    const lab = new Lab()
    const { blocks } = blocksOf(lab, await lab.node('a'))
    const tree = new Tree(blocks)
    const empty = await tree.store(new Map())
    const entry = { kind: 'directory' as const, cid: empty, size: 0, mode: 0o755, mtimeMs: 0 }
    const root = await tree.store(new Map([['m', { ...entry, keg: KEG }]]))
    const view = { root, options: {} }
    // Mounted in itself.
    const reading = tree.reading(view, async () => ({ root, reading: tree.reading(view) }))
    const at = (...names: string[]) => resolve(reading, root, names, { last: true })
    expect(await at('m')).toMatchObject({ mounted: { keg: KEG, depth: 1 }, entry: { cid: root } })
    expect(await at('m', 'm')).toMatchObject({ mounted: { depth: 1 }, entry: { cid: empty } })
    expect(await codeOf(at('m', 'm', 'm'))).toBe('EXDEV')
    const apart = new TreeEdit(tree, {}, true)
    const inner = { op: 'mount' as const, path: '/x', keg: KEG, mtimeMs: 1 }
    expect(await codeOf(apart.apply(root, inner))).toBe('EINVAL')
    expect(await codeOf(new TreeEdit(tree).apply(root, { ...inner, path: '/m/x' }))).toBe('EXDEV')
  })

  it('is refused when its mounts are no directories, or of no keg', () => {
    const cid = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
    const block = (details: unknown) => {
      const data = encode(new Map([['x', details]]))
      const Data = new UnixFS({ type: 'directory', data }).marshal()
      return dagPb.encode({ Data, Links: [{ Name: 'x', Hash: CID.parse(cid), Tsize: 0 }] })
    }
    const decoded = (details: unknown) => decodeDirectory(cid, block(details)).get('x')
    expect(decoded([1, 0, 0o755, 1, 0, KEG])).toMatchObject({ kind: 'directory', keg: KEG })
    expect(decoded([1, 0, 0o755, 1, 1, KEG])).toMatchObject({ keg: KEG, chunks: 'content' })
    for (const wrong of [
      [0, 0, 0o755, 1, 0, KEG],
      [1, 0, 0o755, 1, 0, 'K-1'],
      [1, 0, 0o755, 1, 0, 7],
      [1, 0, 0o755, 1, KEG],
    ]) {
      expect(() => decoded(wrong)).toThrow('malformed details')
    }
  })
})
