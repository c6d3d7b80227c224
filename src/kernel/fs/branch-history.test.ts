import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, homeAndOthers, meshed, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import * as limits from '../limits.ts'
import { UNIT } from './placement.contract.ts'
import { Versions } from './versions.ts'

const kegOf = (node: SimNode) => new Keg(node.os)
const CHANGED_HANDS_MS = 10_000

/** What is remembered under which name, the oldest first. */
async function named(cluster: TestCluster, node: SimNode): Promise<string[]> {
  return (await cluster.run(kegOf(node).log())).toReversed().flatMap(({ names }) => names)
}

/** Two tabs that never heard of each other, each with a file of which it has changed the content, and a snapshot of before. */
async function strangers(
  seed: number,
): Promise<{ cluster: TestCluster; older: SimNode; younger: SimNode; big: Uint8Array }> {
  const cluster = newCluster({ seed })
  cluster.hub.setRelay(false)
  const [older, younger] = [cluster.addNode(), cluster.addNode()]
  const big = cluster.random.bytes(2 * UNIT)
  for (const node of [older, younger]) {
    await cluster.run(node.boot())
    await cluster.run(node.fs.mkdir('/docs'))
    await cluster.run(node.fs.writeFile('/docs/note', node === older ? 'of the older' : 'of the younger'))
    await cluster.run(node.fs.writeFile('/docs/big', node === older ? 'x' : big))
    await cluster.run(kegOf(node).snapshot('before'))
    await cluster.run(node.fs.rm('/docs', { recursive: true }))
    await cluster.advance(1_000)
  }
  return { cluster, older, younger, big }
}

async function meet(cluster: TestCluster): Promise<void> {
  cluster.hub.setRelay(true)
  await meshed(cluster)
  await oneHome(cluster)
  await cluster.advance(CHANGED_HANDS_MS)
}

