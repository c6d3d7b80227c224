import { beforeEach, describe, expect, it, vi } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { Network, NetworkEvent } from '../../ports/network.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, eventsOf, meshed, newCluster, type TestCluster } from '../cluster.contract.ts'
import { stranger } from '../fs/placement.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { MAX_MESH_PEERS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'

let cluster: TestCluster
let a: SimNode
let b: SimNode
let c: SimNode
beforeEach(async () => {
  cluster = newCluster({ seed: 1 })
  ;[a, b, c] = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
})

const stateOf = async (of: SimNode, seenBy: SimNode) =>
  (await cluster.run(seenBy.os.info('peers'))).find(({ id }) => id === of.id)?.state
const left = async (node: SimNode) => (await eventsOf(cluster, node)).filter(({ type }) => type === 'peer-left')
/** How long a node is still listed by another. */
const goneAfter = (of: SimNode, seenBy: SimNode, limitMs = 20_000) =>
  cluster.until(async () => (await stateOf(of, seenBy)) === undefined, 'gone', limitMs)

describe('a tab', () => {
  it('that closes is gone from every list within 1 s, with its reason', async () => {
    await cluster.run(b.close())
    for (const node of [a, c]) expect(await goneAfter(b, node)).toBeLessThan(1_000)
    expect(await left(a)).toEqual([{ type: 'peer-left', peer: b.id, reason: 'its tab closed' }])
  })

  it('that closes while the relay is down is gone within 1 s as well', async () => {
    cluster.hub.setRelay(false)
    await cluster.run(b.close())
    for (const node of [a, c]) expect(await goneAfter(b, node)).toBeLessThan(1_000)
  })

  it('whose worker was ended before it could take its leave has its page do so, through the relay', async () => {
    b.crash()
    for (const node of [a, c]) node.network?.deliver({ type: 'hint-gone', peer: b.id, said: b.goodbye })
    for (const node of [a, c]) expect(await goneAfter(b, node)).toBeLessThan(100)
    expect(await left(a)).toEqual([{ type: 'peer-left', peer: b.id, reason: 'its page said goodbye' }])
  })

  it('is not taken for closed because a relay says so', async () => {
    for (const said of [undefined, '', 'a guess', c.goodbye]) {
      a.network?.deliver({ type: 'hint-gone', peer: b.id, said })
    }
    await cluster.advance(5_000)
    expect(await stateOf(b, a)).toBe('alive')
    expect(await left(a)).toEqual([])
  })

  it('that is killed is gone within 5 s; without the relay as soon as ICE gives it up', async () => {
    b.crash()
    for (const node of [a, c]) expect(await goneAfter(b, node)).toBeLessThan(5_000)
    cluster.hub.setRelay(false)
    c.crash()
    expect(await goneAfter(c, a)).toBeLessThan(5_150)
  })

  it('that is reloaded joins again as another session, and is listed once', async () => {
    b.crash()
    await cluster.run(b.boot())
    await meshed(cluster)
    expect((await cluster.run(a.os.info('peers'))).length).toBe(2)
    expect(
      (await eventsOf(cluster, a)).filter((event) => event.type === 'peer-joined' && event.peer === b.id).length,
    ).toBe(2)
  })

  it.each([
    ['and nobody dials it', ['hint-gone'] as const, 0],
    ['and is dialled where the relay says that it is there again', ['hint-gone', 'found'] as const, 1],
    ['and nobody dials it once it is gone for good', ['hint-gone', 'found', 'hint-gone'] as const, 0],
  ])('whose connection to the relay closed is gone with its link, %s', async (_what, said, dials) => {
    // In this order it comes to whoever stood still while the other was reloaded.
    b.crash()
    for (const type of said)
      a.network?.deliver({ type, peer: b.id, ...(type === 'found' ? { via: 'relay' } : {}) } as NetworkEvent)
    const connect = vi.spyOn(a.network as Network, 'connect')
    await cluster.until(async () => (await left(a)).length > 0, 'it is gone', 10_000)
    connect.mockClear()
    await cluster.advance(5_000)
    expect(Math.min(1, connect.mock.calls.filter(([peer]) => peer === b.id).length)).toBe(dials)
  })

  it.each([
    ['the relay works', true],
    ['the relay is down', false],
  ])(
    'that closes is not dialled because the relay has named it long ago, when this tab came back to it: %s',
    async (_what, works) => {
      cluster.hub.setRelayFor(a.id, false)
      await cluster.advance(1_000)
      cluster.hub.setRelayFor(a.id, true)
      await cluster.advance(600_000)
      cluster.hub.setRelay(works)
      await cluster.advance(1_000)
      const connect = vi.spyOn(a.network as Network, 'connect')
      await cluster.run(b.close())
      await cluster.advance(60_000)
      expect(connect.mock.calls.filter(([peer]) => peer === b.id)).toEqual([])
    },
  )

  it('that is hidden or shown says so at once', async () => {
    b.kernel?.lifecycle('hidden')
    await cluster.advance(50)
    expect(await stateOf(b, a)).toBe('hidden')
    b.kernel?.lifecycle('visible')
    await cluster.advance(50)
    expect(await stateOf(b, a)).toBe('alive')
  })

  it('that is frozen in the background and goes on there is hidden as before', async () => {
    for (const [event, state] of [
      ['hidden', 'hidden'],
      ['freeze', 'frozen'],
      ['resume', 'hidden'],
      ['visible', 'alive'],
    ] as const) {
      b.kernel?.lifecycle(event)
      await cluster.advance(50)
      expect(await stateOf(b, a)).toBe(state)
    }
  })

  it('that announced that it freezes is never declared dead while its network stack answers', async () => {
    b.kernel?.lifecycle('freeze')
    await cluster.advance(50)
    const thaw = b.freeze()
    // Its page does nothing any more: the relay closes its connection sooner or later.
    for (const listener of [a, c]) listener.network?.deliver({ type: 'hint-gone', peer: b.id })
    await cluster.advance(600_000)
    expect(await stateOf(b, a)).toBe('frozen')
    expect(await left(a)).toEqual([])
    thaw()
    b.kernel?.lifecycle('resume')
    await cluster.advance(3_000)
    expect(await stateOf(b, a)).toBe('alive')
  })

  it('that announced that it freezes and is then killed is gone once its network stack is', async () => {
    b.kernel?.lifecycle('freeze')
    await cluster.advance(50)
    b.crash()
    expect(await goneAfter(b, a)).toBeLessThan(10_000)
  })

  // A tab in the background may be frozen, or hang, before it could say so.
  it.each([
    ['visible', 'alive'],
    ['hidden', 'hidden'],
  ] as const)(
    'that is %s and silent but reachable is busy: it becomes stalled, is not dead, and comes back',
    async (seen, as) => {
      b.kernel?.lifecycle(seen)
      await cluster.advance(50)
      const thaw = b.freeze()
      await cluster.until(async () => (await stateOf(b, a)) === 'stalled', 'stalled', 10_000)
      await cluster.advance(60_000)
      expect(await stateOf(b, a)).toBe('stalled')
      thaw()
      await cluster.until(async () => (await stateOf(b, a)) === as, `${as} again`, 3_000)
      expect(await left(a)).toEqual([])
    },
  )

  it('whose own clock stood still declares nobody dead when it goes on', async () => {
    await cluster.advance(10_000)
    const thaw = a.freeze()
    // While it stands still its transport loses sight of the others; it hears of that before its next tick.
    a.network?.deliver({ type: 'reachable', peer: b.id, reachable: false })
    await cluster.advance(45_000)
    thaw()
    await cluster.advance(5)
    a.network?.deliver({ type: 'reachable', peer: b.id, reachable: true })
    await cluster.advance(10_000)
    expect(await left(a)).toEqual([])
    expect([await stateOf(b, a), await stateOf(c, a)]).toEqual(['alive', 'alive'])
  })
})

