import { beforeEach, describe, expect, it } from 'vitest'
import type { Disk } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import { BLOCK_ITEM_BYTES, FETCH_STALL_MS, FETCH_TURN_MS, MAX_BLOCK_BYTES } from '../limits.ts'
import type { Blocks } from './blocks.ts'
import { DAG_PB, isStoredCid, kidOfCid, parseCid, RAW } from './cid.ts'

let lab: Lab
let reader: LabNode
let disk: Disk
let blocks: Blocks
let providers: NodeId[]

beforeEach(async () => {
  lab = new Lab({ split: true })
  reader = await lab.node('m')
  providers = []
  ;({ disk, blocks } = blocksOf(lab, reader, { findProviders: async () => providers }))
})

const big = (fill: number) => new Uint8Array(1024 * 1024).fill(fill)
const cidOf = (bytes: Uint8Array) => blocks.cidOf(RAW, bytes)

/** A node that holds these blocks and serves them properly. */
async function holder(name: string, held: readonly Uint8Array[]): Promise<LabNode> {
  const node = await lab.node(name)
  const theirs = blocksOf(lab, node).blocks
  await theirs.putMany(await Promise.all(held.map(async (bytes) => [await cidOf(bytes), bytes] as const)))
  await lab.link(reader, node)
  return node
}

/** A node that says that it holds everything, and answers `blocks.get` as the test wants. */
async function crook(
  name: string,
  serve: (item: (value: unknown) => Promise<void>) => Promise<void>,
): Promise<LabNode> {
  const node = await lab.node(name)
  node.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
  node.rpc.handle('blocks.get', async (_args, { item }) => {
    asked.push(name)
    await serve(item)
    return null
  })
  await lab.link(reader, node)
  return node
}
let asked: string[] = []
beforeEach(() => {
  asked = []
})
const forever = () => new Promise<never>(() => undefined)
const sleep = (ms: number) => new Promise<void>((resolve) => lab.clock.setTimer(resolve, ms, 'test'))

