import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, homeAndOthers, meshed, newCluster, snapshot, type TestCluster } from '../cluster.contract.ts'
import { settle } from '../harness.contract.ts'
import * as limits from '../limits.ts'
import { TreeHistory } from './history.ts'
import { Versions } from './versions.ts'

const kegOf = (node: SimNode) => new Keg(node.os)

/** One node that has written some files. */
async function alone(seed: number): Promise<{ cluster: TestCluster; node: SimNode; keg: Keg }> {
  const cluster = newCluster({ seed })
  cluster.hub.setRelay(false)
  const node = cluster.addNode()
  await cluster.run(node.boot())
  return { cluster, node, keg: kegOf(node) }
}

async function write(cluster: TestCluster, { fs }: SimNode, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) await cluster.run(fs.writeFile(path, text))
}

describe('the history of /', () => {
  it('is empty before anybody has written', async () => {
    const { cluster, keg } = await alone(1)
    expect(await cluster.run(keg.log())).toEqual([])
    expect(await codeOf(cluster.run(keg.checkout('HEAD')))).toBe('ENOENT')
    expect(await codeOf(cluster.run(keg.snapshot('x')))).toBe('ENOENT')
  })

  it('is asked for anew when whoever asked first gives up', async () => {
    const leaving = new AbortController()
    const waiting: ((signal: AbortSignal) => void)[] = []
    const page = { tree: 'tree', rows: [], names: [], more: false }
    const shared = {
      head: async () => ({ tree: 'tree', version: 1 }),
      versions: (_last: unknown, signal: AbortSignal) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(new OsError('ECANCELED', 'given up')))
          waiting.push(() => resolve(page))
        }),
    }
    const options = { shared, clock: newCluster({ seed: 91 }).clock }
    const history = new TreeHistory(options as unknown as ConstructorParameters<typeof TreeHistory>[0])
    const first = codeOf(history.all(leaving.signal))
    await settle()
    const second = history.all(new AbortController().signal)
    await settle()
    expect(waiting).toHaveLength(1)
    leaving.abort()
    expect(await first).toBe('ECANCELED')
    await settle()
    waiting[1]?.(leaving.signal)
    expect(await second).toMatchObject({ rows: [] })
  })

  it('tells who changed what, and when', async () => {
    const { cluster, node, keg } = await alone(2)
    await write(cluster, node, { '/a': '1' })
    const atMs = cluster.clock.wallMs()
    await cluster.advance(60_000)
    await cluster.run(node.fs.rename('/a', '/b'))
    const [moved, written, first] = await cluster.run(keg.log())
    expect(moved).toMatchObject({ version: 3, by: node.id, what: 'move /a to /b', names: [] })
    expect(written).toMatchObject({ version: 2, by: node.id, what: 'write /a' })
    expect(moved?.atMs).toBeGreaterThanOrEqual(atMs + 60_000)
    expect(first).toMatchObject({ version: 1, by: null })
  })

  it('brings back what rm -rf took, and leaves the rest as it is', async () => {
    const { cluster, node, keg } = await alone(3)
    await cluster.run(node.fs.mkdir('/docs/deep', { recursive: true }))
    await write(cluster, node, { '/docs/a': 'A', '/docs/deep/b': 'B', '/x': '1' })
    const before = await snapshot(cluster, node)
    await cluster.run(node.fs.rm('/docs', { recursive: true }))
    await write(cluster, node, { '/x': '2' })
    const [removed] = await cluster.run(keg.log({ path: '/docs' }))
    expect(removed?.what).toBe('remove /docs')
    await cluster.run(keg.checkout(String((removed?.version ?? 0) - 1), '/docs'))
    expect(await snapshot(cluster, node)).toEqual({ ...before, '/x': '2' })
    expect((await cluster.run(node.fs.stat('/docs/a'))).mtimeMs).toBeGreaterThan(0)
  })

  it('makes all of / what it was, and that can be taken back too', async () => {
    const { cluster, node, keg } = await alone(4)
    await write(cluster, node, { '/a': '1', '/b': '2' })
    const then = await snapshot(cluster, node)
    await cluster.run(keg.snapshot('then'))
    await cluster.run(node.fs.rm('/a'))
    await write(cluster, node, { '/c': '3' })
    const later = await snapshot(cluster, node)
    await cluster.run(keg.checkout('then'))
    expect(await snapshot(cluster, node)).toEqual(then)
    await cluster.run(keg.checkout('HEAD~1'))
    expect(await snapshot(cluster, node)).toEqual(later)
  })

  it('lists what changed between two versions', async () => {
    const { cluster, node, keg } = await alone(5)
    await write(cluster, node, { '/tmp/a': '1', '/tmp/b': '2' })
    const [{ version } = { version: 0 }] = await cluster.run(keg.log())
    await cluster.run(node.fs.rm('/tmp/a'))
    await write(cluster, node, { '/tmp/b': '3', '/tmp/c': '4' })
    const { changes, more } = await cluster.run(keg.diff(String(version)))
    expect(changes).toEqual([
      { what: 'removed', path: 'tmp/a' },
      { what: 'changed', path: 'tmp/b' },
      { what: 'added', path: 'tmp/c' },
    ])
    expect(more).toBe(false)
    const within = await cluster.run(keg.diff('HEAD~1', 'HEAD', { path: '/tmp' }))
    expect(within.changes).toEqual([{ what: 'added', path: 'c' }])
    expect(await codeOf(cluster.run(keg.diff('1', '2', { path: '/no' })))).toBe('ENOENT')
  })

  it('shows every version below /keg, read-only: by number, name, KID and time', async () => {
    const { cluster, node, keg } = await alone(6)
    await write(cluster, node, { '/a': 'old' })
    await cluster.run(node.fs.symlink('/a', '/link'))
    await cluster.run(keg.snapshot('first'))
    const [{ version, kid } = { version: 0, kid: '' }] = await cluster.run(keg.log())
    await cluster.advance(3_600_000)
    await write(cluster, node, { '/a': 'new' })
    for (const name of [String(version), 'first', kid, 'HEAD~1', '@30m']) {
      expect(await cluster.run(node.fs.readFile(`/keg/${name}/a`, 'utf8'))).toBe('old')
      expect(await cluster.run(node.fs.readFile(`/keg/${name}/link`, 'utf8'))).toBe('old')
    }
    expect(await cluster.run(node.fs.readFile('/keg/HEAD/a', 'utf8'))).toBe('new')
    expect(await cluster.run(node.fs.readdir('/keg'))).toEqual(expect.arrayContaining([String(version), 'first', '1']))
    expect(await cluster.run(node.fs.readdir('/keg/first'))).toEqual(['a', 'home', 'link', 'tmp'])
    expect(await codeOf(cluster.run(node.fs.writeFile('/keg/first/a', 'x')))).toBe('EROFS')
    expect(await codeOf(cluster.run(node.fs.rm('/keg/first', { recursive: true })))).toBe('EROFS')
    for (const name of ['99', 'nobody', 'K-0000', '@9d', 'HEAD~99']) {
      expect(await codeOf(cluster.run(node.fs.readFile(`/keg/${name}/a`))), name).toBe('ENOENT')
    }
  })

  it('is the same for all nodes, and stays when whoever leads goes', async () => {
    const cluster = newCluster({ seed: 7 })
    const nodes = await boot<[SimNode, SimNode, SimNode, SimNode]>(cluster, 4)
    for (const [i, node] of nodes.entries()) await write(cluster, node, { [`/tmp/${i}`]: `${i}` })
    await cluster.run(nodes[3].fs.rm('/tmp', { recursive: true }))
    const rows = await cluster.run(kegOf(nodes[0]).log())
    expect(rows.map(({ by }) => by).slice(0, 5)).toEqual([3, 3, 2, 1, 0].map((i) => nodes[i as 0].id))
    for (const node of nodes) expect(await cluster.run(kegOf(node).log())).toEqual(rows)
    const [home, others] = await homeAndOthers(cluster, nodes)
    home.crash()
    await cluster.advance(15_000)
    const [first] = others as [SimNode]
    expect((await cluster.run(kegOf(first).log())).map(({ version }) => version)).toEqual(
      rows.map(({ version }) => version),
    )
    await cluster.run(kegOf(first).checkout('HEAD~1', '/tmp'))
    expect(await cluster.run(first.fs.readdir('/tmp'))).toEqual(['0', '1', '2', '3'])
  })

  it('comes to a newcomer that keeps the tree, with what only old versions hold', async () => {
    const cluster = newCluster({ seed: 8 })
    const [a] = await boot<[SimNode]>(cluster, 1)
    await write(cluster, a, { '/gone': 'what was there' })
    await cluster.run(a.fs.rm('/gone'))
    const b = cluster.addNode()
    await cluster.run(b.boot())
    await meshed(cluster)
    await cluster.advance(5_000)
    await cluster.run(a.fs.writeFile('/kept', 'x', { ack: 'all' }))
    await cluster.advance(20_000)
    a.crash()
    await cluster.advance(20_000)
    const [{ version } = { version: 0 }] = await cluster.run(kegOf(b).log({ path: '/gone' }))
    await cluster.run(kegOf(b).checkout(String(version - 1), '/gone'))
    expect(await cluster.run(b.fs.readFile('/gone', 'utf8'))).toBe('what was there')
  })

  it('survives a restart of the only node', async () => {
    const { cluster, node, keg } = await alone(9)
    await write(cluster, node, { '/a': '1', '/b': '2' })
    await cluster.run(keg.snapshot('both'))
    const rows = await cluster.run(keg.log())
    node.crash()
    await cluster.run(node.boot())
    expect(await cluster.run(kegOf(node).log())).toEqual(rows)
  })

  it('forgets what nobody wants to keep: not what is named, new or the newest', async () => {
    const { cluster, node, keg } = await alone(10)
    for (let i = 0; i < 5; i++) await write(cluster, node, { '/a': `${i}` })
    await cluster.run(keg.snapshot('third', '3'))
    await cluster.advance(3_600_000)
    await write(cluster, node, { '/a': 'new' })
    await cluster.run(keg.gc({ keep: 1, forMs: 60_000 }))
    expect((await cluster.run(keg.log())).map(({ version }) => version)).toEqual([7, 3])
    await cluster.run(keg.unname('third'))
    await cluster.run(keg.gc({ keep: 1, forMs: 0 }))
    expect((await cluster.run(keg.log())).map(({ version }) => version)).toEqual([7])
    expect(await cluster.run(node.fs.readFile('/a', 'utf8'))).toBe('new')
  })

  it('frees what only forgotten versions hold, on all that keep the tree, and nothing else', async () => {
    const cluster = newCluster({ seed: 12 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    const [a] = nodes
    const big = (fill: number) =>
      new Uint8Array(3 * 1024 * 1024).fill(fill).map((_, i) => (i >> 12) ^ (31 * (i >> 20)) ^ (fill << 4))
    await cluster.advance(5_000)
    await cluster.run(a.fs.writeFile('/gone', big(1)))
    await cluster.run(a.fs.mkdir('/dir'))
    await cluster.run(a.fs.writeFile('/dir/stays', big(2)))
    await cluster.run(a.fs.writeFile('/dir/gone', big(3)))
    await cluster.run(a.fs.writeFile('/named', big(4)))
    await cluster.run(kegOf(a).snapshot('named'))
    await cluster.run(a.fs.writeFile('/passing', big(5)))
    for (const path of ['/gone', '/dir/gone', '/named', '/passing']) await cluster.run(a.fs.rm(path))
    await cluster.run(a.fs.writeFile('/new', big(6), { ack: 'all' }))
    const blocksOf = async (node: SimNode) => (await cluster.run(node.os.info('storage'))).map(({ blocks }) => blocks)
    const before = await blocksOf(a)
    await cluster.run(kegOf(a).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(limits.SWEEP_AFTER_MS + 5_000)
    expect(await blocksOf(a)).toEqual(before)
    // What was written a moment before waits for its turn.
    await cluster.advance(limits.SWEEP_AGAIN_MS + 5_000)
    const after = await blocksOf(a)
    // Three leaves, the root of the file, and some directories, on each.
    for (const [i, count] of after.entries()) {
      expect(count).toBeLessThan((before[i] as number) - 3)
      expect(count).toBeGreaterThan(4 * 4)
    }
    for (const node of nodes) {
      expect(await cluster.run(node.fs.readdir('/keg/named'))).toContain('gone')
      for (const [path, fill] of [
        ['/dir/stays', 2],
        ['/new', 6],
        ['/keg/named/gone', 1],
        ['/keg/named/dir/gone', 3],
        ['/keg/named/named', 4],
      ] as const) {
        expect(Buffer.compare(await cluster.run(node.fs.readFile(path)), big(fill)), path).toBe(0)
      }
    }
    await cluster.run(kegOf(a).checkout('named', '/dir'))
    expect(await cluster.run(nodes[2].fs.readdir('/dir'))).toEqual(['gone', 'stays'])
  })

  it('frees nothing that was written again meanwhile', async () => {
    const { cluster, node, keg } = await alone(13)
    const content = new Uint8Array(5000).fill(7)
    await cluster.run(node.fs.writeFile('/a', content))
    await cluster.run(node.fs.rm('/a'))
    await cluster.advance(120_000)
    await cluster.run(keg.gc({ keep: 1, forMs: 0 }))
    await cluster.advance(limits.SWEEP_AFTER_MS - 1_000)
    await cluster.run(node.fs.writeFile('/b', content))
    await cluster.advance(120_000)
    expect(await cluster.run(node.fs.readFile('/b'))).toEqual(content)
  })

  it('frees nothing that the journal of a process names', async () => {
    const cluster = newCluster({ seed: 14, programs: true })
    const [node] = await boot<[SimNode]>(cluster, 1)
    const line = 'x'.repeat(5_000)
    await write(cluster, node, { '/p.js': `export async function start(_args, os) { await os.print('${line}') }` })
    const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }))
    await write(cluster, node, { '/same': `${line}\n` })
    for (const path of ['/p.js', '/same']) await cluster.run(node.fs.rm(path))
    await cluster.advance(120_000)
    await cluster.run(kegOf(node).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(limits.SWEEP_AFTER_MS + 60_000)
    expect(await cluster.run(node.fs.readFile(`/proc/${kid}/stdout`, 'utf8'))).toBe(`${line}\n`)
  })

  it('frees nothing of a file that somebody is writing again, however long that takes', async () => {
    const { cluster, node, keg } = await alone(15)
    const part = (i: number) => new Uint8Array(1024 * 1024).map((_, at) => (at >> 9) ^ (i * 37))
    const parts = Array.from({ length: 12 }, (_, i) => part(i))
    await cluster.run(node.fs.writeFile('/big', parts))
    await cluster.run(node.fs.rm('/big'))
    await cluster.advance(120_000)
    await cluster.run(keg.gc({ keep: 1, forMs: 0 }))
    const handle = await cluster.run(node.fs.open('/big', 'w'))
    for (const each of parts.slice(0, 10)) await cluster.run(handle.write(each))
    await cluster.advance(limits.SWEEP_AFTER_MS + 30_000)
    for (const each of parts.slice(10)) await cluster.run(handle.write(each))
    await cluster.run(handle.close())
    const bytes = await cluster.run(node.fs.readFile('/big'))
    expect(parts.every((each, i) => Buffer.compare(bytes.subarray(i << 20, (i + 1) << 20), each) === 0)).toBe(true)
  })

  it('frees nothing of a large program that runs from a journal', async () => {
    const cluster = newCluster({ seed: 16, programs: true })
    const [node] = await boot<[SimNode]>(cluster, 1)
    const source = `export async function start(_args, os) { await os.print('x') } // ${'.'.repeat(2_200_000)}`
    await write(cluster, node, { '/p.js': source })
    const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }))
    const leaves = [...node.disk.blocks.values()].filter(({ byteLength }) => byteLength >= 50_000).length
    expect(leaves).toBe(3)
    await cluster.run(node.fs.rm('/p.js'))
    await cluster.advance(120_000)
    await cluster.run(kegOf(node).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(limits.SWEEP_AFTER_MS + 60_000)
    expect([...node.disk.blocks.values()].filter(({ byteLength }) => byteLength >= 50_000)).toHaveLength(leaves)
  })

  it('frees after a reload what was to be freed before', async () => {
    const { cluster, node, keg } = await alone(17)
    for (let i = 0; i < 20; i++) await write(cluster, node, { '/a': `${i}`.repeat(100) })
    await cluster.advance(120_000)
    await cluster.run(keg.gc({ keep: 1, forMs: 0 }))
    await cluster.advance(1_000)
    node.crash()
    await cluster.run(node.boot())
    const before = node.disk.blocks.size
    await cluster.advance(limits.SWEEP_AGAIN_MS + 60_000)
    expect(node.disk.blocks.size).toBeLessThan(before - 30)
    expect(await cluster.run(node.fs.readFile('/a', 'utf8'))).toBe('19'.repeat(100))
  })

  it('keeps every version whose name was acknowledged, also while others are forgotten', async () => {
    const cluster = newCluster({ seed: 18 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    for (let i = 0; i < 30; i++) await write(cluster, nodes[0], { '/a': `${i}` })
    await cluster.advance(120_000)
    const work = Array.from({ length: 25 }, (_, i) =>
      kegOf(nodes[i % 3] as SimNode)
        .snapshot(`n${i}`, String(i + 2))
        .then(() => `n${i}`)
        .catch(() => undefined),
    )
    const [named] = await cluster.run(Promise.all([Promise.all(work), kegOf(nodes[1]).gc({ keep: 1, forMs: 0 })]))
    const rows = await cluster.run(kegOf(nodes[2]).log({ limit: 1000 }))
    const kept = rows.flatMap(({ names }) => names)
    expect(kept.sort()).toEqual(named.filter((name) => name !== undefined).sort())
  })

  it('leaves the home where it is when what is to be restored is lost', async () => {
    const cluster = newCluster({ seed: 19 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await cluster.run(nodes[0].fs.mkdir('/d'))
    await cluster.run(nodes[0].fs.writeFile('/d/f', 'to be lost', { ack: 'all' }))
    const { cid } = (await cluster.run(nodes[0].fs.stat('/d/f'))).info
    const [{ version } = { version: 0 }] = await cluster.run(kegOf(nodes[0]).log())
    await cluster.run(nodes[0].fs.rm('/d', { recursive: true }))
    await cluster.run(nodes[0].fs.writeFile('/later', '', { ack: 'all' }))
    await cluster.advance(5_000)
    for (const node of nodes) {
      node.disk.blocks.delete(cid as string)
      node.crash()
    }
    for (const node of nodes) await cluster.run(node.boot())
    await meshed(cluster)
    await cluster.advance(5_000)
    const [home] = await homeAndOthers(cluster, nodes)
    for (let i = 0; i < 3; i++) {
      expect(await codeOf(cluster.run(kegOf(nodes[0]).checkout(String(version), '/d')))).toBe('EIO')
    }
    expect((await homeAndOthers(cluster, nodes))[0].id).toBe(home.id)
  })

  it('restores a file without giving its directory an old time', async () => {
    const { cluster, node, keg } = await alone(20)
    await cluster.run(node.fs.mkdir('/m'))
    await write(cluster, node, { '/m/f': '1' })
    await cluster.run(node.fs.utimes('/m/f', 1000, 1000))
    await cluster.run(node.fs.rm('/m/f'))
    await cluster.advance(5_000)
    const { mtimeMs } = await cluster.run(node.fs.stat('/m'))
    await cluster.run(keg.checkout('HEAD~1', '/m/f'))
    expect((await cluster.run(node.fs.stat('/m'))).mtimeMs).toBeGreaterThan(mtimeMs)
    expect((await cluster.run(node.fs.stat('/m/f'))).mtimeMs).toBe(1_000_000)
  })

  it('refuses what makes no sense', async () => {
    const { cluster, node, keg } = await alone(11)
    await write(cluster, node, { '/a': '1' })
    const refused: [() => Promise<unknown>, string][] = [
      [() => keg.snapshot('x', '77'), 'ENOENT'],
      [() => keg.snapshot('HEAD'), 'EINVAL'],
      [() => keg.snapshot('12'), 'EINVAL'],
      [() => keg.snapshot('a/b'), 'EINVAL'],
      [() => keg.unname('nobody'), 'ENOENT'],
      [() => keg.checkout('HEAD', '/nothing'), 'ENOENT'],
      [() => keg.checkout('HEAD', '/bin'), 'ENOENT'],
      [() => keg.diff('HEAD~1x'), 'ENOENT'],
      [() => keg.gc({ keep: 0, forMs: 0 }), 'EINVAL'],
    ]
    for (const [ask, code] of refused) expect(await codeOf(cluster.run(ask())), String(ask)).toBe(code)
  })
})

describe('versions', () => {
  const row = (version: number, atMs = version) => ({
    version,
    root: `r${version}`,
    atMs,
    by: null,
    what: '',
    parent: null,
    signed: null,
    branch: false,
  })

  it('are thinned out where there are too many: the newest, the first and the named ones stay', () => {
    const versions = new Versions(row(1))
    for (let i = 2; i <= 5_000; i++) {
      versions.add(row(i))
      if (i === 77) versions.name('kept', 77)
    }
    const rows = versions.rows().map(({ version }) => version)
    expect(rows).toHaveLength(limits.MAX_VERSIONS)
    expect(rows.slice(0, limits.MAX_NEWEST_VERSIONS)).toEqual(
      Array.from({ length: limits.MAX_NEWEST_VERSIONS }, (_, i) => 5_000 - i),
    )
    expect(rows).toContain(77)
    expect(rows.at(-1)).toBe(1)
    // The older, the sparser: no gap is much wider than the age of what follows it.
    for (const [i, version] of rows.entries()) {
      const older = rows[i + 1]
      if (older !== undefined) expect(version - older).toBeLessThan(5 + (5_000 - older) / 20)
    }
  })

  /** Some are not signed; the parent of some is not the row before. */
  const signature = (i: number) =>
    i % 3 === 0
      ? {}
      : { parent: `r${i % 4 ? i - 1 : 0}`, signed: { by: `node-${i % 2}` as never, signature: new Uint8Array([i]) } }

  it('are the same when they are read back', () => {
    const versions = new Versions(row(1))
    for (let i = 2; i <= 9; i++)
      versions.add({ ...row(i), by: i % 2 ? ('node-a' as never) : null, what: `write /${i}`, ...signature(i) })
    versions.name('five', 5)
    const again = new Versions(row(99), versions.stored())
    expect(again.rows()).toEqual(versions.rows())
    expect([...again.names()]).toEqual([['five', 5]])
  })
})
