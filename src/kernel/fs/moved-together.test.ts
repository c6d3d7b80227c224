// One change that moves several things: all or none, in their order, one version, one keg.
import { beforeEach, describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, newCluster, type TestCluster } from '../cluster.contract.ts'

let cluster: TestCluster
let node: SimNode

beforeEach(async () => {
  cluster = newCluster({ seed: 5 })
  ;[node] = (await boot(cluster, 1)) as [SimNode]
})

const run = <T>(work: Promise<T>) => cluster.run(work)
const move = (...moves: [from: string, to: string][]) => {
  const [first = { from: '', to: '' }, ...also] = moves.map(([from, to]) => ({ from, to }))
  return run(node.os.call('change', { op: 'move', ...first, also }))
}
const versions = async (path = '/') => (await run(new Keg(node.os).log({ all: true, path }))).length
const write = async (...paths: string[]) => {
  for (const path of paths) await run(node.fs.writeFile(path, path))
}

describe('paths that are moved together', () => {
  it('go in one version, in their order', async () => {
    await run(node.fs.mkdir('/d/e', { recursive: true }))
    await run(node.fs.mkdir('/to'))
    await write('/d/a', '/d/e/b', '/c')
    const before = await versions()
    await move(['/d/e/b', '/to/b'], ['/d/', '/to/d'], ['/c', '/to/c'])
    expect(await versions()).toBe(before + 1)
    expect(await run(node.fs.readdir('/to'))).toEqual(['b', 'c', 'd'])
    expect(await run(node.fs.readdir('/to/d'))).toEqual(['a', 'e'])
    expect((await run(new Keg(node.os).log()))[0]?.what).toBe('move /d/e/b to /to/b and 2 more')
    await run(new Keg(node.os).checkout('HEAD~1'))
    expect(await run(node.fs.readFile('/d/e/b', 'utf8'))).toBe('/d/e/b')
  })

  it('replace nothing where that is asked for, not even one of each other', async () => {
    await write('/a', '/b', '/c')
    await run(node.fs.mkdir('/empty'))
    const only = (to: string, also: { from: string; to: string }[] = []) =>
      codeOf(run(node.os.call('change', { op: 'move', from: '/a', to, exclusive: true, also })))
    expect(await only('/b')).toBe('EEXIST')
    expect(await only('/x', [{ from: '/b', to: '/c' }])).toBe('EEXIST')
    expect(await only('/x', [{ from: '/b', to: '/x' }])).toBe('EEXIST')
    expect(await codeOf(run(node.os.call('change', { op: 'move', from: '/tmp', to: '/empty', exclusive: true })))).toBe(
      'EEXIST',
    )
    for (const path of ['/a', '/b', '/c']) expect(await run(node.fs.readFile(path, 'utf8'))).toBe(path)
    expect(await only('/x')).toBe('ok')
    expect(await run(node.fs.readFile('/x', 'utf8'))).toBe('/a')
  })

  it('all stay where one of them cannot go', async () => {
    await run(node.fs.mkdir('/to/full/x', { recursive: true }))
    await run(node.fs.mkdir('/full'))
    await write('/a', '/b')
    const before = await versions()
    expect(await codeOf(move(['/a', '/to/a'], ['/none', '/to/none']))).toBe('ENOENT')
    expect(await codeOf(move(['/a', '/to/a'], ['/full', '/to/full']))).toBe('ENOTEMPTY')
    expect(await codeOf(move(['/a', '/to/a'], ['/b/', '/to/b']))).toBe('ENOTDIR')
    expect(await codeOf(move(['/a', '/to/a'], ['/to', '/to/to']))).toBe('EINVAL')
    expect(await codeOf(move(['/a', '/to/a'], ['/b', '/proc/b']))).toBe('EROFS')
    expect(await versions()).toBe(before)
    expect(await run(node.fs.exists('/a'))).toBe(true)
  })

  it('are in one keg', async () => {
    await run(new Keg(node.os).create('/data'))
    await run(node.fs.mkdir('/data/to'))
    await write('/data/a', '/data/b', '/c')
    expect(await codeOf(move(['/data/a', '/data/to/a'], ['/c', '/data/to/c']))).toBe('EXDEV')
    expect(await codeOf(move(['/c', '/d'], ['/data/a', '/data/to/a']))).toBe('EXDEV')
    const before = await versions('/data/')
    await move(['/data/a', '/data/to/a'], ['/data/b', '/data/to/b'])
    expect(await versions('/data/')).toBe(before + 1)
    expect(await run(node.fs.readdir('/data/to'))).toEqual(['a', 'b'])
    expect(await run(node.fs.exists('/c'))).toBe(true)
  })

  it('are so many and so long at most', async () => {
    const many = Array.from({ length: 1025 }, (_, i): [string, string] => [`/f${i}`, `/g${i}`])
    expect(await codeOf(move(...many))).toBe('EINVAL')
    const long = Array.from({ length: 34 }, (): [string, string] => [`/${'x'.repeat(4000)}`, `/${'y'.repeat(4000)}`])
    expect(await codeOf(move(...long))).toBe('EINVAL')
  })
})