describe('a block', () => {
  it('comes from whoever holds it, in any size, and a copy is kept', async () => {
    for (const bytes of [new Uint8Array(0), utf8('x'), new Uint8Array(MAX_BLOCK_BYTES).fill(2)]) {
      const node = await holder(`p${bytes.byteLength}`, [bytes])
      const cid = await cidOf(bytes)
      expect(await lab.run(blocks.get(cid))).toEqual(bytes)
      lab.hub.setPartition(reader.id, node.id, true)
      expect(await lab.run(blocks.get(cid))).toEqual(bytes)
    }
  })

  it('is not kept when the caller wants none of it', async () => {
    await holder('p', [utf8('x')])
    await lab.run(blocks.get(await cidOf(utf8('x')), { keep: 'never' }))
    expect(disk.blocks.size).toBe(0)
  })

  it('comes in the order asked for, from several nodes, repeated where asked twice', async () => {
    const [one, two, three] = [big(1), big(2), big(3)]
    await holder('p', [one, three])
    await holder('q', [two])
    const cids = await Promise.all([two, one, two, three].map(cidOf))
    expect((await lab.run(blocks.getMany(cids))).map((bytes) => bytes[0])).toEqual([2, 1, 2, 3])
  })

  it('that the local disk has corrupted is fetched again and repaired (invariant 4)', async () => {
    const bytes = utf8('precious')
    const cid = await cidOf(bytes)
    await holder('p', [bytes])
    disk.blocks.set(cid, utf8('preciouS'))
    expect(await lab.run(blocks.get(cid))).toEqual(bytes)
    expect(reader.log.has('corrupt')).toBe(true)
    expect(disk.blocks.get(cid)).toEqual(bytes)
  })

  it('that is corrupt and held by nobody else is an error, never wrong bytes (invariant 4)', async () => {
    const cid = await cidOf(utf8('precious'))
    disk.blocks.set(cid, utf8('preciouS'))
    await expect(lab.run(blocks.get(cid))).rejects.toMatchObject({ code: 'EIO' })
  })

  it('that the disk of its holder has corrupted is not sent, and the holder is believed of all others (invariant 4)', async () => {
    const [bytes, other] = [utf8('precious'), utf8('another')]
    const [cid, good] = [await cidOf(bytes), await cidOf(other)]
    const node = await lab.node('p')
    const theirs = blocksOf(lab, node)
    theirs.disk.blocks.set(cid, utf8('preciouS'))
    theirs.disk.blocks.set(good, other)
    await lab.link(reader, node)
    await expect(lab.run(blocks.get(cid))).rejects.toMatchObject({ code: 'EIO' })
    expect(await lab.run(blocks.get(good))).toEqual(other)
    await blocks.putMany([[cid, bytes]])
    const third = await lab.node('q')
    await lab.link(third, node)
    await lab.run(
      blocksOf(lab, third)
        .blocks.get(cid, { hints: [node.id] })
        .catch(() => undefined),
    )
    await lab.until(() => theirs.disk.blocks.get(cid)?.at(-1) === bytes.at(-1))
  })

  it('that is freed while it is read is stored again by who writes it', async () => {
    const bytes = utf8('precious')
    const cid = await cidOf(bytes)
    disk.blocks.set(cid, bytes.slice()) // of an earlier session: nothing is known of it
    const mark = blocks.mark()
    const reading = blocks.get(cid)
    const dropping = blocks.drop([cid], mark)
    expect(await lab.run(reading)).toEqual(bytes)
    expect(await lab.run(dropping)).toBe(1)
    await lab.run(blocks.putNew([[cid, bytes]]))
    expect(await blocks.hasMany([cid])).toEqual([true])
  })

  it('that nobody has is EIO with words for the user, in bounded time', async () => {
    await holder('p', [])
    const cid = await cidOf(utf8('nowhere'))
    const startMs = lab.clock.nowMs()
    await expect(lab.run(blocks.getMany([cid, await cidOf(utf8('neither'))]))).rejects.toMatchObject({
      code: 'EIO',
      message: `block ${cid} and 1 more is held by none of the 1 other nodes: the tab that has it is away`,
    })
    expect(lab.clock.nowMs() - startMs).toBeLessThan(10_000)
  })

  it('that no neighbour has comes from a provider that the directory names', async () => {
    await holder('p', [])
    const bytes = utf8('far away')
    const far = await holder('q', [bytes])
    providers = [far.id]
    const own = blocks
    const peers = reader.rpc.linkedPeers
    reader.rpc.linkedPeers = () => peers.call(reader.rpc).filter((id) => id !== far.id)
    expect(await lab.run(own.get(await cidOf(bytes)))).toEqual(bytes)
  })

  it('is read even when the disk is full, without keeping a copy', async () => {
    await holder('p', [big(1)])
    disk.quotaBytes = 10
    expect((await lab.run(blocks.get(await cidOf(big(1))))).byteLength).toBe(big(1).byteLength)
    expect(reader.log.has('without keeping a copy')).toBe(true)
    await expect(blocks.putMany([[await cidOf(big(2)), big(2)]])).rejects.toMatchObject({ code: 'ENOSPC' })
  })

  it('is held after `hold`, which fetches only what is missing', async () => {
    const held = [big(1), big(2), big(3)]
    await holder('p', held)
    const cids = await Promise.all(held.map(cidOf))
    await lab.run(blocks.get(cids[1] as string))
    await lab.run(blocks.hold(cids))
    expect(await blocks.hasMany(cids)).toEqual([true, true, true])
    await lab.run(blocks.hold(cids))
  })

  it('is no longer fetched once the reader has cancelled', async () => {
    await crook('p', forever)
    const controller = new AbortController()
    const get = blocks.get(await cidOf(utf8('x')), { signal: controller.signal })
    get.catch(() => undefined)
    await lab.advance(100)
    controller.abort(new OsError('ECANCELED', 'enough'))
    await expect(lab.run(get)).rejects.toMatchObject({ code: 'ECANCELED' })
    expect(asked).toEqual(['p'])
  })
})

