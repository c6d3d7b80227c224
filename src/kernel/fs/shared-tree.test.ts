import { encode } from 'cborg'
import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { shortNode } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import {
  boot,
  codeOf,
  eventsOf,
  homeAndOthers,
  meshed,
  newCluster,
  oneHome,
  snapshot,
  type TestCluster,
} from '../cluster.contract.ts'

const EMPTY = { '/home/': '', '/tmp/': '' }

/** Two tabs that never heard of each other, each with files; then they meet. */
async function twoAlone(seed: number, write: (cluster: TestCluster, a: SimNode, b: SimNode) => Promise<void>) {
  const cluster = newCluster({ seed })
  cluster.hub.setRelay(false)
  const [a, b] = [cluster.addNode(), cluster.addNode()]
  for (const node of [a, b]) await cluster.run(node.boot())
  await write(cluster, a, b)
  cluster.hub.setRelay(true)
  await meshed(cluster)
  await oneHome(cluster)
  await cluster.advance(2_000)
  return { cluster, a, b }
}

describe('the shared tree', () => {
  it('is there at once for a tab that is alone', async () => {
    const cluster = newCluster()
    cluster.hub.setRelay(false)
    const node = cluster.addNode()
    await cluster.run(node.boot())
    const startMs = cluster.clock.nowMs()
    await cluster.run(node.fs.writeFile('/x', 'alone'))
    expect(cluster.clock.nowMs() - startMs).toBeLessThan(100)
    expect(await snapshot(cluster, node)).toEqual({ ...EMPTY, '/x': 'alone' })
  })

  it('shows a change of one node to all others at once', async () => {
    const cluster = newCluster()
    const [a, b, c] = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    for (const [i, node] of [a, b, c].entries()) {
      await cluster.run(node.fs.writeFile('/x', `${i}`))
      for (const other of [a, b, c]) expect(await cluster.run(other.fs.readFile('/x', 'utf8'))).toBe(`${i}`)
    }
  })

  it('refuses the same as POSIX whichever node asks, and stays as it was', async () => {
    const cluster = newCluster()
    const [a, b] = await boot<[SimNode, SimNode]>(cluster, 2)
    for (const { fs } of [a, b]) {
      expect(await codeOf(cluster.run(fs.mkdir('/tmp')))).toBe('EEXIST')
      expect(await codeOf(cluster.run(fs.writeFile('/no/x', '')))).toBe('ENOENT')
      expect(await codeOf(cluster.run(fs.readFile('/tmp')))).toBe('EISDIR')
      expect(await codeOf(cluster.run(fs.rm('/no')))).toBe('ENOENT')
      expect(await codeOf(cluster.run(fs.rename('/tmp', '/tmp/x')))).toBe('EINVAL')
      expect(await codeOf(cluster.run(fs.writeFile('/bin/x', '')))).toBe('EROFS')
      expect(await codeOf(cluster.run(fs.rm('/proc', { recursive: true })))).toBe('EROFS')
      expect(await codeOf(cluster.run(fs.rename('/tmp', '/bin')))).toBe('EROFS')
      expect(await codeOf(cluster.run(fs.readFile('/proc/K-12345678/stdout')))).toBe('ESRCH')
    }
    expect(await snapshot(cluster, a)).toEqual(EMPTY)
  })

  it('keeps every one of many changes that all nodes make at once, in one order for all', async () => {
    const cluster = newCluster({ split: true })
    const nodes = await boot(cluster, 4)
    const writes = nodes.flatMap((node, n) =>
      Array.from({ length: 10 }, (_, i) => node.fs.writeFile(`/tmp/${n}-${i}`, `${n}${i}`)),
    )
    await cluster.run(Promise.all(writes))
    for (const node of nodes) expect((await cluster.run(node.fs.readdir('/tmp'))).length).toBe(40)
  })

  it('goes on when a file is lost everywhere: who writes it is told, and nobody else', async () => {
    const cluster = newCluster()
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    const [a, , c] = nodes
    const bytes = new Uint8Array(3 * 1024 * 1024).map((_, i) => (i >> 20) + 1)
    await cluster.run(a.fs.writeFile('/log', bytes))
    await cluster.advance(5_000)
    for (const { disk } of nodes) {
      for (const [cid, block] of [...disk.blocks])
        if (block.byteLength === 1 << 20 && block[0] === 1) disk.blocks.delete(cid)
    }
    // What was there when a tab looked last is not looked for with each change.
    for (const node of nodes) {
      await cluster.run(node.close())
      await cluster.run(node.boot())
    }
    await oneHome(cluster)
    const handle = await cluster.run(a.fs.open('/log', 'a'))
    await cluster.run(handle.write(new Uint8Array([1])))
    const appended = codeOf(cluster.run(handle.close()))
    expect(await codeOf(cluster.run(c.fs.writeFile('/other', 'z')))).toBe('ok')
    expect(await appended).toBe('EIO')
  })

  it('lets exactly one of several exclusive creators win', async () => {
    const cluster = newCluster()
    const nodes = await boot(cluster, 3)
    const create = async (node: SimNode) => {
      const handle = await node.fs.open('/lock', 'wx')
      await handle.write(new Uint8Array([1]))
      await handle.close()
    }
    const outcomes = await cluster.run(Promise.all(nodes.map((node) => codeOf(create(node)))))
    expect(outcomes.sort()).toEqual(['EEXIST', 'EEXIST', 'ok'])
  })
})

