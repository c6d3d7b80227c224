// What an attack on the placing of leaves found: faults of disks, tabs and networks.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { COPIES, SWEEP_AFTER_MS, SWEEP_AGAIN_MS, TOUCHED_MS } from '../limits.ts'
import {
  health,
  holders,
  keepers,
  membersOf,
  type Stored,
  UNIT,
  withFiles,
  write,
  writeAll,
} from './placement.contract.ts'

async function part(cluster: TestCluster, left: readonly SimNode[], right: readonly SimNode[], cut: boolean) {
  for (const a of left) for (const b of right) cluster.hub.setPartition(a.id, b.id, cut)
}

describe('what was freed and is written again', () => {
  it('is kept again', async () => {
    const { cluster, nodes } = await withFiles(6, 101, 1)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const writer = others[0] as SimNode
    const file = await write(cluster, writer, '/again')
    await cluster.advance(10_000)
    expect(keepers(nodes, file)).toHaveLength(COPIES)
    await cluster.run(writer.fs.rm('/again'))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    expect(keepers(nodes, file)).toHaveLength(0)
    // Undo: the same content.
    await write(cluster, writer, '/again', file.bytes)
    await cluster.advance(10_000)
    const copies = holders(nodes, file).length
    const kept = keepers(nodes, file).length
    writer.crash()
    cluster.forget(writer)
    await cluster.advance(60_000)
    const code = await codeOf(cluster.run(home.fs.readFile('/again')))
    expect({ copies: copies >= COPIES, kept, code }).toEqual({ copies: true, kept: COPIES, code: 'ok' })
  })
})

