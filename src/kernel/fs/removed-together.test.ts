// One change that removes several paths: all or none, one version, one keg.
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
const remove = (path: string, ...also: string[]) => run(node.os.call('change', { op: 'remove', path, also }))
const versions = async (path = '/') => (await run(new Keg(node.os).log({ all: true, path }))).length
const write = async (...paths: string[]) => {
  for (const path of paths) await run(node.fs.writeFile(path, path))
}

describe('paths that are removed together', () => {
  it('go in one version', async () => {
    await run(node.fs.mkdir('/d'))
    await write('/d/a', '/d/b', '/c')
    const before = await versions()
    await remove('/d/a', '/c', '/d/b')
    expect(await versions()).toBe(before + 1)
    expect(await run(node.fs.readdir('/d'))).toEqual([])
    expect(await run(node.fs.exists('/c'))).toBe(false)
  })

  it('all stay where one of them cannot go', async () => {
    await run(node.fs.mkdir('/d/e', { recursive: true }))
    await write('/a')
    const before = await versions()
    expect(await codeOf(remove('/a', '/none'))).toBe('ENOENT')
    expect(await codeOf(remove('/a', '/a'))).toBe('ENOENT')
    expect(await codeOf(remove('/a', '/d'))).toBe('ENOTEMPTY')
    expect(await codeOf(remove('/a', '/proc/x'))).toBe('EROFS')
    expect(await versions()).toBe(before)
    expect(await run(node.fs.exists('/a'))).toBe(true)
  })

  it('are in one keg', async () => {
    await run(new Keg(node.os).create('/data'))
    await write('/data/a', '/data/b', '/c')
    expect(await codeOf(remove('/c', '/data/a'))).toBe('EXDEV')
    expect(await codeOf(remove('/data/a', '/c'))).toBe('EXDEV')
    const before = await versions('/data/')
    await remove('/data/a', '/data/b')
    expect(await versions('/data/')).toBe(before + 1)
    expect(await run(node.fs.exists('/c'))).toBe(true)
  })

  it('are so many and so long at most', async () => {
    const many = Array.from({ length: 1024 }, (_, i) => `/f${i}`)
    expect(await codeOf(remove('/a', ...many))).toBe('EINVAL')
    expect(await codeOf(remove('/a', ...Array.from({ length: 66 }, () => `/${'x'.repeat(4000)}`)))).toBe('EINVAL')
  })
})