describe('when the home of the tree goes', () => {
  it.each(['close', 'crash'] as const)('by a %s, another takes over with all files, and writes go on', async (how) => {
    const cluster = newCluster({ seed: 3 })
    const nodes = await boot(cluster, 3)
    const [home, others] = await homeAndOthers(cluster, nodes)
    await cluster.run(home.fs.mkdir('/deep/er', { recursive: true }))
    await cluster.run((others[0] as SimNode).fs.writeFile('/deep/er/x', 'kept'))
    await cluster.advance(1_000)
    if (how === 'close') await cluster.run(home.close())
    else home.crash()
    const startMs = cluster.clock.nowMs()
    await cluster.run((others[1] as SimNode).fs.writeFile('/after', 'goes on'))
    expect(cluster.clock.nowMs() - startMs).toBeLessThan(how === 'close' ? 5_000 : 10_000)
    await oneHome(cluster, others)
    for (const node of others)
      expect(await snapshot(cluster, node)).toEqual({
        ...EMPTY,
        '/deep/': '',
        '/deep/er/': '',
        '/deep/er/x': 'kept',
        '/after': 'goes on',
      })
  })

  it('for a reload only, it is home again and nothing is merged', async () => {
    const cluster = newCluster({ seed: 4 })
    const nodes = await boot(cluster, 2)
    const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
    await cluster.run(home.fs.writeFile('/x', 'mine'))
    await cluster.run(home.close())
    await cluster.run(home.boot())
    await meshed(cluster)
    await oneHome(cluster)
    expect(await snapshot(cluster, home)).toEqual({ ...EMPTY, '/x': 'mine' })
    expect(await snapshot(cluster, other)).toEqual({ ...EMPTY, '/x': 'mine' })
  })

  it('for good and both others follow, the last one left still has all directories', async () => {
    const cluster = newCluster({ seed: 5 })
    const nodes = await boot(cluster, 4)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
    for (const node of nodes) await cluster.run(node.fs.readFile('/x'))
    for (let left = 4; left > 1; left--) {
      const [home, [other]] = (await homeAndOthers(cluster, cluster.up())) as [SimNode, [SimNode]]
      home.crash()
      // Where too few are left to keep the tree together, the first change begins a branch of it.
      await cluster.run(other.fs.writeFile(`/left-${left}`, ''))
      // Whoever is left keeps the tree by then: what a branch acknowledges at first, its home may have alone.
      await cluster.advance(5_000)
    }
    expect(await snapshot(cluster, cluster.up()[0] as SimNode)).toEqual({ ...EMPTY, '/x': 'x', '/left-4': '', '/left-3': '', '/left-2': '' }) // biome-ignore format: one line
  })

  it('and comes back with nothing new, two homes later: it follows, nothing reappears and nothing conflicts', async () => {
    const cluster = newCluster({ seed: 6 })
    const nodes = await boot(cluster, 3)
    const [first] = await homeAndOthers(cluster, nodes)
    await cluster.run(first.fs.writeFile('/changed', 'old'))
    await cluster.run(first.fs.writeFile('/deleted', 'x'))
    for (const node of nodes) await cluster.run(node.fs.readFile('/changed'))
    await cluster.advance(1_000)
    await cluster.run(first.close())
    const [second, [third]] = (await homeAndOthers(cluster, cluster.up())) as [SimNode, [SimNode]]
    await cluster.run(third.fs.writeFile('/changed', 'new'))
    await cluster.run(third.fs.rm('/deleted'))
    await cluster.advance(1_000)
    await cluster.run(second.close())
    await cluster.run(third.fs.writeFile('/alone', ''))
    await cluster.run(first.boot())
    await meshed(cluster)
    await oneHome(cluster)
    await cluster.advance(3_000)
    const all = { ...EMPTY, '/changed': 'new', '/alone': '' }
    for (const node of cluster.up()) expect(await snapshot(cluster, node)).toEqual(all)
    // The tree itself is back with its last keeper: what was changed meanwhile is merged into it.
    await cluster.run(second.boot())
    await meshed(cluster)
    await cluster.advance(3_000)
    await oneHome(cluster)
    for (const node of cluster.up()) expect(await snapshot(cluster, node)).toEqual(all)
  })

  it('and a link that breaks for a second only: nobody takes over, and a change waits for it', async () => {
    const cluster = newCluster({ seed: 7 })
    const nodes = await boot(cluster, 2)
    const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
    await cluster.run(other.fs.writeFile('/x', '1'))
    cluster.hub.setPartition(home.id, other.id, true)
    await cluster.advance(300)
    const write = other.fs.writeFile('/x', '2')
    await cluster.advance(700)
    cluster.hub.setPartition(home.id, other.id, false)
    await cluster.run(write)
    expect(await oneHome(cluster)).toBe(home.id)
    expect(await snapshot(cluster, home)).toEqual({ ...EMPTY, '/x': '2' })
    expect(cluster.lines.some((line) => line.includes('now keeps /'))).toBe(false)
  })
})