describe('a link', () => {
  it('that breaks for a moment is not noticed by anybody above', async () => {
    cluster.hub.setPartition(a.id, b.id, true)
    await cluster.advance(1_000)
    expect((await cluster.run(a.os.info('peers'))).find(({ id }) => id === b.id)?.direct).toBe(false)
    cluster.hub.setPartition(a.id, b.id, false)
    await cluster.advance(2_000)
    expect((await cluster.run(a.os.info('peers'))).find(({ id }) => id === b.id)?.direct).toBe(true)
    expect([...(await left(a)), ...(await left(b))]).toEqual([])
  })

  it('that breaks for longer comes back by itself, although nobody mentions the peer again', async () => {
    cluster.hub.setPartition(a.id, b.id, true)
    await cluster.advance(10_000)
    expect(await stateOf(b, a)).toBeUndefined()
    cluster.hub.setPartition(a.id, b.id, false)
    await meshed(cluster)
  })

  it('that breaks for very long comes back when a third node tells of the other', async () => {
    cluster.hub.setPartition(a.id, b.id, true)
    await cluster.advance(600_000)
    cluster.hub.setPartition(a.id, b.id, false)
    await cluster.until(async () => (await stateOf(b, a)) !== undefined, 'meshed again', 120_000)
  })

  it('stays when the relay dies, and new tabs join when it returns', async () => {
    cluster.hub.setRelay(false)
    await cluster.advance(120_000)
    await meshed(cluster)
    const late = cluster.addNode()
    await cluster.run(late.boot())
    await cluster.advance(5_000)
    expect(await cluster.run(late.os.info('peers'))).toEqual([])
    cluster.hub.setRelay(true)
    await meshed(cluster)
  })

  it('has a round-trip time', async () => {
    await cluster.advance(10_000)
    for (const row of await cluster.run(a.os.info('peers'))) {
      expect(row.rttMs).toBeGreaterThan(1)
      expect(row.rttMs).toBeLessThan(7)
    }
  })
})