describe('a disk that lost blocks, not pins', () => {
  it('fsck --repair has them made anew', async () => {
    const { cluster, nodes, files } = await withFiles(8, 102, 16)
    const [home] = await homeAndOthers(cluster, nodes)
    const members = membersOf(nodes)
    // At least two of those that keep it are no members of the journal: these lose it.
    const outsiders = (file: Stored) => keepers(nodes, file).filter((node) => !members.includes(node))
    const file = files.find((each) => outsiders(each).length === 2) as Stored
    const lossy = outsiders(file)
    const left = keepers(nodes, file).filter((node) => !lossy.includes(node))
    expect(left).toHaveLength(1)
    // It has been looked into before, as after everybody who comes or goes.
    await cluster.run(home.os.call('change', { op: 'repair' }))
    await cluster.advance(TOUCHED_MS)
    for (const node of nodes) if (!left.includes(node)) node.disk.blocks.delete(file.cid)
    expect(await health(cluster, home)).toMatchObject({ under: 1 })
    await cluster.run(home.os.call('change', { op: 'repair' }))
    await cluster.advance(10 * 60_000)
    expect(await health(cluster, home)).toMatchObject({ under: 0 })
    expect(holders(nodes, file).length).toBeGreaterThanOrEqual(2)
  })

  it('a member does not free the last copy because its leader believes that others keep it', async () => {
    const { cluster, nodes } = await withFiles(7, 103, 0)
    await homeAndOthers(cluster, nodes)
    const members = membersOf(nodes)
    expect(members).toHaveLength(3)
    // Written by a member that is not asked to keep it.
    let found: [Stored, SimNode] | undefined
    for (let i = 0; !found; i++) {
      const member = members[i % 3] as SimNode
      const file = await write(cluster, member, `/f-${i}`)
      await cluster.advance(5_000)
      if (!keepers([member], file).length) found = [file, member]
    }
    const [file, member] = found
    await cluster.advance(10_000)
    expect(keepers(nodes, file)).toHaveLength(COPIES)
    for (const node of nodes) if (node !== member) node.disk.blocks.delete(file.cid)
    await cluster.run(member.fs.writeFile('/other', 'y'))
    await cluster.run(member.fs.writeFile('/other', 'z'))
    await cluster.run(new Keg(member.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    // Those of the holders that are members have noticed, and fetched it from here.
    expect(holders(nodes, file).length).toBeGreaterThanOrEqual(2)
    expect(await cluster.run(member.fs.readFile(file.path))).toEqual(file.bytes)
  })
})

describe('copies', () => {
  it('as many as there are devices', async () => {
    const { cluster, nodes } = await withFiles(5, 104, 0)
    const writer = nodes[0] as SimNode
    const keg = new Keg(writer.os)
    await cluster.run(keg.create('/precious'))
    await cluster.run(keg.setCopies(5, { path: '/precious' }))
    await cluster.advance(10_000)
    const file = await write(cluster, writer, '/precious/f')
    await cluster.advance(10 * 60_000)
    expect({ on: holders(nodes, file).length, health: await health(cluster, writer, '/precious') }).toMatchObject({
      on: 5,
      health: { target: 4, under: 0 },
    })
  })
})

describe('two kegs with the same leaf on the same nodes', () => {
  it('sweeping ends', async () => {
    const { cluster, nodes } = await withFiles(6, 105, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.advance(10_000)
    const file = await write(cluster, writer, '/data/f')
    await write(cluster, writer, '/f', file.bytes)
    await cluster.advance(10_000)
    await cluster.run(writer.fs.rm('/f'))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(60 * 60_000)
    const before = cluster.lines.length
    await cluster.advance(3 * 60 * 60_000)
    const sweeps = cluster.lines.slice(before).filter((line) => line.includes('blocks of versions of'))
    expect(sweeps).toEqual([])
  })
})

describe('when all that keep its journal are lost', () => {
  it.each([1, 20])('a tree is changed again soon: %s files', async (count) => {
    const { cluster, nodes } = await withFiles(8, 122, count)
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    await cluster.advance(60_000)
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    const one = rest[0] as SimNode
    const from = cluster.clock.nowMs()
    let code = ''
    for (let i = 0; i < 10 && code !== 'ok'; i++)
      code = await codeOf(cluster.run(one.fs.writeFile('/small', 'x'), 300_000))
    expect({ code, soon: cluster.clock.nowMs() - from < 60_000 }).toEqual({ code: 'ok', soon: true })
  })
})

describe('branches', () => {
  it('one begins where there is none of those that keep the journal', async () => {
    const { cluster, nodes } = await withFiles(10, 120, 2)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const left = [...members, ...others.slice(0, 2)]
    const right = others.slice(2)
    await part(cluster, left, right, true)
    await cluster.advance(30_000)
    const one = right[0] as SimNode
    const codes: string[] = []
    while (codes.at(-1) !== 'ok' && codes.length < 20) {
      codes.push(await codeOf(cluster.run(one.fs.writeFile('/small', 'x'))))
      await cluster.advance(30_000)
    }
    expect(codes).toEqual(['ok'])
  })

  it('what was kept for one that was taken in is let go', async () => {
    const { cluster, nodes, files: already } = await withFiles(10, 120, 2)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const left = [...members, ...others.slice(0, 2)]
    const right = others.slice(2)
    expect(right).toHaveLength(5)
    // Otherwise no branch can begin: see above.
    for (const node of right) for (const { path } of already) await cluster.run(node.fs.readFile(path))
    await part(cluster, left, right, true)
    await cluster.advance(30_000)
    const files = await writeAll(cluster, right[0] as SimNode, 6, '')
    const named: Stored[] = []
    for (const [i, file] of files.entries()) {
      await cluster.run((right[0] as SimNode).fs.rename(file.path, `/right-${i}`))
      named.push({ ...file, path: `/right-${i}` })
    }
    await cluster.advance(20_000)
    await part(cluster, left, right, false)
    cluster.hub.setRelay(false)
    await cluster.advance(1_000)
    cluster.hub.setRelay(true)
    await cluster.until(
      async () => {
        const homes = await Promise.all(nodes.map(async (node) => (await node.os.info('node')).treeHome))
        return homes[0] !== null && homes.every((home) => home === homes[0])
      },
      'one home',
      600_000,
    )
    await cluster.advance(60_000)
    for (const { path, bytes } of named)
      expect(await cluster.run((left[0] as SimNode).fs.readFile(path))).toEqual(bytes)
    for (const { path } of named) await cluster.run((left[0] as SimNode).fs.rm(path))
    await cluster.run(new Keg((left[0] as SimNode).os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 6 * SWEEP_AGAIN_MS)
    expect(named.map((file) => keepers(nodes, file).length)).toEqual(named.map(() => 0))
  })

  it('a tree larger than any disk survives those that keep its journal', async () => {
    const cluster = newCluster({ seed: 121 })
    const nodes = await boot<SimNode[]>(cluster, 9)
    await oneHome(cluster)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
    await cluster.advance(10_000)
    const { FULL_BYTES } = await import('../limits.ts')
    const room = 14 * UNIT
    for (const { disk } of nodes) disk.quotaBytes = disk.usedBytes() + FULL_BYTES + room
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    const files: Stored[] = []
    for (let i = 0; i < 28; i++) {
      files.push(await write(cluster, rest[i % rest.length] as SimNode, `/file-${i}`))
      await cluster.advance(TOUCHED_MS)
    }
    for (const { disk } of nodes) disk.quotaBytes -= FULL_BYTES - UNIT
    const alive = files.filter((file) => keepers(rest, file).length > 0)
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    await cluster.advance(60_000)
    const one = rest[0] as SimNode
    let code = ''
    for (let i = 0; i < 10 && code !== 'ok'; i++) {
      code = await codeOf(cluster.run(one.fs.writeFile('/small', 'x'), 300_000))
      await cluster.advance(60_000)
    }
    for (const { path, bytes } of alive) expect(await cluster.run(one.fs.readFile(path))).toEqual(bytes)
    expect(code).toBe('ok')
    await cluster.advance(10 * 60_000)
    const copies = alive.map((file) => holders(rest, file).length)
    expect(copies.filter((count) => count < 2)).toEqual([])
  })
})

describe('tabs that are frozen', () => {
  it('do not hold up writers for long', async () => {
    const { cluster, nodes } = await withFiles(7, 140, 0)
    const members = membersOf(nodes)
    const others = nodes.filter((node) => !members.includes(node))
    const [home] = await homeAndOthers(cluster, nodes)
    await cluster.advance(60_000)
    for (const node of others.slice(0, 2)) node.freeze()
    const times: number[] = []
    for (let i = 0; i < 12; i++) {
      const from = cluster.clock.nowMs()
      await cluster.run(home.fs.writeFile(`/w-${i}`, cluster.random.bytes(UNIT)), 300_000)
      times.push(cluster.clock.nowMs() - from)
    }
    expect(Math.max(...times)).toBeLessThan(10_000)
  })
})

describe('a node that was away', () => {
  it('frees what was given up meanwhile', async () => {
    const { cluster, nodes, files } = await withFiles(7, 141, 12)
    const members = membersOf(nodes)
    const [away] = nodes.filter((node) => !members.includes(node) && node !== nodes[0]) as [SimNode]
    const kept = files.filter((file) => keepers([away], file).length > 0)
    expect(kept.length).toBeGreaterThan(0)
    await cluster.run(away.close())
    await cluster.advance(30_000)
    const writer = nodes[0] as SimNode
    for (const { path } of files) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 2 * SWEEP_AGAIN_MS)
    await cluster.run(away.boot())
    await cluster.advance(6 * SWEEP_AGAIN_MS)
    expect(kept.map((file) => keepers([away], file).length)).toEqual(kept.map(() => 0))
  })
})

describe('how many copies', () => {
  it('is what it was, when a tree is kept on as a branch', async () => {
    const { cluster, nodes } = await withFiles(8, 150, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).setCopies(5))
    await cluster.advance(10_000)
    const members = membersOf(nodes)
    const rest = nodes.filter((node) => !members.includes(node))
    for (const member of members) {
      member.crash()
      cluster.forget(member)
    }
    const one = rest[0] as SimNode
    for (let i = 0; i < 5; i++) if ((await codeOf(cluster.run(one.fs.writeFile('/small', 'x')))) === 'ok') break
    expect(await cluster.run(new Keg(one.os).copies())).toBe(5)
  })

  it('is made when there is room again', async () => {
    const { cluster, nodes } = await withFiles(6, 151, 0)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const full = nodes.filter((node) => node !== home && node !== others[0])
    for (const { disk } of full) disk.quotaBytes = disk.usedBytes() + 8 * UNIT
    await cluster.advance(3 * 60_000)
    const file = await write(cluster, others[0] as SimNode, '/f')
    await cluster.advance(30_000)
    for (const { disk } of full) disk.quotaBytes = Number.POSITIVE_INFINITY
    await cluster.advance(30 * 60_000)
    expect(keepers(nodes, file).length).toBe(COPIES)
  })
})

describe('a keg', () => {
  it('whose keepers have never looked into it frees what it does not need', async () => {
    const { cluster, nodes } = await withFiles(8, 152, 0)
    const writer = nodes[0] as SimNode
    await cluster.run(new Keg(writer.os).create('/data'))
    await cluster.advance(10_000)
    const files = await writeAll(cluster, writer, 8, '/data')
    await cluster.advance(10_000)
    // After a reload they know nothing but their pins.
    const members = membersOf(nodes)
    for (const node of nodes) {
      if (members.includes(node) || node === writer) continue
      await cluster.run(node.close())
      await cluster.run(node.boot())
    }
    await cluster.advance(60_000)
    for (const { path } of files) await cluster.run(writer.fs.rm(path))
    await cluster.run(new Keg(writer.os).gc({ keep: 1, forMs: 0, path: '/data' }))
    await cluster.advance(SWEEP_AFTER_MS + TOUCHED_MS + 3 * SWEEP_AGAIN_MS)
    expect(files.map((file) => keepers(nodes, file).length)).toEqual(files.map(() => 0))
  })
})
