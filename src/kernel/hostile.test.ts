// Invariant 8: nothing a peer sends can crash a kernel or get it stuck. Random bytes and random well-formed frames
// against whole kernels; an unhandled rejection anywhere fails the run. The seed is in each test's name.
import { encode } from 'cborg'
import { describe, expect, it } from 'vitest'
import { MemoryNetwork } from '../adapters/memory/network.ts'
import { SeededRandom } from '../adapters/memory/random.ts'
import { errorCodes } from '../base/errors.ts'
import type { SimNode } from '../sim/cluster.ts'
import { boot, newCluster, oneHome, type TestCluster } from './cluster.contract.ts'
import { nodeId, RawPeer, type RawStream } from './harness.contract.ts'
import { encodeFrame, FRAME, type Frame } from './rpc/frames.ts'
import { methods, notes } from './rpc/methods.ts'

interface Scene {
  cluster: TestCluster
  victim: SimNode
  friend: SimNode
  random: SeededRandom
}

async function scene(seed: number): Promise<Scene> {
  const cluster = newCluster({ seed, programs: true, split: true })
  const [victim, friend] = await boot<[SimNode, SimNode]>(cluster, 2)
  await oneHome(cluster)
  await cluster.run(victim.fs.writeFile('/p.js', `export const start = (e, os) => os.print('fine')`))
  return { cluster, victim, friend, random: new SeededRandom(seed) }
}

async function join(cluster: TestCluster, victim: SimNode, name = '1'): Promise<RawPeer> {
  const network = new MemoryNetwork(cluster.hub, nodeId(name))
  const peer = new RawPeer(network, victim.id)
  await network.start()
  await cluster.run(network.connect(victim.id))
  return peer
}

/** The victim serves its user and its friend as if nothing had been. */
async function works({ cluster, victim, friend }: Scene): Promise<void> {
  await cluster.advance(15_000)
  for (const node of [victim, friend]) {
    await cluster.run(node.fs.writeFile('/works', node.id), 200_000)
    expect(await cluster.run(friend.fs.readFile('/works', 'utf8'))).toBe(node.id)
    await cluster.run(node.fs.writeFile('/p.js', `export const start = (e, os) => os.print('fine')`))
    const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }))
    expect(exits).toMatchObject([{ state: 'exited', code: 0 }])
  }
  const peers = await cluster.run(victim.os.info('peers'))
  expect(peers.some(({ id, direct }) => id === friend.id && direct)).toBe(true)
}

