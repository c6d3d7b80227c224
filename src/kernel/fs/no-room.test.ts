// Disks on which there is no room left, at all or at most of the nodes that keep the tree.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome } from '../cluster.contract.ts'
import { RESERVE_FROM_BYTES, RESERVE_PIECES, STORAGE_CLASS_MS, SWEEP_AFTER_MS, TOUCHED_MS } from '../limits.ts'

const MIB = 1024 * 1024

const pieces = ({ disk }: SimNode) => [...disk.records.keys()].filter((name) => name.startsWith('reserve/')).length

/** A cluster whose disks have a reserve, all of them with as much room. */
async function withReserve(count: number, roomBytes: number) {
  const cluster = newCluster({ seed: count })
  const nodes = await boot(cluster, count)
  await oneHome(cluster)
  const [a] = nodes as [SimNode]
  await cluster.run(a.fs.mkdir('/d'))
  for (let i = 0; i < RESERVE_FROM_BYTES / MIB; i++) {
    await cluster.run(a.fs.writeFile(`/d/${i}`, cluster.random.bytes(MIB)))
  }
  await cluster.advance(STORAGE_CLASS_MS + 10_000)
  expect(nodes.map(pieces)).toEqual(nodes.map(() => RESERVE_PIECES))
  for (const { disk } of nodes) disk.quotaBytes = disk.usedBytes() + roomBytes
  return { cluster, nodes, a }
}

describe.each([1, 2, 3])('where all disks are full, of %i', (count) => {
  it('files can be removed, and versions be forgotten; then there is room again', async () => {
    const { cluster, nodes, a } = await withReserve(count, MIB)
    // Until not even a name fits.
    let written = 0
    for (let bytes = MIB / 4; bytes > 1; bytes = Math.floor(bytes / 2)) {
      while ((await codeOf(cluster.run(a.fs.writeFile(`/d/more-${written}`, cluster.random.bytes(bytes))))) === 'ok') {
        written++
      }
    }
    expect(await codeOf(cluster.run(a.fs.mkdir('/d/dir')))).toBe('ENOSPC')
    for (const node of nodes) {
      for (const name of (await cluster.run(node.fs.readdir('/d'))).slice(0, 4)) {
        await cluster.run(node.fs.rm(`/d/${name}`))
      }
    }
    await cluster.run(a.fs.rename('/d/9', '/d/renamed'))
    await cluster.advance(TOUCHED_MS)
    await cluster.run(new Keg(a.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(2 * SWEEP_AFTER_MS)

    await cluster.run(a.fs.writeFile('/d/again', cluster.random.bytes(MIB)))
    expect(nodes.map(pieces)).toEqual(nodes.map(() => RESERVE_PIECES))
  })
})

describe('a file for which there is no room', () => {
  it('leaves nothing on the disk of whoever writes it, however often', async () => {
    const { cluster, a } = await withReserve(1, 4 * MIB)
    const before = a.disk.usedBytes()
    const huge = cluster.random.bytes(30 * MIB)
    for (const moreRoom of [0, 8 * MIB, 0, 8 * MIB]) {
      a.disk.quotaBytes += moreRoom
      expect(await codeOf(cluster.run(a.fs.writeFile('/huge', huge)))).toBe('ENOSPC')
      expect(a.disk.usedBytes()).toBe(before)
    }
    await cluster.run(a.fs.writeFile('/d/large', huge.slice(0, 18 * MIB)))
  })

  it('takes nothing from another that has the same content', async () => {
    const { cluster, a } = await withReserve(1, 6 * MIB)
    const same = cluster.random.bytes(3 * MIB)
    const huge = new Uint8Array([...same, ...cluster.random.bytes(5 * MIB)])
    const both = Promise.all([codeOf(a.fs.writeFile('/huge', huge)), codeOf(a.fs.writeFile('/same', same))])
    expect(await cluster.run(both)).toEqual(['ENOSPC', 'ok'])
    expect(await cluster.run(a.fs.readFile('/same'))).toEqual(same)
  })

  it('keeps what was synced before', async () => {
    const { cluster, a } = await withReserve(1, 4 * MIB)
    const first = cluster.random.bytes(2 * MIB)
    const handle = await cluster.run(a.fs.open('/file', 'w'))
    await cluster.run(handle.write(first))
    await cluster.run(handle.sync())
    const writing = handle.write(cluster.random.bytes(6 * MIB)).then(() => handle.close())
    expect(await codeOf(cluster.run(writing))).toBe('ENOSPC')
    expect(await cluster.run(a.fs.readFile('/file'))).toEqual(first)
  })
})

describe('where two of three keepers are full', () => {
  it('what they cannot keep is refused, and nothing waits behind it', async () => {
    const cluster = newCluster({ seed: 6 })
    const nodes = await boot(cluster, 3)
    const [home, others] = await homeAndOthers(cluster, nodes)
    await cluster.run(home.fs.writeFile('/old', 'x'))
    await cluster.advance(5_000)
    const used = () => others.map(({ disk }) => disk.usedBytes())
    for (const { disk } of others) disk.quotaBytes = disk.usedBytes() + MIB
    const before = used()
    const beganMs = cluster.clock.nowMs()
    expect(await codeOf(cluster.run(home.fs.writeFile('/big', cluster.random.bytes(3 * MIB)), 60_000))).toBe('ENOSPC')
    expect(cluster.clock.nowMs() - beganMs).toBeLessThan(10_000)
    await cluster.run(home.fs.rm('/old'))
    for (const node of nodes) await cluster.run(node.fs.writeFile(`/small-${node.id}`, 'x'))
    expect(await cluster.run(home.fs.readdir('/'))).not.toContain('big')
    // What they fetched of it does not stay either.
    await cluster.until(() => used().every((bytes, i) => bytes < (before[i] as number) + MIB / 4), 'it is given back')
  })
})