it('an idle mesh keeps one heartbeat timer per node, and no other that repeats more often', async () => {
  await cluster.advance(60_000)
  const before = cluster.clock.nowMs()
  let fired = 0
  const step = cluster.clock.step.bind(cluster.clock)
  cluster.clock.step = (untilMs) => {
    const did = step(untilMs)
    if (did) fired++
    return did
  }
  await cluster.advance(60_000)
  const perNodeAndSecond = fired / 3 / ((cluster.clock.nowMs() - before) / 1000)
  // A timer, for each of two peers a ping, and for every fifth a pong, with their deliveries.
  expect(perNodeAndSecond).toBeLessThan(3.5)
})

it('what an idle node sends does not grow with the cluster', async () => {
  const large = newCluster({ seed: 4 })
  await boot(large, 16)
  await large.advance(60_000)
  let fired = 0
  const step = large.clock.step.bind(large.clock)
  large.clock.step = (untilMs) => {
    const did = step(untilMs)
    if (did) fired++
    return did
  }
  await large.advance(60_000)
  // A timer, a heartbeat to each of two watchers, gossip; the round trip to each of 15 every minute.
  expect(fired / 16 / 60).toBeLessThan(3)
})

describe('heartbeats', () => {
  it('are sent together by those who watch each other: a tab wakes once for those that it hears and those that it sends', async () => {
    const large = newCluster({ seed: 6 })
    for (let i = 0; i < 12; i++) {
      await boot(large, 1)
      await large.advance(370)
    }
    await large.advance(20_000)
    let busy = 0
    const [steps, stepMs] = [1_000, 20]
    for (let i = 0; i < steps; i++) {
      const before = large.hub.traffic.messages
      await large.advance(stepMs)
      if (large.hub.traffic.messages > before) busy++
    }
    // Ten times all beat within some 20 ms: 0.013. Each by its own clock: 0.12.
    expect(busy / steps).toBeLessThan(0.04)
  })

  it('are as many as anybody’s own clock wants, or twice as many at most, however often others send theirs', async () => {
    const lone = newCluster({ seed: 7 })
    const [node] = (await boot(lone, 1)) as [SimNode]
    const eager = await stranger(lone, [node], () => null)
    const beats = () => eager.to(node).frames.filter(([type]) => type === FRAME.PING).length
    await eager.advance(5_000)
    const before = beats()
    await eager.advance(60_000) // with one of its own each half second
    expect(beats() - before).toBeGreaterThan(25)
    expect(beats() - before).toBeLessThan(65)
  })
})

