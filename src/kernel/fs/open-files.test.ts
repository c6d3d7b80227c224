// Open files that are changed in place, by several tabs at once, over links, and by tasks; through whole kernels.
import { beforeEach, describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../../base/bytes.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, eventsOf, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'

let cluster: TestCluster
let a: SimNode
let b: SimNode
const run = <T>(work: Promise<T>) => cluster.run(work)
const text = (node: SimNode, path: string) => run(node.fs.readFile(path, 'utf8'))

beforeEach(async () => {
  cluster = newCluster({ programs: true })
  ;[a, b] = await boot<[SimNode, SimNode]>(cluster, 2)
  await oneHome(cluster)
  await run(a.fs.writeFile('/f', 'hello world'))
})

describe('a file that is changed in place', () => {
  it('is seen by others when it is closed, or synchronised, and not before', async () => {
    const handle = await run(a.fs.open('/f', 'r+'))
    await run(handle.write(utf8('HELLO'), { position: 0 }))
    expect(fromUtf8(await run(handle.read(0, 100)))).toBe('HELLO world')
    expect(await text(b, '/f')).toBe('hello world')
    await run(handle.sync())
    expect(await text(b, '/f')).toBe('HELLO world')
    await run(handle.truncate(5))
    await run(handle.write(utf8('!'), { position: 5 }))
    await run(handle.write('J'))
    await run(handle.close())
    expect(await text(b, '/f')).toBe('JELLO!')
  })

  it('tells of itself as it is, also before it is committed', async () => {
    const handle = await run(a.fs.open('/new', 'wx+', { permissions: 0o600 }))
    await run(handle.writeFile('one '))
    await run(handle.appendFile(new Uint16Array([0x6f77, 0x2074])))
    expect(await run(handle.stat())).toMatchObject({ size: 8, mode: 0o100600, mtimeMs: 0 })
    expect(await run(codeOf(a.fs.stat('/new')))).toBe('ENOENT')
    await run(handle.sync())
    await run(handle.write('and more', { length: 3 }))
    const told = await run(handle.stat())
    expect([told.size, told.isFile(), told.mtimeMs > 0]).toEqual([11, true, true])
    expect([await run(handle.readFile('utf8')), fromUtf8(await run(handle.read(0, 99)))]).toEqual(['', 'one wot and'])
    await run(handle.close())
    const there = await run(b.fs.open('/new'))
    expect(fromUtf8((await run(there.read(new Uint8Array(4)))).buffer)).toBe('one ')
    expect(await run(there.readFile('utf8'))).toBe('wot and')
    expect(await run(there.stat())).toMatchObject({ size: 11, mtimeMs: (await run(b.fs.stat('/new'))).mtimeMs })
  })

  it('is not changed by what is discarded, nor by a handle that changes nothing', async () => {
    const { info } = await run(a.fs.stat('/f'))
    const handle = await run(a.fs.open('/f', 'r+'))
    await run(handle.write('x'))
    await run(handle.close({ discard: true }))
    expect(await run((await run(a.fs.open('/f', 'a'))).close())).toEqual({})
    expect((await run(b.fs.stat('/f'))).info).toEqual(info)
  })

  it('of which somebody else has made another meanwhile keeps both, and says so', async () => {
    const handle = await run(a.fs.open('/f', 'r+'))
    await run(handle.write(utf8('mine'), { position: 0 }))
    await run(b.fs.writeFile('/f', 'theirs'))
    await run(handle.close())
    expect(await text(b, '/f')).toBe('theirs')
    const names = await run(b.fs.readdir('/'))
    const conflict = names.find((name) => name.startsWith('f.conflict-'))
    expect(await text(b, `/${conflict}`)).toBe('mineo world')
    const notices = (await eventsOf(cluster, a)).filter((event) => event.type === 'notice')
    expect(notices.at(-1)).toMatchObject({ message: expect.stringContaining(`/${conflict}`) })
  })

  it('of which two append at the same time has what both have appended', async () => {
    const all = [a, b].flatMap((node, i) => [0, 1, 2, 3].map((n) => node.fs.appendFile('/f', ` ${i}${n}`)))
    await run(Promise.all(all))
    const found = await text(a, '/f')
    expect(found.startsWith('hello world')).toBe(true)
    expect(found.slice(11).trim().split(' ').sort()).toEqual(['00', '01', '02', '03', '10', '11', '12', '13'])
  })

  it('goes on with what others have appended when it is synchronised and appended to again', async () => {
    const handle = await run(a.fs.open('/f', 'a'))
    await run(handle.write(utf8(' a1')))
    await run(b.fs.appendFile('/f', ' b1'))
    await run(handle.sync())
    expect(await text(b, '/f')).toBe('hello world b1 a1')
    await run(handle.write(utf8(' a2')))
    await run(b.fs.appendFile('/f', ' b2'))
    await run(handle.close())
    expect(await text(b, '/f')).toBe('hello world b1 a1 b2 a2')
  })

  it('is made by one of those who append to what is not there, and appended to by the others', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `${i}`)
    await run(Promise.all(names.map((name, i) => (i % 2 ? a : b).fs.appendFile('/new', `${name} `))))
    expect((await text(a, '/new')).trim().split(' ').sort()).toEqual([...names].sort())
    const handle = await run(a.fs.open('/late', 'a'))
    await run(b.fs.writeFile('/late', 'first'))
    await run(handle.write(utf8(' second')))
    await run(handle.close())
    expect(await text(b, '/late')).toBe('first second')
  })

  it('that has gone meanwhile is made anew; one that was kept beside is gone on with', async () => {
    const log = await run(a.fs.open('/f', 'a'))
    await run(log.write(utf8('!')))
    await run(b.fs.rename('/f', '/f.1'))
    await run(log.close())
    expect([await text(a, '/f'), await text(a, '/f.1')]).toEqual(['hello world!', 'hello world'])
    const long = `/${'n'.repeat(250)}`
    await run(a.fs.writeFile(long, 'one'))
    const handle = await run(a.fs.open(long, 'r+'))
    await run(handle.write('ONE'))
    await run(b.fs.writeFile(long, 'two'))
    for (const more of ['-', '+']) {
      await run(handle.sync())
      await run(handle.write(more))
    }
    await run(handle.close())
    const beside = (await run(a.fs.readdir('/'))).filter((name) => name.includes('.conflict-'))
    expect(beside).toHaveLength(1)
    expect(await text(b, `/${beside[0]}`)).toBe('ONE-+')
    expect(await text(b, long)).toBe('two')
  })

  it('is not committed after a write of it was given up', async () => {
    const stop = new AbortController()
    const handle = await run(a.fs.open('/f', 'r+'))
    const writing = handle.write(utf8('x'.repeat(3_000_000)), { signal: stop.signal })
    stop.abort()
    expect(await run(codeOf(writing))).toBe('ECANCELED')
    expect(await run(codeOf(handle.close()))).not.toBe('ok')
    expect(await text(b, '/f')).toBe('hello world')
  })

  it('may not be read, or written, against its mode', async () => {
    await run(a.fs.chmod('/f', 0o400))
    for (const flag of ['w', 'a', 'r+'] as const) expect(await run(codeOf(b.fs.open('/f', flag)))).toBe('EACCES')
    expect(await text(b, '/f')).toBe('hello world')
    await run(a.fs.chmod('/f', 0o200))
    expect(await run(codeOf(b.fs.readFile('/f')))).toBe('EACCES')
    await run(b.fs.writeFile('/f', 'over'))
    expect((await run(a.fs.stat('/f'))).mode).toBe(0o100200)
    await run(a.fs.chmod('/f', 0o400))
    await run(a.fs.writeFile('/g', 'x'))
    expect(await run(codeOf(a.fs.copyFile('/g', '/f')))).toBe('EACCES')
    await run(a.fs.rm('/f'))
  })

  it('is refused where no such thing can be', async () => {
    const handle = await run(a.fs.open('/f', 'r'))
    expect(await run(codeOf(handle.write(utf8('x'))))).toBe('EBADF')
    expect(await run(codeOf(handle.truncate(1)))).toBe('EBADF')
    const writer = await run(a.fs.open('/g', 'w'))
    expect(await run(codeOf(writer.read(0, 1)))).toBe('EBADF')
    expect(await run(codeOf(writer.write(utf8('x'), { position: 2 ** 45 })))).toBe('EFBIG')
    expect(await run(codeOf(a.fs.open('/none', 'r+')))).toBe('ENOENT')
    expect(await run(codeOf(a.fs.open('/proc/x', 'r+')))).toBe('EROFS')
    const sizes = { ref: writer.ref, size: -1 }
    expect(await run(codeOf(a.os.call('write', sizes)))).toBe('EINVAL')
  })
})