describe('when the disk of the home of the tree takes no more', () => {
  const kept = { ...EMPTY, '/x': 'x' }
  const full = (home: SimNode) => {
    home.disk.quotaBytes = home.disk.usedBytes() + 100_000
  }
  const broken = (home: SimNode) => {
    home.disk.blocks.set = () => {
      throw new OsError('EIO', 'the disk is broken')
    }
  }

  it.each([
    ['full', 'elsewhere', full],
    ['broken', 'elsewhere', broken],
    ['broken', 'at home', broken],
  ] as const)('because it is %s, another leads, and a change made %s goes on', async (_how, where, spoil) => {
    const cluster = newCluster({ seed: 21 })
    const nodes = await boot(cluster, 3)
    const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
    await cluster.run(home.fs.writeFile('/x', 'x'))
    await cluster.advance(1_000)
    spoil(home)
    if (where === 'elsewhere') await cluster.run(other.fs.writeFile('/large', new Uint8Array(500_000)))
    else await cluster.run(home.fs.mkdir('/made'))
    expect(await oneHome(cluster)).not.toBe(home.id)
    const seen = await snapshot(cluster, other)
    expect(Object.keys(seen)).toEqual(expect.arrayContaining([...Object.keys(kept), where === 'elsewhere' ? '/large' : '/made/'])) // biome-ignore format: one line
  })

  it('and no other can store it either, whoever writes is told', async () => {
    const cluster = newCluster({ seed: 22 })
    const nodes = await boot(cluster, 4)
    await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
    await cluster.advance(1_000)
    const keeps = ({ disk }: SimNode) => [...disk.logs.keys()].some((name) => name.startsWith('tree/'))
    const writer = nodes.find((node) => !keeps(node)) as SimNode
    for (const node of nodes) if (node !== writer) full(node)
    expect(await codeOf(cluster.run(writer.fs.writeFile('/large', new Uint8Array(500_000))))).toBe('ENOSPC')
    expect(await codeOf(cluster.run(writer.fs.writeFile('/small', 'x')))).toBe('ok')
  })
})