describe('of a tree that was merged into another', () => {
  it('snapshots are those of the other, under another name where both have one', async () => {
    const { cluster, older, younger, big } = await strangers(1)
    await meet(cluster)
    expect(await named(cluster, older)).toEqual(['before', 'before-2'])
    await cluster.run(kegOf(older).checkout('before-2', '/docs'))
    expect(await cluster.run(younger.fs.readFile('/docs/note', 'utf8'))).toBe('of the younger')
    expect(Buffer.compare(await cluster.run(older.fs.readFile('/docs/big')), big)).toBe(0)
    await cluster.run(kegOf(older).checkout('before', '/docs'))
    expect(await cluster.run(younger.fs.readFile('/docs/note', 'utf8'))).toBe('of the older')
  })

  it('what was deleted before can be had back without the one that had it, also after what is unused is freed', async () => {
    const { cluster, older, younger, big } = await strangers(2)
    await meet(cluster)
    await cluster.run(kegOf(older).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(limits.SWEEP_AFTER_MS + 2 * limits.TOUCHED_MS)
    await cluster.run(younger.close())
    await cluster.advance(60_000)
    await cluster.run(older.close())
    await cluster.run(older.boot())
    expect(await named(cluster, older)).toEqual(['before', 'before-2'])
    await cluster.run(kegOf(older).checkout('before-2', '/docs/big'))
    expect(Buffer.compare(await cluster.run(older.fs.readFile('/docs/big')), big)).toBe(0)
  })

  it('each version tells what was done, and HEAD is what there is now', async () => {
    const { cluster, older, younger } = await strangers(3)
    await meet(cluster)
    const rows = await cluster.run(kegOf(older).log())
    expect(rows.map(({ version }) => version)).toEqual(rows.map(({ version }) => version).sort((a, b) => b - a))
    expect(new Set(rows.map(({ version }) => version)).size).toBe(rows.length)
    const branch = rows.filter((row) => row.branch)
    expect(branch.map(({ what }) => what)).toEqual(['write /docs/big', 'write /docs/note', 'make /docs'])
    expect(branch[0]).toMatchObject({ names: ['before-2'], by: younger.id, proof: 'none' })
    expect(rows.every(({ proof }) => proof !== 'wrong')).toBe(true)
    const { changes } = await cluster.run(kegOf(older).diff('HEAD', String(rows[0]?.version)))
    expect(changes).toEqual([])
    // What came before is what came before in this tree.
    const own = rows.filter((row) => !row.branch).map(({ version }) => version)
    const before = await cluster.run(kegOf(older).log({ from: 'HEAD~1', all: true }))
    expect(before.map(({ version }) => version)).toEqual(own.slice(1))
    const [removed, written] = await cluster.run(kegOf(younger).log({ path: '/docs/note' }))
    expect(removed).toMatchObject({ what: 'remove /docs', branch: false })
    expect(written).toMatchObject({ what: 'write /docs/note', branch: false })
    await cluster.run(older.fs.writeFile('/later', '1'))
    expect((await cluster.run(kegOf(older).log()))[0]).toMatchObject({ proof: 'signed', what: 'write /later' })
  })
})

it('a snapshot of a branch is there after its return', async () => {
  const cluster = newCluster({ seed: 4 })
  const nodes = await boot(cluster, 3)
  await meshed(cluster)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', '1'))
  const [home, others] = await homeAndOthers(cluster, nodes)
  await cluster.run(home.fs.writeFile('/a', 'before'))
  const away = others[0] as SimNode
  for (const node of nodes) if (node !== away) cluster.hub.setPartition(away.id, node.id, true)
  await cluster.run(away.fs.writeFile('/a', 'offline'))
  await cluster.run(kegOf(away).snapshot('offline'))
  await cluster.run(away.fs.writeFile('/a', 'offline, later'))
  for (const node of nodes) if (node !== away) cluster.hub.setPartition(away.id, node.id, false)
  await meshed(cluster)
  await cluster.until(async () => (await named(cluster, home)).includes('offline'), 'it is known')
  await cluster.run(kegOf(home).checkout('offline', '/a'))
  expect(await cluster.run((others[1] as SimNode).fs.readFile('/a', 'utf8'))).toBe('offline')
})

describe('versions that a tree brings along', () => {
  const first = { version: 1, root: 'r1', atMs: 1, by: null, what: '', parent: null, signed: null, branch: false }

  it('are known as such when they are read back', () => {
    const versions = new Versions(first)
    versions.add({ ...first, version: 2, root: 'r2', what: 'write /a', branch: true })
    versions.add({ ...first, version: 3, root: 'r3', what: 'merge' })
    expect(new Versions(first, versions.stored()).rows()).toEqual(versions.rows())
  })

  it('are no more than fit, the named ones before others', () => {
    const versions = new Versions(first)
    for (let i = 2; i <= 3 * limits.MAX_VERSIONS_BROUGHT; i++) {
      versions.add({ ...first, version: i, root: `r${i}`, atMs: i, what: `write /${i}` })
    }
    versions.name('one', 5)
    versions.name('two', 5)
    const past = versions.past()
    expect(past).toHaveLength(limits.MAX_VERSIONS_BROUGHT)
    expect(past.slice(0, 2).map(([root, , , name]) => [root, name])).toEqual(
      expect.arrayContaining([
        ['r5', 'one'],
        ['r5', 'two'],
      ]),
    )
    expect(past.at(-1)?.[0]).toBe(`r${3 * limits.MAX_VERSIONS_BROUGHT}`)
    expect(new Versions(first).past()).toEqual([])
  })

  it('keep their names as long as a name may be, and get none where there is no room for one', () => {
    const versions = new Versions(first)
    const long = 'n'.repeat(64)
    versions.name(long, 1)
    versions.add({ ...first, version: 2, root: 'r2' })
    versions.nameBeside(long, 2)
    versions.nameBeside(long, 2)
    expect([...versions.names()]).toEqual([
      [long, 1],
      [`${'n'.repeat(60)}-2`, 2],
    ])
    for (let i = 2; i < limits.MAX_VERSION_NAMES; i++) versions.name(`v${i}`, 1)
    versions.nameBeside('more', 2)
    expect(versions.names().has('more')).toBe(false)
  })
})
