import { beforeEach, describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { MOUNTS } from '../../syscalls/mounts.ts'
import { boot, codeOf, newCluster, type TestCluster } from '../cluster.contract.ts'

let cluster: TestCluster
let nodes: [SimNode, SimNode]
beforeEach(async () => {
  cluster = newCluster({ seed: 4 })
  nodes = await boot<[SimNode, SimNode]>(cluster, 2)
})
const run = <T>(work: Promise<T>) => cluster.run(work)

describe('/dev', () => {
  it('has null, zero, full and random, which take and give what they should', async () => {
    const [{ fs }] = nodes
    expect(await run(fs.readdir('/dev'))).toEqual(['full', 'null', 'random', 'urandom', 'zero'])
    await run(fs.writeFile('/dev/null', 'gone'))
    expect(await run(fs.readFile('/dev/null'))).toHaveLength(0)
    const handle = await run(fs.open('/dev/zero'))
    expect(await run(handle.read(5, 3))).toEqual(new Uint8Array(3))
    const random = await run(fs.open('/dev/urandom'))
    const [one, two] = [await run(random.read(0, 32)), await run(random.read(0, 32))]
    expect(one).toHaveLength(32)
    expect(one).not.toEqual(two)
    expect(await codeOf(run(fs.writeFile('/dev/full', 'x')))).toBe('ENOSPC')
    for (const path of ['/dev/sda', '/dev/null/x']) expect(await codeOf(run(fs.readFile(path))), path).toBe('ENOENT')
    expect(await codeOf(run(fs.writeFile('/dev/new', 'x')))).toBe('ENOENT')
    expect(await codeOf(run(fs.open('/dev/null', 'wx')))).toBe('EEXIST')
    expect(await codeOf(run(fs.rm('/dev/null')))).toBe('EROFS')
    expect((await run(fs.stat('/dev/null'))).isFile()).toBe(false)
  })
})

describe('/net', () => {
  it('tells of each node what peers tells', async () => {
    const [a, b] = nodes
    expect(await run(a.fs.readdir('/net'))).toEqual([a.id, b.id, 'self'].sort())
    const other = JSON.parse(await run(a.fs.readFile(`/net/${b.id}`, 'utf8')))
    expect(other).toMatchObject({ id: b.id, state: 'alive', direct: true })
    expect(JSON.parse(await run(a.fs.readFile('/net/self', 'utf8')))).toMatchObject({ id: a.id, nodes: 2 })
    expect(await codeOf(run(a.fs.readFile('/net/nobody')))).toBe('ENOENT')
    expect(await codeOf(run(a.fs.writeFile('/net/self', '')))).toBe('EROFS')
  })
})

describe('what the kernel mounts', () => {
  it('is all there, and no file can be made or removed there', async () => {
    const [{ fs }] = nodes
    const top = await run(fs.readdir('/'))
    for (const name of MOUNTS) {
      expect(top).toContain(name)
      expect((await run(fs.stat(`/${name}`))).isDirectory()).toBe(true)
      expect(await codeOf(run(fs.mkdir(`/${name}/x`))), name).toBe('EROFS')
      expect(await codeOf(run(fs.rm(`/${name}`, { recursive: true }))), name).toBe('EROFS')
      expect(await codeOf(run(fs.rename('/tmp', `/${name}/x`))), name).toBe('EROFS')
    }
  })
})