describe('when two parts that worked alone meet', () => {
  it('who brings what both have changed is told what it is called now', async () => {
    const { cluster, a, b } = await twoAlone(9, async (cluster, a, b) => {
      for (const [node, text] of [
        [a, 'a'],
        [b, 'b'],
      ] as const) {
        await cluster.run(node.fs.mkdir('/d'))
        for (const name of ['x', 'y']) await cluster.run(node.fs.writeFile(`/d/${name}`, text))
      }
    })
    const events = [...(await eventsOf(cluster, a)), ...(await eventsOf(cluster, b))]
    const [notice] = events.flatMap((event) => (event.type === 'notice' ? [event.message] : []))
    expect(notice).toMatch(/had changed some of them too: what was here is \/d\/x\.conflict-\w+ and 1 more$/)
  })

  it('nothing is lost, and both learn of it', async () => {
    const { cluster, a, b } = await twoAlone(8, async (cluster, a, b) => {
      await cluster.run(a.fs.writeFile('/from-a', 'a'))
      await cluster.run(a.fs.mkdir('/both/a', { recursive: true }))
      await cluster.run(b.fs.writeFile('/from-b', 'b'))
      await cluster.run(b.fs.mkdir('/both/b', { recursive: true }))
      await cluster.run(b.fs.writeFile('/both/b/x', 'x'))
    })
    const merged = { ...EMPTY, '/from-a': 'a', '/from-b': 'b', '/both/': '', '/both/a/': '', '/both/b/': '', '/both/b/x': 'x' } // biome-ignore format: one line
    expect(await snapshot(cluster, a)).toEqual(merged)
    expect(await snapshot(cluster, b)).toEqual(merged)
    const notices = [...(await eventsOf(cluster, a)), ...(await eventsOf(cluster, b))]
    expect(notices.some((event) => event.type === 'notice' && event.message.includes('were merged'))).toBe(true)
  })

  it('a file that both wrote is kept twice, the second under a name that says whose it is', async () => {
    const { cluster, a, b } = await twoAlone(9, async (cluster, a, b) => {
      await cluster.run(a.fs.writeFile('/x', 'of a'))
      await cluster.run(b.fs.writeFile('/x', 'of b'))
      await cluster.run(a.fs.writeFile('/same', 'same'))
      await cluster.run(b.fs.writeFile('/same', 'same'))
    })
    const [home, other] = (await oneHome(cluster)) === a.id ? [a, b] : [b, a]
    const text = (node: SimNode) => (node === a ? 'of a' : 'of b')
    for (const node of [a, b])
      expect(await snapshot(cluster, node)).toEqual({
        ...EMPTY,
        '/same': 'same',
        '/x': text(home),
        [`/x.conflict-${shortNode(other.id)}`]: text(other),
      })
  })

  it('a file and a directory of one name are both kept', async () => {
    const { cluster, a, b } = await twoAlone(10, async (cluster, a, b) => {
      await cluster.run(a.fs.writeFile('/x', 'a file'))
      await cluster.run(b.fs.mkdir('/x'))
      await cluster.run(b.fs.writeFile('/x/inside', 'a directory'))
    })
    const all = Object.entries(await snapshot(cluster, a))
    expect(all.map(([, text]) => text).sort()).toEqual(['', '', '', 'a directory', 'a file'])
    expect(await snapshot(cluster, b)).toEqual(Object.fromEntries(all))
  })

  it('names as long as names can be are kept too', async () => {
    const name = `/${'é'.repeat(127)}`
    const { cluster, a } = await twoAlone(11, async (cluster, a, b) => {
      await cluster.run(a.fs.writeFile(name, 'of a'))
      await cluster.run(b.fs.writeFile(name, 'of b'))
      await cluster.run(b.fs.writeFile('/other', 'x'))
      await cluster.run(a.fs.writeFile('/another', 'x'))
    })
    expect(Object.values(await snapshot(cluster, a)).sort()).toEqual(['', '', 'of a', 'of b', 'x', 'x'])
  })

  it('again and again, no earlier conflict copy is overwritten', async () => {
    const cluster = newCluster({ seed: 12 })
    const nodes = (await boot(cluster, 2)) as [SimNode, SimNode]
    const texts = new Set<string>()
    for (let round = 0; round < 3; round++) {
      await oneHome(cluster)
      cluster.hub.setRelay(false)
      cluster.hub.setPartition(nodes[0].id, nodes[1].id, true)
      // Long enough for the follower to take over: now both are home.
      await cluster.advance(20_000)
      for (const [i, node] of nodes.entries()) {
        await cluster.run(node.fs.writeFile('/x', `${round}${i}`))
        texts.add(`${round}${i}`)
      }
      cluster.hub.setPartition(nodes[0].id, nodes[1].id, false)
      cluster.hub.setRelay(true)
      await meshed(cluster)
      await oneHome(cluster)
      await cluster.advance(3_000)
    }
    const present = Object.values(await snapshot(cluster, nodes[0])).filter((text) => text !== '')
    // Each round replaces the name itself once; what was written in the other part must be there.
    for (let round = 0; round < 3; round++) expect(present.some((text) => text.startsWith(`${round}`))).toBe(true)
    expect(present.length).toBeGreaterThanOrEqual(4)
    expect(new Set(present).size).toBe(present.length)
  })

  it('a home that went on alone merges what it wrote when it returns, whatever happened meanwhile', async () => {
    const cluster = newCluster({ seed: 13 })
    const nodes = await boot(cluster, 3)
    const [home, others] = await homeAndOthers(cluster, nodes)
    await cluster.run(home.fs.writeFile('/before', 'x'))
    for (const other of others) cluster.hub.setPartition(home.id, other.id, true)
    // Under way while the others went away: nobody can say whether they have it.
    expect(await codeOf(cluster.run(home.fs.writeFile('/perhaps', 'at home')))).toBe('ok')
    expect(await codeOf(cluster.run(home.fs.writeFile('/alone', '', { ack: 'majority' })))).toBe('ENOQUORUM')
    const closed = await cluster.run(home.fs.writeFile('/alone', 'at home'))
    expect(closed.ack).toEqual({ level: 'local', devices: 1 })
    await oneHome(cluster, others)
    await cluster.run((others[0] as SimNode).fs.writeFile('/meanwhile', 'there'))
    for (const other of others) cluster.hub.setPartition(home.id, other.id, false)
    await meshed(cluster)
    await oneHome(cluster)
    await cluster.advance(3_000)
    for (const node of nodes)
      expect(await snapshot(cluster, node)).toEqual({ ...EMPTY, '/before': 'x', '/perhaps': 'at home', '/alone': 'at home', '/meanwhile': 'there' }) // biome-ignore format: one line
    expect(cluster.lines.some((line) => line.includes('changes go to a branch'))).toBe(true)
  })

  it('a file that is created there while its namesake is being merged is not overwritten', async () => {
    const { cluster, a, b } = await twoAlone(14, async (cluster, a, b) => {
      for (let i = 0; i < 30; i++) await cluster.run(a.fs.writeFile(`/tmp/a${i}`, `${i}`))
      await cluster.run(b.fs.writeFile('/race', 'of b'))
      for (const node of [a, b]) {
        void node.fs.writeFile('/race2', `of ${node === a ? 'a' : 'b'}`).catch(() => undefined)
      }
    })
    const all = Object.values(await snapshot(cluster, a))
    expect(all).toContain('of b')
    expect(all).toContain('of a')
    expect(await snapshot(cluster, b)).toEqual(await snapshot(cluster, a))
  })
})