describe('in a cluster where few watch each', () => {
  let large: TestCluster
  let nodes: SimNode[]
  beforeEach(async () => {
    large = newCluster({ seed: 5 })
    nodes = await boot(large, 12)
    await large.advance(30_000)
  })
  const seen = async (of: SimNode, by: SimNode) =>
    (await large.run(by.os.info('peers'))).find(({ id }) => id === of.id)?.state

  /** Virtual ms after which each of the others wrote into its log that the victim left. */
  const leftAfter = async (victim: SimNode): Promise<number[]> => {
    const atMs = large.clock.nowMs()
    const from = large.lines.length
    victim.crash()
    await large.advance(20_000)
    const lines = large.lines.slice(from).filter((line) => line.includes(`membership: ${victim.id.slice(-8)} left`))
    return lines.map((line) => Number(line.split(' ')[0]) - atMs)
  }

  it.each([
    ['with the relay', true, 'visible', 2_700],
    ['without it', false, 'visible', 4_950],
    ['without it, hidden', false, 'hidden', 4_950],
    ['without it, frozen', false, 'freeze', 5_900], // its silence was announced: nobody tells of it before ICE does
  ] as const)('a killed tab is gone from every list: %s', async (_how, relay, state, limitMs) => {
    large.hub.setRelay(relay)
    const victim = nodes[3] as SimNode
    victim.kernel?.lifecycle(state)
    await large.advance(9_000)
    const took = await leftAfter(victim)
    expect(took).toHaveLength(11)
    expect(Math.max(...took)).toBeLessThan(limitMs)
  })

  it('nor is it watched by those who have been busy for a while', async () => {
    large.hub.setRelay(false)
    const ring = [...nodes].sort((one, other) => (one.id < other.id ? -1 : 1)) as [SimNode, SimNode, SimNode]
    const thaws = [ring[0], ring[2]].map((watcher) => watcher.freeze())
    await large.advance(12_000)
    const took = await leftAfter(ring[1])
    for (const thaw of thaws) thaw()
    expect(took).toHaveLength(9)
    expect(Math.max(...took)).toBeLessThan(4_950)
  })

  it('word of the relay that is old counts for nothing against a tab that is merely busy', async () => {
    const [observer, victim] = nodes as [SimNode, SimNode]
    for (let phase = 0; phase < 2_000; phase += 250) {
      await large.advance(10_000 + phase)
      const wake = observer.freeze()
      await large.advance(500)
      observer.network?.deliver({ type: 'hint-gone', peer: victim.id })
      await large.advance(2_000)
      const goOn = victim.freeze()
      await large.advance(2_500)
      wake()
      await large.advance(9_000)
      goOn()
      await large.advance(3_000)
      expect(await seen(victim, observer)).toBe('alive')
      expect(large.lines.filter((line) => line.includes(`membership: ${victim.id.slice(-8)} left`))).toEqual([])
    }
  })

  it('everybody learns from the watchers that a tab is busy, and nobody takes it for dead', async () => {
    const [victim, ...others] = nodes as [SimNode, ...SimNode[]]
    const thaw = victim.freeze()
    await large.advance(10_000)
    for (const node of others) expect(await seen(victim, node)).toBe('stalled')
    await large.advance(60_000)
    for (const node of others) expect(await seen(victim, node)).toBe('stalled')
    thaw()
    await large.advance(3_000)
    for (const node of others) expect(await seen(victim, node)).toBe('alive')
  })

  it('a lie about a live tab costs it a question, and changes nothing', async () => {
    const [victim, other] = nodes as [SimNode, SimNode]
    const liar = new RawPeer(new MemoryNetwork(large.hub, nodeId('1')), other.id)
    await liar.network.start()
    await large.run(liar.network.connect(other.id))
    const { control } = await large.run(liar.greet({ cluster: 'sim' }))
    for (let i = 0; i < 20; i++) {
      control.send([FRAME.NOTE, 'membership.silent', { peer: victim.id }])
      await large.advance(100)
      expect(await seen(victim, other)).toBe('alive')
    }
  })
})