function randomValue(random: SeededRandom, depth = 0): unknown {
  const kid = `K-${[...random.bytes(32)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
  const cid = `bafkrei${'a'.repeat(40)}${random.pick(['a', 'b', 'c', 'd'])}`
  const head = {
    generation: random.below(5),
    version: random.below(50),
    root: cid,
    home: random.pick([nodeId('1'), nodeId('other'), '12D3KooWfriend1']),
    bases: [],
    sinceMs: random.below(1e9),
  }
  const simple = [null, true, -1, 0, 1, 2 ** 53, 1.5, '', 'x', kid, cid, '/tmp/x', '__proto__', random.bytes(20), head]
  if (depth > 3 || random.float() < 0.5) return random.pick(simple)
  if (random.float() < 0.5) return Array.from({ length: random.below(4) }, () => randomValue(random, depth + 1))
  const keys = ['kid', 'cids', 'ops', 'op', 'path', 'cid', 'size', 'event', 'peers', 'stream', 'offset', 'length', '__proto__'] // biome-ignore format: one line
  return Object.fromEntries(Array.from({ length: random.below(5) }, () => [random.pick(keys), randomValue(random, depth + 1)])) // biome-ignore format: one line
}

/** Arguments that fit each method, so that its handler runs and not only its validator. */
function fitting(random: SeededRandom, method: string): unknown {
  const kid = `K-${'ab'.repeat(32)}`
  const cid = `bafkrei${'a'.repeat(52)}`
  const path = random.pick(['/', '/tmp', '/tmp/x', '/p.js', '/a/b/c', 'relative', '/../..', `/${'x'.repeat(300)}`])
  const mtimeMs = random.below(1e12)
  const ops = [
    { op: 'put', path, cid, size: random.below(1e6), mode: 0o644, mtimeMs, parents: random.float() < 0.5 },
    { op: 'mkdir', path, recursive: random.float() < 0.5, mtimeMs },
    { op: 'move', from: '/tmp/x', to: path, mtimeMs },
    { op: 'remove', path: '/tmp/x', recursive: true },
  ]
  switch (method) {
    case 'blocks.have':
    case 'blocks.get':
      return { cids: Array.from({ length: random.below(5) }, () => cid) }
    case 'tree.apply':
      return { ops: [random.pick(ops), random.pick(ops)] }
    case 'process.execute': {
      const events = Array.from({ length: random.below(40) }, () => {
        const input = random.pick([encode(1), random.bytes(9), new Uint8Array(0), undefined])
        const task = random.pick(['start', 'toString', ''])
        const event = {
          id: random.pick(['0', '0.1', 'x']),
          task,
          number: random.below(9),
          room: random.below(9),
          token: 1,
        }
        return input ? { ...event, input } : event
      })
      return { kid, program: '/p.js', programCid: cid, cwd: '/', events, eventMs: random.below(100) }
    }
    case 'process.input':
      return { kid, event: '0' }
    case 'process.read':
      return { kid, stream: 1, offset: random.below(100), length: random.below(100) }
    case 'process.wait':
    case 'process.kill':
    case 'process.ended':
      return { kid }
    case 'membership.peers':
      return { peers: Array.from({ length: random.below(64) }, () => nodeId(`f${random.below(9999) + 1111}`.replaceAll('0', 'z'))) } // biome-ignore format: one line
    case 'membership.silent':
      return { peer: random.pick([nodeId('1'), nodeId('other'), '12D3KooWfriend1']) }
    case 'process.find':
      return { prefix: kid.slice(0, 4 + random.below(60)) }
    case 'blocks.enclosed':
      return { blocks: Array.from({ length: random.below(5) }, () => [cid, random.bytes(random.below(64))]) }
    case 'journal.dismissed':
      return { group: `process/${kid}`, term: random.below(9), index: random.below(99) }
    case 'journal.step':
      return { group: random.pick([`process/${kid}`, 'process/x', 'tree/x']), message: raftMessage(random) }
    case 'tree.head':
      return random.float() < 0.5 ? null : { ...(randomValue(random, 9) as object) }
    default:
      return null
  }
}

/** What a member might say, and what none would: entries and snapshots that mean nothing. */
function raftMessage(random: SeededRandom): unknown {
  const [term, index, round] = [random.pick([0, 1, 2, 9, 2 ** 40]), random.below(9), random.below(9)]
  const config = { voters: [{ id: nodeId('1'), witness: random.float() < 0.5 }], learners: [] }
  const bytes = random.pick([new Uint8Array(0), random.bytes(9), encode(config), encode({ t: 'applied', event: '0' })])
  const entry = { term, kind: random.pick(['empty', 'config', 'data']), bytes }
  return random.pick<unknown>([
    { t: 'vote', term, pre: random.float() < 0.5, transfer: random.float() < 0.5, lastIndex: index, lastTerm: term },
    { t: 'voted', term, pre: random.float() < 0.5, granted: true },
    { t: 'append', term, prevIndex: index, prevTerm: term, entries: [entry, entry], commit: 9, round },
    { t: 'snapshot', term, snapshot: { index, term, config, data: bytes }, round },
    { t: 'witness', term, index, lastTerm: term, round },
    { t: 'appended', term, ok: random.float() < 0.5, index, round },
    { t: random.pick(['transfer', 'check', 'resigned']), term },
  ])
}

function randomFrame(random: SeededRandom): Frame {
  const id = random.below(8)
  const name = random.pick([...Object.keys(methods), ...Object.keys(notes), 'nonsense'])
  const args = () => (random.float() < 0.7 ? fitting(random, name) : randomValue(random))
  return random.pick<() => Frame>([
    () => [FRAME.CALL, random.below(1e6), name, random.pick([0, 1, 500]), random.pick([0, 1, 1e6, 1e15]), args()],
    () => [FRAME.CALL, random.below(1e6), name, random.pick([0, 1, 500]), random.pick([0, 1, 1e6]), args()],
    () => [FRAME.RESULT, id, randomValue(random)],
    () => [FRAME.ERROR, id, random.pick(errorCodes), 'x'],
    () => [FRAME.CANCEL, random.below(1e6)],
    () => [FRAME.ITEM, id, random.pick([0, 'x', random.bytes(9), [0, 0, 5, random.bytes(5)], ['c', random.bytes(5)]])],
    () => [FRAME.CREDIT, id, random.below(1e9)],
    () => [
      FRAME.PING,
      id,
      {
        storage: random.pick([0, 1, 2, 3]),
        state: random.pick(['alive', 'hidden', 'frozen']),
        running: random.below(9),
        watch: random.float() < 0.5,
      },
    ],
    () => [FRAME.PONG, id],
    () => [FRAME.NOTE, name, args()],
  ])()
}

describe('a hostile peer', () => {
  it.each([1, 2, 3, 4, 5, 6])('that sends random bytes changes nothing (seed %i)', async (seed) => {
    const stage = await scene(seed)
    const { cluster, victim, random } = stage
    for (let round = 0; round < 30; round++) {
      const peer = await join(cluster, victim)
      const streams: RawStream[] = []
      if (random.float() < 0.5) {
        const { control, bulk } = await peer.greet({ cluster: 'sim' })
        streams.push(control, bulk)
        await cluster.advance(20)
      } else streams.push(await peer.open(random.pick(['control', 'bulk'])))
      for (let i = 0; i < 5; i++) {
        const bytes = random.bytes(random.below(400))
        // Often behind a plausible length, so that they reach the decoder.
        if (random.float() < 0.7 && bytes.byteLength > 4) new DataView(bytes.buffer).setUint32(0, random.below(bytes.byteLength)) // biome-ignore format: one line
        random.pick(streams).bytes(bytes)
      }
      await cluster.advance(20)
      if (random.float() < 0.5) peer.network.crash()
      else await peer.network.close()
    }
    await works(stage)
  })

  it.each([11, 12, 13, 14, 15, 16, 17, 18])(
    'that sends random well-formed frames changes nothing (seed %i)',
    async (seed) => {
      const stage = await scene(seed)
      const { cluster, victim, random } = stage
      for (let round = 0; round < 12; round++) {
        const peer = await join(cluster, victim)
        const { control, bulk } = await peer.greet({ cluster: 'sim', session: random.pick(['a', 'b', 'c']).repeat(16) })
        for (let i = 0; i < 60; i++) {
          random.pick([control, control, bulk]).send(randomFrame(random))
          if (i % 10 === 0) await cluster.advance(random.below(50))
        }
        await cluster.advance(random.below(3_000))
        if (random.float() < 0.5) peer.network.crash()
        else await peer.network.close()
      }
      await works(stage)
    },
  )

  it.each([21, 22, 23])('that answers every call with something else changes nothing (seed %i)', async (seed) => {
    const stage = await scene(seed)
    const { cluster, victim, friend, random } = stage
    const peer = await join(cluster, victim)
    const lanes = Object.values(await peer.greet({ cluster: 'sim', slots: 4 }))
    const answered = new Set<string>()
    const answer = () => {
      for (const [which, lane] of lanes.entries())
        for (const frame of lane.frames) {
          if (frame[0] !== FRAME.CALL || answered.has(`${which}/${frame[1]}`)) continue
          answered.add(`${which}/${frame[1]}`)
          const items = Array.from({ length: random.below(3) }, () => randomFrame(random))
          for (const item of items) if (item[0] === FRAME.ITEM) lane.send([FRAME.ITEM, frame[1], item[2]])
          const reply = random.pick<Frame>([
            [FRAME.RESULT, frame[1], randomValue(random)],
            [FRAME.RESULT, frame[1], null],
            [FRAME.ERROR, frame[1], random.pick(errorCodes), 'x'],
            [FRAME.CANCEL, frame[1]],
          ])
          lane.send(reply)
        }
    }
    const work: Promise<unknown>[] = []
    for (let i = 0; i < 10; i++) {
      work.push(
        victim.fs.readdir('/'),
        victim.os.info('processes'),
        victim.os.info('storage'),
        friend.fs.readdir('/tmp'),
      )
      work.push(victim.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
      for (let k = 0; k < 20; k++) {
        await cluster.advance(20)
        answer()
      }
    }
    await cluster.run(Promise.allSettled(work), 300_000)
    peer.network.crash()
    await works(stage)
  })

  it('that says what it lists in another shape than rows cannot break a listing', async () => {
    const stage = await scene(31)
    const { cluster, victim } = stage
    const peer = await join(cluster, victim)
    const { control } = await peer.greet({ cluster: 'sim' })
    await cluster.advance(50)
    for (const rows of [[{}], [null], [{ kid: 5 }], 'rows', [{ kid: `K-${'0'.repeat(64)}` }]]) {
      const listing = victim.os.info('processes')
      await cluster.advance(20)
      const call = control.frames.filter((frame) => frame[0] === FRAME.CALL && frame[2] === 'process.list').at(-1)
      control.send([FRAME.RESULT, call?.[1] as number, rows])
      expect(await cluster.run(listing)).toEqual([])
    }
    await works(stage)
  })

  it('cannot end the work that another home has leased to this node', async () => {
    const stage = await scene(32)
    const { cluster, victim, friend } = stage
    const source = `export async function start(e, os) { for (let i = 0; i < 8; i++) await os.emit('work') }
      export const work = () => new Promise((resolve) => globalThis.later.push(resolve))`
    const later: (() => void)[] = []
    Object.assign(globalThis, { later })
    await cluster.run(friend.fs.writeFile('/q.js', source))
    const { kid } = await cluster.run(friend.os.call('run', { program: '/q.js', args: [], cwd: '/' }))
    await cluster.until(() => later.length >= 4, 'both nodes work')
    const peer = await join(cluster, victim)
    const { control } = await peer.greet({ cluster: 'sim' })
    await cluster.advance(50)
    control.send([FRAME.NOTE, 'process.ended', { kid }])
    await cluster.advance(50)
    const [row] = await cluster.run(victim.os.info('peers')).then((rows) => rows.filter(({ id }) => id === friend.id))
    expect(row).toBeDefined()
    expect(victim.kernel?.executorDomains).toBe(1)
    // From now on they need not wait.
    Object.assign(globalThis, { later: { push: (resolve: () => void) => resolve() } })
    for (const resolve of later) resolve()
    try {
      const exits = await cluster.run(friend.os.call('wait', { for: 'exit', kids: [kid] }))
      expect(exits.exits).toMatchObject([{ state: 'exited', error: null }])
    } finally {
      Reflect.deleteProperty(globalThis, 'later')
    }
  })

  it('with a name of its own for everything cannot make the victim remember without bound', async () => {
    const stage = await scene(33)
    const { cluster, victim, random } = stage
    const peer = await join(cluster, victim)
    const { control } = await peer.greet({ cluster: 'sim' })
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 200; i++) {
      const peers = Array.from({ length: 64 }, () => nodeId(`g${[...random.bytes(8)].map((byte) => 'abcdefgh'[byte % 8]).join('')}`)) // biome-ignore format: one line
      control.send([FRAME.NOTE, 'membership.peers', { peers }])
      await cluster.advance(1)
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024)
    peer.network.crash()
    await works(stage)
  })

  it('that sends a frame one byte short of the limit, again and again, is only slow', async () => {
    const stage = await scene(34)
    const { cluster, victim } = stage
    const peer = await join(cluster, victim)
    const { bulk } = await peer.greet({ cluster: 'sim' })
    const large = encodeFrame([FRAME.CALL, 1, 'nonsense', 0, 0, new Uint8Array(2_000_000)])
    for (let i = 0; i < 20; i++) bulk.bytes(large)
    await cluster.advance(100)
    await works(stage)
  })
})
