import { beforeEach, describe, expect, it, vi } from 'vitest'
import { type Disk, MemoryDeviceStore, Disk as NewDisk } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { boot, homeAndOthers, meshed, newCluster } from '../cluster.contract.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import { RpcNode } from '../rpc/node.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

let lab: Lab
let reader: LabNode
let holder: LabNode
let disk: Disk
let blocks: Blocks
/** Of another tab of the reader's device. */
let beside: Disk
let shared: boolean
/** Blocks that the holder was asked for. */
let asked: string[]

beforeEach(async () => {
  lab = new Lab()
  ;[reader, holder] = await lab.pair()
  beside = new NewDisk()
  shared = true
  const device = { store: new MemoryDeviceStore(() => [beside]), shared: () => shared }
  ;({ disk, blocks } = blocksOf(lab, reader, { device }))
  asked = []
  const call = reader.rpc.call.bind(reader.rpc)
  reader.rpc.call = (...args: Parameters<typeof call>) => {
    if (args[1] === 'blocks.get') asked.push(...(args[2] as { cids: string[] }).cids)
    return call(...args)
  }
})

/** On the disk beside, in these words, and properly at the holder unless told otherwise. */
async function stored(text: string, { as = text, held = true } = {}): Promise<string> {
  const cid = await blocks.cidOf(RAW, utf8(text))
  beside.blocks.set(cid, utf8(as))
  if (held) await holderBlocks().putMany([[cid, utf8(text)]])
  return cid
}
let theirs: Blocks | undefined
const holderBlocks = () => {
  theirs ??= blocksOf(lab, holder).blocks
  return theirs
}
beforeEach(() => {
  theirs = undefined
})

describe('what another tab of this browser has stored', () => {
  it('is read from the disk, and kept, and nobody is asked for it', async () => {
    const cid = await stored('near')
    expect(await lab.run(blocks.get(cid))).toEqual(utf8('near'))
    expect(disk.blocks.get(cid)).toEqual(utf8('near'))
    const other = await stored('held')
    await lab.run(blocks.hold([other]))
    expect(disk.blocks.get(other)).toEqual(utf8('held'))
    expect(asked).toEqual([])
  })

  it('is had also when nobody else has it', async () => {
    const cid = await stored('near', { held: false })
    expect(await lab.run(blocks.get(cid))).toEqual(utf8('near'))
  })

  it('is asked for where it is corrupt, or not there', async () => {
    const corrupt = await stored('right', { as: 'wrong' })
    const near = await stored('near')
    const far = await stored('far')
    beside.blocks.delete(far)
    const got = await lab.run(blocks.getMany([corrupt, near, far]))
    expect(got).toEqual(['right', 'near', 'far'].map(utf8))
    expect(asked.sort()).toEqual([corrupt, far].sort())
    expect(reader.log.has('corrupt copy')).toBe(true)
    expect(blocks.liars().size).toBe(0)
  })

  it('is not looked for while no other tab is here', async () => {
    shared = false
    const cid = await stored('near')
    await lab.run(blocks.get(cid))
    expect(asked).toEqual([cid])
  })

  it('is read from the disk also when that tab is closed, where nobody else has it', async () => {
    shared = false
    const cid = await stored('left', { held: false })
    expect(await lab.run(blocks.get(cid))).toEqual(utf8('left'))
  })

  it('is asked for when the disk cannot be read', async () => {
    const failing = {
      getMany: () => Promise.reject(new OsError('EIO', 'the disk fails')),
      close: async () => undefined,
    }
    const other = await lab.node('other')
    await lab.link(other, holder)
    const { blocks: its } = blocksOf(lab, other, { device: { store: failing, shared: () => true } })
    const cid = await stored('x')
    expect(await lab.run(its.get(cid))).toEqual(utf8('x'))
  })
})

