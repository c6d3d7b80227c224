import { afterEach, describe, expect, it, vi } from 'vitest'
import { OsError } from '../../base/errors.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { meshed, newCluster, oneHome, snapshot, type TestCluster } from '../cluster.contract.ts'
import { TreeKeeper } from './tree-keeper.ts'

const EMPTY = { '/home/': '', '/tmp/': '' }
const BOTH = { ...EMPTY, '/from-a': 'a', '/from-b': 'b' }

afterEach(() => {
  vi.restoreAllMocks()
})

/** Two tabs that never heard of each other: the first has the older tree. */
async function strangers(seed: number): Promise<{ cluster: TestCluster; older: SimNode; younger: SimNode }> {
  const cluster = newCluster({ seed })
  cluster.hub.setRelay(false)
  const [older, younger] = [cluster.addNode(), cluster.addNode()]
  for (const node of [older, younger]) {
    await cluster.run(node.boot())
    await cluster.run(node.fs.writeFile(node === older ? '/from-a' : '/from-b', node === older ? 'a' : 'b'))
    await cluster.advance(1_000)
  }
  return { cluster, older, younger }
}

async function meet(cluster: TestCluster): Promise<void> {
  cluster.hub.setRelay(true)
  await meshed(cluster)
  await oneHome(cluster)
  await cluster.advance(10_000)
}

const treesOf = ({ disk }: SimNode) => [...disk.logs.keys()].filter((name) => name.startsWith('tree/'))

describe('the younger of two trees that meet', () => {
  it('is kept until the older one, with its files, is on more than one disk', async () => {
    const { cluster, older, younger } = await strangers(1)
    const [own] = treesOf(younger) as [string]
    younger.disk.quotaBytes = younger.disk.usedBytes() + 10
    await meet(cluster)
    for (const node of [older, younger]) expect(await snapshot(cluster, node)).toEqual(BOTH)
    expect(treesOf(younger)).toContain(own)
    // Both can be written meanwhile.
    await cluster.run(younger.fs.rm('/from-a'))
    younger.disk.quotaBytes = Number.POSITIVE_INFINITY
    await cluster.run(younger.close())
    await cluster.run(younger.boot())
    await meet(cluster)
    await cluster.until(() => !treesOf(younger).includes(own), 'it is gone')
    expect(await snapshot(cluster, younger)).toEqual({ ...EMPTY, '/from-b': 'b' })
  })

  it('is gone everywhere once it is', async () => {
    const { cluster, older, younger } = await strangers(2)
    await meet(cluster)
    for (const node of [older, younger]) expect(await snapshot(cluster, node)).toEqual(BOTH)
    expect(treesOf(older)).toHaveLength(1)
    expect(treesOf(younger)).toEqual(treesOf(older))
  })

  it('is merged whatever its paths are long', async () => {
    const { cluster, older, younger } = await strangers(5)
    const folder = `/${Array.from({ length: 30 }, () => 'é'.repeat(127)).join('/')}`
    await cluster.run(younger.fs.mkdir(folder, { recursive: true }))
    const names = Array.from({ length: 280 }, (_, i) => `${i}`)
    for (let at = 0; at < names.length; at += 20) {
      const some = names.slice(at, at + 20)
      await cluster.run(Promise.all(some.map((name) => younger.fs.writeFile(`${folder}/${name}`, name))))
    }
    await meet(cluster)
    expect((await cluster.run(older.fs.readdir(folder))).sort()).toEqual(names.sort())
    expect(treesOf(younger)).toEqual(treesOf(older))
  })

  it('is merged with what it has, and with the names of what is lost', async () => {
    const { cluster, older, younger } = await strangers(6)
    await cluster.run(younger.fs.mkdir('/d/lost', { recursive: true }))
    await cluster.run(younger.fs.writeFile('/d/lost/x', 'in a directory that is lost'))
    for (const name of ['/d/a', '/d/b', '/d/c']) await cluster.run(younger.fs.writeFile(name, name))
    const cids = [younger.fs.stat('/d/b'), younger.fs.stat('/d/lost')].map(
      async (stat) => (await cluster.run(stat)).info.cid as string,
    )
    const lost = await Promise.all(cids)
    await cluster.run(younger.close())
    for (const cid of lost) younger.disk.blocks.delete(cid)
    await cluster.run(younger.boot())
    await meet(cluster)
    for (const node of [older, younger]) {
      expect(await cluster.run(node.fs.readdir('/d'))).toEqual(['a', 'b', 'c', 'lost'])
      const read = (path: string) => node.fs.readFile(path, 'utf8').catch(({ code }: { code: string }) => code)
      expect(await cluster.run(Promise.all(['/from-a', '/d/a', '/d/b', '/d/c'].map(read)))).toEqual(['a', '/d/a', 'EIO', '/d/c']) // biome-ignore format: one line
      await cluster.run(node.fs.writeFile(`/of-${node.id}`, 'x'))
    }
    // What nobody could bring is not given up.
    expect(treesOf(younger)).toHaveLength(2)
  })

  it('is used while it cannot be merged', async () => {
    const { cluster, older, younger } = await strangers(7)
    const { apply } = TreeKeeper.prototype
    vi.spyOn(TreeKeeper.prototype, 'apply').mockImplementation(function (this: TreeKeeper, kid, change, from) {
      if (change.names) throw new OsError('EFBIG', 'a directory of the older one is full')
      return apply.call(this, kid, change, from)
    })
    cluster.hub.setRelay(true)
    await meshed(cluster)
    await cluster.until(() => cluster.lines.some((line) => line.includes('could not merge')), 'it is not merged')
    await cluster.run(younger.fs.writeFile('/more', 'x'))
    vi.restoreAllMocks()
    await oneHome(cluster)
    await cluster.advance(1_000)
    for (const node of [older, younger]) expect(await snapshot(cluster, node)).toEqual({ ...BOTH, '/more': 'x' })
  })

  it('is not given up for a word of the older one, and is used again when that one is gone', async () => {
    const { cluster, older, younger } = await strangers(3)
    const [own] = treesOf(younger) as [string]
    vi.spyOn(TreeKeeper.prototype, 'absorbed').mockImplementation(function (this: TreeKeeper, kid) {
      return { version: Number.MAX_SAFE_INTEGER, root: this.head(kid)?.root ?? '' }
    })
    cluster.hub.setRelay(true)
    await cluster.until(() => cluster.lines.some((line) => line.includes('it is kept aside')), 'it is kept aside')
    // Before the younger one's node keeps the older tree as well, and could lead it.
    older.crash()
    expect(treesOf(younger)).toEqual([own])
    await cluster.until(async () => {
      return (await younger.os.info('node')).treeHome === younger.id
    }, 'it is used again')
    expect(await snapshot(cluster, younger)).toMatchObject({ '/from-b': 'b' })
    await cluster.run(younger.fs.writeFile('/more', 'x'))
  })
})