describe('who cannot answer', () => {
  it.each(['frozen', 'busy', 'frozen at once'])('is not asked with every beat that it misses: %s', async (how) => {
    const large = newCluster({ seed: 3 })
    const nodes = await boot(large, 12)
    const [victim] = nodes as [SimNode]
    await large.advance(how === 'frozen at once' ? 100 : 120_000)
    if (how !== 'busy') victim.kernel?.lifecycle('freeze')
    await large.advance(50)
    const thaw = victim.freeze()
    await large.advance(600_000)
    thaw()
    if (how !== 'busy') victim.kernel?.lifecycle('resume')
    const before = large.hub.traffic.messages
    await large.advance(1_000)
    // Its answers to all that it was asked meanwhile, and some.
    expect(large.hub.traffic.messages - before).toBeLessThan(500)
  })

  it('nor a live peer of which somebody says again and again that it is silent', async () => {
    const large = newCluster({ seed: 3 })
    const [victim, ...others] = (await boot(large, 8)) as [SimNode, ...SimNode[]]
    const evil = await stranger(large, [victim, ...others], () => null)
    await evil.advance(5_000)
    const before = large.hub.traffic.messages
    for (let i = 0; i < 500; i++) {
      for (const other of others) evil.to(other).send([FRAME.NOTE, 'membership.silent', { peer: victim.id }] as never)
      await large.advance(10)
    }
    // Two questions and two answers for each of the others and each 0.8 s, and what an idle cluster sends.
    expect(large.hub.traffic.messages - before - 500 * others.length).toBeLessThan(7 * 7 * 4 + 200)
    expect(
      (await Promise.all(others.map((node) => eventsOf(large, node))))
        .flat()
        .filter(({ type }) => type === 'peer-left'),
    ).toEqual([])
  })
})

it('a node that is alone sets no heartbeat at all', async () => {
  const lonely = newCluster({ seed: 2 })
  const node = lonely.addNode()
  await lonely.run(node.boot())
  await lonely.advance(60_000)
  expect(lonely.clock.pending().filter(({ inMs }) => inMs < 60_000)).toEqual([])
})

it('a cluster beyond the mesh is connected, with a bounded number of links each', async () => {
  const large = newCluster({ seed: 3 })
  const nodes = Array.from({ length: MAX_MESH_PEERS + 18 }, () => large.addNode())
  for (const node of nodes) await large.run(node.boot())
  await large.advance(15_000)
  for (const node of nodes) {
    const peers = await large.run(node.os.info('peers'))
    expect(peers.length).toBeGreaterThanOrEqual(MAX_MESH_PEERS / 2)
  }
  await large.run((nodes[0] as SimNode).fs.writeFile('/x', 'x'))
  await large.advance(5_000)
  for (const node of nodes) expect(await large.run(node.fs.readFile('/x', 'utf8'))).toBe('x')
})

describe('who breaks the protocol', () => {
  it('is not dialled, though the relay has just named it', async () => {
    const network = new MemoryNetwork(cluster.hub, nodeId('!'))
    const peer = new RawPeer(network, a.id)
    await network.start()
    await cluster.run(network.connect(a.id))
    const { control } = await cluster.run(peer.greet({ cluster: 'sim' }))
    await cluster.advance(1_000)
    expect(await cluster.run(a.os.info('peers'))).toHaveLength(3)
    a.network?.deliver({ type: 'found', peer: peer.id, via: 'relay' })
    const connect = vi.spyOn(a.network as Network, 'connect')
    control.bytes(new Uint8Array(64).fill(255))
    await cluster.advance(60_000)
    expect(await cluster.run(a.os.info('peers'))).toHaveLength(2)
    expect(connect.mock.calls.filter(([to]) => to === peer.id)).toEqual([])
  })
})