describe('a disk that does not answer, as when a tab that stands still holds it up', () => {
  const late = Promise.withResolvers<never>()
  late.promise.catch(() => undefined)
  const mute = { getMany: () => late.promise, close: async () => undefined }
  let reads: number
  let its: Blocks
  beforeEach(async () => {
    const other = await lab.node('other')
    await lab.link(other, holder)
    reads = 0
    const store = {
      ...mute,
      getMany: () => {
        reads++
        return mute.getMany()
      },
    }
    its = blocksOf(lab, other, { device: { store, shared: () => true } }).blocks
  })

  it('keeps nothing from being fetched, and is left alone until it does', async () => {
    const [one, two] = [await stored('one'), await stored('two')]
    expect(await lab.run(its.get(one))).toEqual(utf8('one'))
    const beganMs = lab.clock.nowMs()
    await lab.run(its.hold([two], { hints: [holder.id] }))
    expect(lab.clock.nowMs() - beganMs).toBeLessThan(100)
    expect(reads).toBe(1)
  })

  it('keeps nobody from giving up', async () => {
    const controller = new AbortController()
    const read = its.get(await stored('x'), { signal: controller.signal })
    controller.abort()
    await expect(lab.run(read, 500)).rejects.toMatchObject({ code: 'ECANCELED' })
  })
})

describe('a disk that is slow', () => {
  let answerMs: number
  let reads: number
  let its: Blocks
  beforeEach(async () => {
    const other = await lab.node('other')
    await lab.link(other, holder)
    answerMs = 1_200
    reads = 0
    const inner = new MemoryDeviceStore(() => [beside])
    const store = {
      close: async () => undefined,
      async getMany(keys: readonly string[]) {
        reads++
        await new Promise<void>((resolve) => lab.clock.setTimer(resolve, answerMs, 'a slow disk'))
        return inner.getMany(keys)
      },
    }
    its = blocksOf(lab, other, { device: { store, shared: () => true } }).blocks
  })

  it('is left alone for a while: many reads of what others have do not all wait for it', async () => {
    const cids: string[] = []
    for (let i = 0; i < 20; i++) cids.push(await stored(`block ${i}`))
    const beganMs = lab.clock.nowMs()
    for (const cid of cids) await lab.run(its.get(cid))
    expect(lab.clock.nowMs() - beganMs).toBeLessThan(3_000)
    expect(reads).toBe(1)
  })

  it('is waited for where nobody else has it, also while it is left alone', async () => {
    for (const text of ['one', 'two']) {
      const cid = await stored(text, { held: false })
      expect(await lab.run(its.get(cid))).toEqual(utf8(text))
    }
  })

  it('is not taken for one because somebody gave up', async () => {
    answerMs = 20
    const [one, two] = [await stored('one', { held: false }), await stored('two', { held: false })]
    const controller = new AbortController()
    const given = Promise.allSettled([its.get(one, { signal: controller.signal })])
    await lab.advance(1)
    controller.abort()
    const beganMs = lab.clock.nowMs()
    expect(await lab.run(its.get(two))).toEqual(utf8('two'))
    expect(lab.clock.nowMs() - beganMs).toBeLessThan(100)
    await given
  })
})

describe('a tab that comes to a browser that has another one', () => {
  it('reads large files of that one from the disk, and keeps no copy there', async () => {
    const cluster = newCluster()
    const [home] = await homeAndOthers(cluster, await boot(cluster, 3))
    const content = new Uint8Array(200_000).map((_, i) => i)
    const { cid } = await cluster.run(home.fs.writeFile('/f', content, { ack: 'all' }))
    const tab = cluster.addNode(home.device)
    await cluster.run(tab.boot())
    await meshed(cluster)
    const call = vi.spyOn(RpcNode.prototype, 'call')
    for (let i = 0; i < 3; i++) expect(await cluster.run(tab.fs.readFile('/f'))).toEqual(content)
    const got = call.mock.calls.flatMap(([, method, args]) =>
      method === 'blocks.get' ? (args as { cids: string[] }).cids : [],
    )
    vi.restoreAllMocks()
    expect(got).not.toContain(cid)
    expect(tab.disk.blocks.has(cid as string)).toBe(false) // the same disk need not hold it once more
  })
})