describe('a node that serves wrongly is passed over, and the block comes from another (invariant 4)', () => {
  const bytes = big(9)
  let cid: string
  const expectServed = async (withinMs: number) => {
    // `z` is honest; the crook holds more, so that it is asked first.
    await holder('z', [bytes])
    const startMs = lab.clock.nowMs()
    const more = await cidOf(utf8('only the crook claims to have this'))
    const both = blocks.getMany([cid, more])
    both.catch(() => undefined)
    await lab.until(() => disk.blocks.has(cid) || asked.length > 0)
    const got = await lab.run(blocks.get(cid))
    expect(got).toEqual(bytes)
    expect(lab.clock.nowMs() - startMs).toBeLessThan(withinMs)
    await expect(lab.run(both)).rejects.toMatchObject({ code: 'EIO' })
    expect(asked.length).toBeGreaterThan(0)
  }
  beforeEach(async () => {
    cid = await cidOf(bytes)
  })

  it('when it sends other bytes: it is noted as a liar and not asked again', async () => {
    const liar = await crook('a', (item) => item([0, 0, 5, utf8('wrong')]))
    await expectServed(2_000)
    // It was asked for one of the two that it claimed to have.
    expect([...blocks.liars()]).toEqual([[liar.id, expect.stringMatching(/^sent wrong bytes for block bafkrei/)]])
    const before = asked.length
    await expect(lab.run(blocks.get(await cidOf(utf8('other'))))).rejects.toMatchObject({ code: 'EIO' })
    expect(asked.length).toBe(before)
  })

  it('when it says that it has the block and sends nothing', async () => {
    await crook('a', forever)
    await expectServed(2 * FETCH_STALL_MS + 1_000)
    expect(blocks.liars().size).toBe(0)
  })

  it('when it answers at once without the block', async () => {
    await crook('a', async () => undefined)
    await expectServed(2_000)
  })

  it('when it drips byte by byte, just fast enough to seem alive', async () => {
    await crook('a', async (item) => {
      for (let at = 0; ; at++) {
        await item([0, at, bytes.byteLength, bytes.subarray(at, at + 1)])
        await sleep(FETCH_STALL_MS - 100)
      }
    })
    await expectServed(3 * FETCH_STALL_MS)
  })

  it('when it begins the same block over and over', async () => {
    await crook('a', async (item) => {
      for (;;) {
        await item([0, 0, bytes.byteLength, bytes.subarray(0, 200_000)])
        await sleep(10)
      }
    })
    await expectServed(2_000)
    expect(blocks.liars().size).toBe(1)
  })

  it('when it sends one finished block again and again', async () => {
    await crook('a', async (item) => {
      for (;;) {
        for (let at = 0; at < bytes.byteLength; at += 200_000) {
          await item([0, at, bytes.byteLength, bytes.subarray(at, at + 200_000)])
        }
        await sleep(10)
      }
    })
    const more = await cidOf(utf8('x'))
    const startMs = lab.clock.nowMs()
    await expect(lab.run(blocks.getMany([cid, more]))).rejects.toMatchObject({ code: 'EIO' })
    expect(lab.clock.nowMs() - startMs).toBeLessThan(10_000)
  })

  it('when it closes in the middle', async () => {
    let crooked: LabNode | undefined
    crooked = await crook('a', async (item) => {
      await item([0, 0, bytes.byteLength, bytes.subarray(0, 200_000)])
      crooked?.rpc.close('its tab closed')
      await forever()
    })
    await expectServed(2_000)
  })

  it('when it says nothing at all about what it has: nobody waits for it', async () => {
    const mute = await lab.node('a')
    mute.rpc.handle('blocks.have', forever)
    await lab.link(reader, mute)
    await holder('z', [bytes])
    const startMs = lab.clock.nowMs()
    expect(await lab.run(blocks.get(cid))).toEqual(bytes)
    expect(lab.clock.nowMs() - startMs).toBeLessThan(500)
  })
})