describe('a kernel boots whatever its disk holds', () => {
  const garbage = new Uint8Array([0xff, 0x00])
  const works = async (spoil: (node: SimNode) => void) => {
    const cluster = newCluster()
    const node = cluster.addNode()
    spoil(node)
    await cluster.run(node.boot())
    await cluster.run(node.fs.writeFile('/x', 'works'))
    return cluster
  }

  it.each([
    ['garbage', garbage],
    ['a head of another version', encode({ generation: 1, version: 2, root: 'bafy', home: 'x' })],
  ])('%s as the head of /', async (_what, bytes) => {
    const cluster = await works((node) => node.disk.records.set('tree', new Uint8Array(bytes)))
    expect(cluster.lines.some((line) => line.includes('error fs'))).toBe(true)
  })

  it('garbage as the journal of a tree', async () => {
    const name = `tree/K-${'0'.repeat(64)}`
    const log = { snapshotIndex: 1, snapshot: garbage, entries: [garbage] }
    const cluster = await works((node) => node.disk.logs.set(name, log))
    expect(cluster.lines.some((line) => line.includes('cannot be read'))).toBe(true)
  })
})

describe('a hostile head of the tree', () => {
  it('with numbers near 2^53 does not make the kernels refuse each other for ever', async () => {
    const cluster = newCluster({ seed: 15 })
    const nodes = await boot(cluster, 3)
    const [hostile, ...honest] = nodes as [SimNode, SimNode, SimNode]
    await oneHome(cluster)
    const info = await cluster.run(hostile.fs.stat('/'))
    await cluster.run(hostile.close())
    const network = await impostor(cluster, hostile, {
      generation: Number.MAX_SAFE_INTEGER,
      version: Number.MAX_SAFE_INTEGER,
      root: info.info.cid as string,
      home: hostile.id,
      bases: [],
      sinceMs: 0,
    })
    await cluster.advance(2_000)
    network.crash()
    await cluster.advance(20_000)
    await cluster.run((honest[0] as SimNode).fs.writeFile('/x', 'still works'))
    for (const node of honest) expect(await cluster.run(node.fs.readFile('/x', 'utf8'))).toBe('still works')
    for (const node of honest) {
      await cluster.run(node.close())
      await cluster.run(node.boot())
    }
    expect(await cluster.run((honest[0] as SimNode).fs.readFile('/x', 'utf8'))).toBe('still works')
  })

  it('that names thousands of homes makes no kernel dial them all', async () => {
    const cluster = newCluster({ seed: 16 })
    const [victim] = await boot<[SimNode]>(cluster, 1)
    await cluster.run(victim.fs.writeFile('/x', 'x'))
    const { root } = { root: (await cluster.run(victim.fs.stat('/'))).info.cid as string }
    let dials = 0
    const connect = victim.network?.connect.bind(victim.network)
    if (victim.network && connect)
      victim.network.connect = (peer) => {
        dials++
        return connect(peer)
      }
    const hostile = cluster.addNode()
    const heads = Array.from({ length: 2_000 }, (_, i) => ({
      generation: 5,
      version: i,
      root,
      home: `12D3KooWfake${'abcdefghij'[Math.floor(i / 200)]}${(i + 1111).toString(26).replaceAll('0', 'z').replaceAll('l', 'y')}zz`,
      bases: [],
      sinceMs: 0,
    }))
    await impostor(cluster, hostile, ...heads)
    await cluster.advance(30_000)
    expect(dials).toBeLessThan(200)
    await cluster.run(victim.fs.writeFile('/y', 'y'), 300_000)
  })
})

/** Joins the network under a node's name and says what no kernel would. */
async function impostor(cluster: TestCluster, as: SimNode, ...heads: object[]) {
  const { MemoryNetwork } = await import('../../adapters/memory/network.ts')
  const { encodeFrame, FRAME } = await import('../rpc/frames.ts')
  const { helloOf } = await import('../harness.contract.ts')
  const network = new MemoryNetwork(cluster.hub, as.id)
  const greet = (send: (bytes: Uint8Array) => void, kind: string) => {
    send(encodeFrame([FRAME.HELLO, helloOf({ cluster: 'sim' })]))
    if (kind === 'control') for (const head of heads) send(encodeFrame([FRAME.NOTE, 'tree.head', head]))
  }
  network.onStream((_peer, kind, stream) => {
    stream.onData(() => undefined)
    stream.onClose(() => undefined)
    greet((bytes) => stream.send(bytes), kind)
  })
  network.on((event) => {
    if (event.type !== 'connected' || event.peer < network.self) return
    for (const kind of ['control', 'bulk'] as const)
      void network.open(event.peer, kind).then((stream) => greet((bytes) => stream.send(bytes), kind))
  })
  await network.start()
  for (const node of cluster.up()) await cluster.run(network.connect(node.id))
  return network
}