describe('symbolic links', () => {
  it('lead through the tree and out of it, and are what they are for whoever asks', async () => {
    await run(a.fs.mkdir('/d'))
    await run(a.fs.symlink('../f', '/d/up'))
    await run(a.fs.writeFile('/p.js', 'export const start = () => undefined'))
    const { kid } = await run(a.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    await run(a.fs.symlink('/proc', '/processes'))
    await run(b.fs.writeFile('/d/up', 'over the link'))
    expect(await text(a, '/f')).toBe('over the link')
    expect(await run(b.fs.readlink('/d/up'))).toBe('../f')
    expect(await run(b.fs.realpath('/d/up'))).toBe('/f')
    expect((await run(b.fs.lstat('/d/up'))).isSymbolicLink()).toBe(true)
    expect(await run(b.fs.readdir('/processes'))).toEqual([kid])
    expect((await run(b.fs.stat(`/processes/${kid}`))).info.path).toBe(`/proc/${kid}`)
    expect(await run(codeOf(b.fs.writeFile('/processes/x', '')))).toBe('EROFS')
    expect(await run(codeOf(b.fs.readlink('/f')))).toBe('EINVAL')
    const [row] = await run(b.fs.readdir('/d', { withFileTypes: true }))
    expect(row).toMatchObject({ name: 'up', kind: 'symlink', size: 4 })
    await run(b.fs.rm('/d', { recursive: true }))
    expect(await text(a, '/f')).toBe('over the link')
  })

  it('are copied with the directory that they are in, and are kept by other tabs as files are', async () => {
    const c = cluster.addNode()
    await run(c.boot())
    const kept = async () => (await a.fs.writeFile('/three', '', { ack: 'all' }).catch(() => undefined))?.ack?.devices
    await cluster.until(async () => (await kept()) === 3, 'three keep the tree')
    await run(a.fs.mkdir('/d'))
    await run(a.fs.symlink('f', '/d/l'))
    await run(a.fs.writeFile('/d/f', 'x'))
    await run(a.fs.cp('/d', '/e'))
    await run(a.fs.writeFile('/d/f', 'y'))
    a.crash()
    await cluster.until(async () => (await codeOf(b.fs.stat('/e/l'))) === 'ok', 'the copy is there')
    expect(await text(b, '/e/l')).toBe('x')
    await cluster.until(async () => (await c.fs.readFile('/d/l', 'utf8')) === 'y', 'the last change is there')
  })
})

describe('a task', () => {
  it('changes files in place, makes links and copies; all of it counts when its event is done', async () => {
    await run(
      a.fs.writeFile(
        '/p.js',
        `export async function start(event, os) {
          const handle = await os.fs.open('/f', 'r+')
          await handle.write(new TextEncoder().encode('HE'), { position: 0 })
          await handle.close()
          await os.fs.symlink('f', '/l')
          await os.fs.cp('/p.js', '/copy.js')
          if ((await os.fs.readFile('/copy.js')).byteLength < 100) throw new Error('not copied')
          await os.fs.writeFile('/t', 'new')
          await os.fs.rename('/t', '/moved')
          await os.fs.chmod('/p.js', 0o600)
        }`,
      ),
    )
    await run(a.fs.writeFile('/moved', 'old'))
    const { kid } = await run(b.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    expect(await run(b.os.call('wait', { for: 'exit', kids: [kid] }))).toMatchObject({ exits: [{ code: 0 }] })
    expect(await text(a, '/l')).toBe('HEllo world')
    expect(await text(a, '/copy.js')).toBe(await text(a, '/p.js'))
    expect((await run(a.fs.stat('/p.js'))).mode).toBe(0o100600)
    expect(await text(a, '/moved')).toBe('new')
  })
})

describe('a path that is watched', () => {
  /** Events until as many have come as wanted. */
  async function events(node: SimNode, path: string, recursive: boolean, work: () => Promise<unknown>, count: number) {
    const stop = new AbortController()
    const found: string[] = []
    const watching = (async () => {
      for await (const { eventType, filename } of node.fs.watch(path, { recursive, signal: stop.signal })) {
        found.push(`${eventType} ${filename}`)
      }
    })().catch((error: unknown) => error)
    await cluster.advance(50)
    await run(work())
    await cluster.until(() => found.length >= count, `${count} events`)
    stop.abort()
    expect(await run(watching)).toMatchObject({ code: 'ECANCELED' })
    return found
  }

  it('tells what comes, goes and changes in it, whoever does it', async () => {
    await run(a.fs.mkdir('/d/sub', { recursive: true }))
    const work = async () => {
      await b.fs.writeFile('/d/x', '1')
      await cluster.advance(50)
      await b.fs.writeFile('/d/x', '2')
      await cluster.advance(50)
      await b.fs.rename('/d/x', '/d/y')
      await cluster.advance(50)
      await b.fs.writeFile('/other', '')
      await b.fs.writeFile('/d/sub/deep', '')
    }
    const found = await events(a, '/d', false, work, 5)
    expect(found).toEqual(['rename x', 'change x', 'rename x', 'rename y', 'change sub'])
  })

  it('tells it with everything below, and of itself', async () => {
    await run(a.fs.mkdir('/d/sub', { recursive: true }))
    const deep = async () => {
      await b.fs.writeFile('/d/sub/deep', '')
      await b.fs.symlink('x', '/d/sub/link')
    }
    expect((await events(a, '/d', true, deep, 2)).sort()).toEqual(['rename sub/deep', 'rename sub/link'])
    expect(await events(a, '/f', false, () => b.fs.chmod('/f', 0o600), 1)).toEqual(['change '])
    expect(await events(a, '/f', false, () => b.fs.rm('/f'), 1)).toEqual(['rename '])
    expect(await run(codeOf(a.fs.watch('/f').next()))).toBe('ENOENT')
    expect(await run(codeOf(a.fs.watch('/proc').next()))).toBe('ENOTSUP')
  })

  it('says that it does not know when what was there before is nowhere', async () => {
    const since = `directory bafybeigotsedjwt6rk6cwsby7drj4yzb3b5oa23hmdunskgxbvexrnwgei 493 0`
    await run(a.fs.mkdir('/d'))
    expect(await run(a.os.call('wait', { for: 'changes', path: '/d', since }))).toMatchObject({
      changes: [],
      more: true,
    })
    const { version } = await run(a.os.call('wait', { for: 'changes', path: '/f' }))
    for (const bad of ['x y', '', `file ${'x'.repeat(200)}`]) {
      const answer = await run(a.os.call('wait', { for: 'changes', path: '/f', since: bad }))
      expect(answer.version).toBe(version)
    }
  })
})