describe('several holders', () => {
  const MILLISECONDS = 10
  let content: Uint8Array[]
  let cids: string[]
  const sent = new Map<string, number>()
  const asked: string[] = []

  /**
   * Sends as a slow link does.
   * @param quarterMs for each quarter of a block; undefined: never.
   * @param inTurn what it is asked for at a time comes one after the other, but for its first piece.
   */
  async function slow(name: string, quarterMs: number | undefined, inTurn = false): Promise<LabNode> {
    const node = await lab.node(name)
    sent.set(name, 0)
    const line: (() => void)[] = []
    let busy = false
    const turn = async () => {
      if (busy) await new Promise<void>((resolve) => line.push(resolve))
      busy = true
    }
    node.rpc.handle('blocks.have', async (args) => Uint8Array.from(args.cids, (cid) => (cids.includes(cid) ? 1 : 0)))
    node.rpc.handle('blocks.get', async (args, { item, signal }) => {
      if (quarterMs === undefined) return forever()
      asked.push(...args.cids)
      for (const [index, cid] of args.cids.entries()) {
        const bytes = content[cids.indexOf(cid)] as Uint8Array
        for (let at = 0; at < bytes.byteLength; at += BLOCK_ITEM_BYTES) {
          const piece = bytes.subarray(at, at + BLOCK_ITEM_BYTES)
          if (inTurn && at === BLOCK_ITEM_BYTES) await turn()
          await sleep((quarterMs * piece.byteLength) / (256 * 1024))
          if (signal.aborted) return null
          await item([index, at, bytes.byteLength, piece])
        }
        sent.set(name, (sent.get(name) ?? 0) + 1)
        const next = line.shift()
        busy = false
        next?.()
      }
      return null
    })
    await lab.link(reader, node)
    return node
  }

  const timed = async (options = {}) => {
    const startMs = lab.clock.nowMs()
    const got = await lab.run(blocks.getMany(cids, { keep: 'never', ...options }))
    const tookMs = lab.clock.nowMs() - startMs
    expect(got.every((bytes, i) => Buffer.compare(bytes, content[i] as Uint8Array) === 0)).toBe(true)
    return tookMs
  }

  beforeEach(async () => {
    content = Array.from({ length: 24 }, (_, i) => big(i))
    cids = await Promise.all(content.map(cidOf))
    sent.clear()
    asked.length = 0
  })

  it('are faster than one', async () => {
    await slow('p', MILLISECONDS)
    const alone = await timed()
    await slow('q', MILLISECONDS)
    await slow('r', MILLISECONDS)
    const together = await timed()
    expect(alone).toBeGreaterThanOrEqual(24 * 4 * MILLISECONDS)
    expect(together).toBeLessThan(0.45 * alone)
  })

  it('send as much as each can', async () => {
    await slow('p', MILLISECONDS)
    await slow('q', 5 * MILLISECONDS)
    await timed()
    expect(sent.get('p')).toBeGreaterThan(2 * (sent.get('q') ?? 0))
  })

  it.each([1, 2, 4, 8])('are not asked twice for any of %i blocks while each goes on', async (count) => {
    // They send what they were asked for one after the other.
    const nodes = [await slow('p', MILLISECONDS, true), await slow('q', MILLISECONDS, true)]
    nodes.push(await slow('r', MILLISECONDS, true))
    cids = cids.slice(0, count)
    content = content.slice(0, count)
    await timed({ hints: nodes.map((node) => node.id) })
    expect(asked).toHaveLength(count)
  })

  it('are not given up while what they were asked for abreast comes in turn, however slow their link', async () => {
    // Between two pieces of one request one of each of the others comes: six seconds for three.
    const node = await lab.node('p')
    const abreast = 3
    let turns = Promise.resolve()
    node.rpc.handle('blocks.have', async (args) => new Uint8Array(args.cids.length).fill(1))
    node.rpc.handle('blocks.get', async (args, { item }) => {
      const bytes = content[cids.indexOf(args.cids[0] as string)] as Uint8Array
      for (let at = 0; at < bytes.byteLength; at += BLOCK_ITEM_BYTES) {
        turns = turns.then(() => sleep((FETCH_STALL_MS * 2) / 3))
        await turns
        await item([0, at, bytes.byteLength, bytes.subarray(at, at + BLOCK_ITEM_BYTES)])
      }
      return null
    })
    await lab.link(reader, node)
    const got = cids.slice(0, abreast).map((cid) => blocks.get(cid, { keep: 'never', hints: [node.id] }))
    for (const [i, bytes] of (await lab.run(Promise.all(got))).entries()) expect(bytes).toEqual(content[i])
  })

  it('are given up with a request of which nothing comes, whatever else they send', async () => {
    const node = await lab.node('p')
    node.rpc.handle('blocks.have', async (args) => new Uint8Array(args.cids.length).fill(1))
    node.rpc.handle('blocks.get', async (args, { item, signal }) => {
      if (args.cids.includes(cids[0] as string)) return forever()
      const bytes = content[1] as Uint8Array
      for (let at = 0; at < bytes.byteLength && !signal.aborted; at += BLOCK_ITEM_BYTES) {
        await sleep(FETCH_STALL_MS / 2)
        await item([0, at, bytes.byteLength, bytes.subarray(at, at + BLOCK_ITEM_BYTES)])
      }
      return null
    })
    await lab.link(reader, node)
    const startMs = lab.clock.nowMs()
    const other = blocks.get(cids[1] as string, { keep: 'never' })
    other.catch(() => undefined)
    await expect(lab.run(blocks.get(cids[0] as string, { keep: 'never' }))).rejects.toMatchObject({ code: 'EIO' })
    expect(lab.clock.nowMs() - startMs).toBeLessThan(4 * FETCH_TURN_MS)
    expect(await lab.run(other)).toEqual(content[1])
  })

  it('overtake one that stands still, long before it is given up, and it is told of', async () => {
    await slow('p', MILLISECONDS)
    const still = await slow('q', undefined)
    const slowest: NodeId[] = []
    expect(await timed({ onSlow: (peer: NodeId) => slowest.push(peer) })).toBeLessThan(FETCH_STALL_MS / 2)
    expect(new Set(slowest)).toEqual(new Set([still.id]))
    expect(blocks.liars().size).toBe(0)
  })

  it('are not slow for coming second with what another was asked for first', async () => {
    for (const name of ['p', 'q', 'r']) await slow(name, MILLISECONDS)
    const slowest: NodeId[] = []
    await timed({ onSlow: (peer: NodeId) => slowest.push(peer) })
    expect(slowest).toEqual([])
  })

  it('overtake one that lies, and it is noted', async () => {
    await slow('p', MILLISECONDS)
    const liar = await crook('q', (item) => item([0, 0, 5, utf8('wrong')]))
    await timed()
    expect([...blocks.liars().keys()]).toEqual([liar.id])
  })

  it('take over from one that goes in the middle', async () => {
    await slow('p', MILLISECONDS)
    const other = await slow('q', MILLISECONDS)
    const got = timed()
    got.catch(() => undefined)
    await lab.advance(8 * MILLISECONDS)
    other.rpc.close('its tab closed')
    expect(await got).toBeLessThan(FETCH_STALL_MS)
  })
})

describe('a CID', () => {
  it('is accepted only as version 1, raw or dag-pb, sha2-256', () => {
    expect(isStoredCid('bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku')).toBe(true)
    expect(isStoredCid('bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi')).toBe(true)
    for (const other of [
      '',
      'x',
      'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n', // version 0
      'bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku', // dag-cbor
      'bafkqabtimvwgy3yk', // identity
    ])
      expect(isStoredCid(other)).toBe(false)
  })

  it('has a KID with the same digest', async () => {
    const cid = await blocks.cidOf(DAG_PB, utf8('x'))
    expect(kidOfCid(parseCid(cid))).toMatch(/^K-2d711642b726b044/)
  })
})
