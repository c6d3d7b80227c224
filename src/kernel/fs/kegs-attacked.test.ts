// What an attack on kegs found, and how it is now.
import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import { createShell } from '../../shell/shell.ts'
import { FakeHost } from '../../shell/test-shell.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, meshed, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer, type RawStream } from '../harness.contract.ts'
import { MAX_KEGS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'

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
async function made(path = '/data'): Promise<Kid> {
  await run(kegOf(a).create(path))
  await run(a.fs.writeFile(`${path}/f`, 'one'))
  return kegAt(a, path)
}
describe('paths over mounts', () => {
  it('a copy over a link in a keg goes where the link leads', async () => {
    await made()
    await run(a.fs.writeFile('/outside', 'out'))
    await run(a.fs.writeFile('/data/outside', 'innocent'))
    await run(a.fs.symlink('/outside', '/data/l'))
    await run(a.fs.writeFile('/new', 'new'))
    await run(b.fs.cp('/new', '/data/l'))
    expect([await read(a, '/outside'), await read(a, '/data/outside')]).toEqual(['new', 'innocent'])
  })

  it('mv of a directory into a keg that is mounted in it', async () => {
    await run(a.fs.mkdir('/proj'))
    await run(a.fs.writeFile('/proj/own', 'mine'))
    await made('/proj/keg')
    expect(await codeOf(run(b.fs.rename('/proj', '/proj/keg/x')))).toBe('EINVAL')
    expect(await codeOf(run(b.fs.cp('/proj', '/proj/keg/x')))).toBe('EINVAL')
  })

  it('a directory in which a keg is mounted is copied into another keg with what is in it', async () => {
    await run(a.fs.mkdir('/proj'))
    await made('/proj/keg')
    await made('/data')
    const args = { op: 'copy' as const, from: '/proj', to: '/data/proj' }
    expect(await codeOf(run(b.os.call('change', args)))).toBe('EXDEV')
    const shell = createShell({ client: b.os, host: new FakeHost() })
    await shell.load()
    expect(await run(shell.execute('cp -r /proj /data && cat /data/proj/keg/f && rm -r /data/proj'))).toMatchObject({
      stdout: 'one',
      code: 0,
    })
    expect(await read(a, '/proj/keg/f')).toBe('one')
  })

  it('mkdir -p over a dead link in a keg makes nothing', async () => {
    await made()
    await run(a.fs.symlink('/nowhere', '/data/l'))
    await run(a.fs.symlink('/nowhere', '/l'))
    const code = await codeOf(run(a.fs.mkdir('/data/l/x', { recursive: true })))
    expect([code, await run(a.fs.exists('/nowhere'))]).toEqual(['ENOTDIR', false])
  })

  it('is counted once, wherever it is mounted', async () => {
    const keg = await made()
    await run(kegOf(a).mount(keg, '/again'))
    await run(a.fs.mkdir('/data/deep'))
    const health = (await run(a.os.call('info', { topic: 'health', path: '/' }))) as { files: number; lost: number }
    expect(health).toMatchObject({ files: 2, lost: 0 })
    expect(await run(a.os.call('info', { topic: 'health', path: '/data/deep' }))).toMatchObject({
      files: 0,
      directories: 1,
    })
  })

  it('what could not be mounted is nowhere, also later', async () => {
    await made()
    await run(a.fs.mkdir('/full'))
    await run(a.fs.writeFile('/full/x', 'x'))
    for (const node of nodes)
      for (let i = 0; i < 6; i++) {
        await codeOf(run(kegOf(node).create('/full')))
        await codeOf(run(kegOf(node).create('/data/inner')))
      }
    await cluster.advance(60_000)
    for (const node of nodes) expect(await rows(node)).toHaveLength(1)
  })

  it('a directory is copied into another keg like in /: no parents are made', async () => {
    await cluster.run(new Keg(a.os).create('/data'))
    await cluster.run(a.fs.mkdir('/src'))
    const same = await codeOf(cluster.run(a.os.call('change', { op: 'copy', from: '/src', to: '/no/such/d' })))
    const other = await codeOf(cluster.run(a.os.call('change', { op: 'copy', from: '/src', to: '/data/no/such/d' })))
    expect(other).toBe(same)
  })
})

describe('kegs under way', () => {
  it('a keg opened while somebody links: all are told', async () => {
    const cluster = newCluster({ seed: 12 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    const [a] = nodes
    await cluster.run(new Keg(a.os).create('/data'))
    await cluster.run(a.fs.writeFile('/data/f', 'one'))
    await cluster.advance(5_000)
    const bad = () => cluster.lines.filter((l) => /undefined|TypeError|Cannot read/.test(l))
    for (let i = 0; i < 60; i++) {
      const node = nodes[i % 4] as SimNode
      node.crash()
      await cluster.run(node.boot())
      const reads = nodes.map((n) => n.fs.readFile('/data/f', 'utf8').catch(() => ''))
      await cluster.advance(i * 3)
      for (const r of reads) await cluster.run(r)
    }
    expect(bad()).toEqual([])
  })

  it('a file that is written where an empty directory is being replaced by a copy from another keg stays', async () => {
    const cluster = newCluster({ seed: 13 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    const [a, b, c] = nodes
    await cluster.run(new Keg(a.os).create('/data'))
    await cluster.run(a.fs.mkdir('/src'))
    await cluster.run(a.fs.writeFile('/src/x', 'x'))
    let lost = 0
    for (let i = 0; i < 40; i++) {
      await cluster.run(a.fs.mkdir(`/data/d${i}`))
      const copy = codeOf(b.os.call('change', { op: 'copy', from: '/src', to: `/data/d${i}` }))
      await cluster.advance((i % 20) * 0.5)
      const write = codeOf(c.fs.writeFile(`/data/d${i}/mine`, 'mine'))
      await cluster.run(copy)
      const w = await cluster.run(write)
      const names = await cluster.run(a.fs.readdir(`/data/d${i}`))
      if (w === 'ok' && !names.includes('mine')) lost++
    }
    expect(lost).toBe(0)
  })

  it('a branch of a keg into which a mount was to be copied is merged', async () => {
    const cluster = newCluster({ seed: 11 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    const [one, b] = nodes
    await cluster.run(new Keg(b.os).create('/data'))
    await cluster.run(b.fs.writeFile('/data/f', 'one'))
    await cluster.run(b.fs.mkdir('/proj'))
    await cluster.run(new Keg(b.os).create('/proj/k'))
    await cluster.run(one.fs.readFile('/data/f'))
    await cluster.advance(5_000)
    for (const other of nodes.slice(1)) cluster.hub.setPartition(one.id, other.id, true)
    await cluster.until(async () => (await one.os.info('peers')).length === 0, 'it is alone')
    expect(await codeOf(cluster.run(one.os.call('change', { op: 'copy', from: '/proj', to: '/data/zproj' })))).toBe(
      'EXDEV',
    )
    await cluster.run(one.fs.writeFile('/data/zzz', 'mine'))
    for (const other of nodes.slice(1)) cluster.hub.setPartition(one.id, other.id, false)
    await meshed(cluster, nodes)
    await cluster.advance(300_000)
    expect(await cluster.run(b.fs.readdir('/data'))).toContain('zzz')
  })

  it.each([['/x'], ['/data/x']])('%s is there when all were closed at once and one is open again', async (path) => {
    const cluster = newCluster({ seed: 21 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    const [a] = nodes
    if (path !== '/x') {
      await cluster.run(new Keg(a.os).create('/data'))
      await cluster.advance(100)
    }
    await cluster.run(a.fs.writeFile(path, 'kept', { ack: 'majority' }))
    await cluster.advance(500)
    for (const n of nodes) await cluster.run(n.close())
    await cluster.run(a.boot())
    const first = await codeOf(cluster.run(a.fs.readFile(path)))
    expect(first).toBe('ok')
  })

  it('is read by a keeper that has not looked into it, when the others are lost', async () => {
    const cluster = newCluster({ seed: 11 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    const [a] = nodes
    await cluster.run(new Keg(a.os).create('/data'))
    await cluster.run(a.fs.writeFile('/data/f', 'one'))
    const keg = (await cluster.run(a.fs.stat('/data'))).info.keg as Kid
    await cluster.advance(5_000)
    const home = (await cluster.run(new Keg(a.os).list()))[0]?.home
    const left = nodes.find((n) => n.disk.logs.has(`tree/${keg}`) && n.id !== home && n !== a) as SimNode
    for (const n of nodes) if (n !== left) n.crash()
    await cluster.advance(30_000)
    const before = [
      (await cluster.run(left.fs.readdir('/'))).includes('data'),
      await codeOf(cluster.run(left.fs.readFile('/data/f'))),
    ]
    await cluster.run(left.close())
    await cluster.run(left.boot())
    await cluster.advance(30_000)
    const after = await codeOf(cluster.run(left.fs.readFile('/data/f')))
    expect([before[1], after]).toEqual(['ok', 'ok'])
  })

  it('counts the rest of / while the keepers of one keg are away', async () => {
    const cluster = newCluster({ seed: 11 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    const [a, b] = nodes
    await cluster.run(new Keg(a.os).create('/data'))
    const kid = (await cluster.run(a.fs.stat('/data'))).info.keg as Kid
    for (const node of nodes) await cluster.run(node.close())
    for (const node of nodes) {
      node.disk.logs.delete(`tree/${kid}`)
      node.disk.records.delete(`tree ${kid}`)
      await cluster.run(node.boot())
    }
    await meshed(cluster, nodes)
    await oneHome(cluster)
    const code = await codeOf(cluster.run(b.os.call('info', { topic: 'health', path: '/' } as never)))
    expect(code).toBe('ok')
  })

  it('a keg that could not be opened leaves no journal; and umounted ones make room', async () => {
    const cluster = newCluster({ seed: 31 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    const [a] = nodes
    let n = 0
    let code = 'ok'
    while (code === 'ok' && n < MAX_KEGS + 3) {
      code = await codeOf(cluster.run(new Keg(a.os).create('/k')))
      if (code === 'ok') {
        n++
        await cluster.run(new Keg(a.os).umount('/k'))
      }
    }
    await cluster.run(a.close())
    await cluster.run(a.boot())
    await cluster.advance(30_000)
    await cluster.run(a.fs.mkdir('/k', { recursive: true }))
    code = await codeOf(cluster.run(new Keg(a.os).create('/k')))
    expect(code).toBe('ok')
  })
})

describe('a stranger', () => {
  it('grafts a file over which a keg is mounted', async () => {
    const cluster = newCluster({ seed: 32 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    const home = await oneHome(cluster)
    const leader = nodes.find((n) => n.id === home) as SimNode
    await cluster.run(leader.fs.writeFile('/x', 'x'))
    const homeNow = await oneHome(cluster)
    const lead = nodes.find((n) => n.id === homeNow) as SimNode
    const tree = [...lead.disk.logs.keys()].find((k) => k.startsWith('tree/'))?.slice(5)
    const cid = (await cluster.run(leader.fs.stat('/x'))).info.cid as string
    const network = new MemoryNetwork(cluster.hub, nodeId('1'))
    const peer = new RawPeer(network, lead.id)
    await network.start()
    await cluster.run(network.connect(lead.id))
    const { control } = await cluster.run(peer.greet({ cluster: 'sim' }))
    await cluster.advance(1_000)
    const op = {
      op: 'graft',
      path: '/evil',
      kind: 'file',
      cid,
      size: 1,
      mode: 0o644,
      mtimeMs: 1,
      keg: `K-${'ab'.repeat(32)}`,
      atMs: 1,
    }
    control.send([FRAME.CALL, 1, 'tree.apply', 5000, 0, { tree, ops: [op] }] as never)
    await cluster.advance(5_000)
    const codes: string[] = []
    for (const n of nodes) codes.push(await codeOf(cluster.run(n.fs.readdir('/'))))
    for (const n of nodes) {
      await cluster.run(n.close())
    }
    for (const n of nodes) {
      await cluster.run(n.boot())
    }
    await cluster.advance(20_000)
    for (const n of nodes)
      codes.push(await codeOf(cluster.run(n.fs.readdir('/'))), await codeOf(cluster.run(n.fs.writeFile('/y', 'y'))))
    expect(codes.every((c) => c === 'ok')).toBe(true)
  })

  it('one lying member and a friend do not make a keeper free what it keeps', async () => {
    const cluster = newCluster({ seed: 35 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await oneHome(cluster)
    const [a] = nodes
    await cluster.run(a.fs.writeFile('/file', cluster.random.bytes(1 << 20)))
    await cluster.advance(10_000)
    const cid = (await cluster.run(a.fs.stat('/file'))).info.cid as string
    const row = (await cluster.run(new Keg(a.os).log()))[0] as { cid: string; version: number }
    const sorted = [...nodes].sort((x, y) => (x.id < y.id ? -1 : 1)) as [SimNode, SimNode, SimNode]
    const [liar, , victim] = sorted
    const journal = [...victim.disk.logs.keys()].find((k) => k.startsWith('tree/')) as string
    for (const n of nodes) await cluster.run(n.close())
    await cluster.run(victim.boot())
    const lanes: RawStream[] = []
    const join = async (id: NodeId) => {
      const network = new MemoryNetwork(cluster.hub, id)
      const peer = new RawPeer(network, victim.id)
      await network.start()
      await cluster.run(network.connect(victim.id))
      const both = await cluster.run(peer.greet({ cluster: 'sim' }))
      lanes.push(both.control, both.bulk)
      return both
    }
    const { control } = await join(liar.id)
    await join(nodeId('1'))
    await cluster.advance(5)
    control.send([FRAME.NOTE, 'journal.dismissed', { group: journal, term: 1e9, index: 1e9 }])
    const head = { tree: journal.slice(5), bornMs: 0, term: 1e9, version: row.version, root: row.cid, home: liar.id }
    control.send([FRAME.NOTE, 'tree.head', head])
    const seen = new Map<RawStream, number>()
    for (let i = 0; i < 3000 && victim.disk.blocks.has(cid); i++) {
      await cluster.advance(100)
      for (const lane of lanes) {
        for (const f of lane.frames.slice(seen.get(lane) ?? 0) as unknown[][]) {
          if (f[0] === FRAME.PING) lane.send([FRAME.PONG, f[1]] as never)
          if (f[0] === FRAME.CALL && f[2] === 'blocks.have') {
            const args = (f as unknown[]).at(-1) as { cids: string[] }
            lane.send([FRAME.RESULT, f[1], new Uint8Array(args.cids.length).fill(1)] as never)
          }
        }
        seen.set(lane, lane.frames.length)
      }
    }
    expect(victim.disk.blocks.has(cid)).toBe(true)
  })
})
