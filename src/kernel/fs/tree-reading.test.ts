// Directories of another node, read by many at a time.
import { beforeEach, expect, it, vi } from 'vitest'
import { OsError } from '../../base/errors.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { boot, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import { RpcNode } from '../rpc/node.ts'
import type { Entry } from './directory.ts'
import { Tree } from './tree.ts'

let lab: Lab
let reader: LabNode
let holder: LabNode
let blocks: Blocks
let tree: Tree
let root: string
/** How often the holder was asked for blocks. */
let asked: number

beforeEach(async () => {
  lab = new Lab()
  ;[reader, holder] = await lab.pair()
  ;({ blocks } = blocksOf(lab, reader))
  tree = new Tree(blocks)
  root = await new Tree(blocksOf(lab, holder).blocks).create(['a', 'b'])
  asked = 0
  const call = reader.rpc.call.bind(reader.rpc)
  reader.rpc.call = (...args: Parameters<typeof call>) => {
    if (args[1] === 'blocks.get') asked++
    return call(...args)
  }
})

const read = (signal?: AbortSignal) => tree.directory(root, { hints: [holder.id], signal })

it('a directory that sixty look into is fetched once', async () => {
  const directories = await lab.run(Promise.all(Array.from({ length: 60 }, () => read())))
  expect(directories.map((directory) => [...directory.keys()])).toEqual(directories.map(() => ['a', 'b']))
  expect(asked).toBe(1)
})

it('whoever gives up waiting keeps nobody else from reading it', async () => {
  const [first, second] = [new AbortController(), new AbortController()]
  const outcomes = Promise.allSettled([read(first.signal), read(second.signal), read()])
  first.abort()
  second.abort()
  const [one, two, three] = await lab.run(outcomes)
  expect([one?.status, two?.status, three?.status]).toEqual(['rejected', 'rejected', 'fulfilled'])
})

it('those who wait fetch it once, also when whoever read it gives up', async () => {
  const first = new AbortController()
  const outcomes = Promise.allSettled([read(first.signal), ...Array.from({ length: 60 }, () => read())])
  first.abort()
  const [given, ...others] = await lab.run(outcomes)
  expect(given?.status).toBe('rejected')
  expect(others.every(({ status }) => status === 'fulfilled')).toBe(true)
  expect(asked).toBeLessThanOrEqual(2)
})

it('whoever knows a holder does not wait for somebody who waits for one that stands still', async () => {
  const still = await lab.node('still')
  await lab.link(reader, still)
  still.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
  still.rpc.handle('blocks.get', () => new Promise<never>(() => undefined))
  const first = new AbortController()
  const stuck = tree.directory(root, { hints: [still.id], signal: first.signal })
  stuck.catch(() => undefined)
  await lab.run(read(), 500)
  first.abort()
})

it('nor does who knows none, where a neighbour has it', async () => {
  const still = await lab.node('still')
  await lab.link(reader, still)
  still.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length))
  still.rpc.handle('blocks.get', () => new Promise<never>(() => undefined))
  const first = new AbortController()
  const stuck = tree.directory(root, { hints: [still.id], signal: first.signal })
  stuck.catch(() => undefined)
  await lab.run(tree.directory(root), 500)
  first.abort()
})

it('sixty who know a holder that the first does not know fetch it few times', async () => {
  const first = tree.directory(root)
  await lab.run(Promise.all([first, ...Array.from({ length: 60 }, () => read())]))
  expect(asked).toBeLessThan(5)
})

it('is read by the last of sixty of whom each gives up when it is its turn', async () => {
  const get = blocks.get.bind(blocks)
  let held = true
  blocks.get = (cid, options) =>
    held
      ? new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason))
        })
      : get(cid, options)
  const controllers = Array.from({ length: 60 }, () => new AbortController())
  const all = Promise.allSettled(controllers.map(({ signal }) => read(signal)))
  for (const [i, controller] of controllers.slice(0, 59).entries()) {
    if (i === 58) held = false
    controller.abort()
    await lab.advance(1)
  }
  const settled = await lab.run(all)
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(settled[59]?.status).toBe('fulfilled')
})

it('one that nobody has is said to be lost to all at the same time', async () => {
  const mute = await lab.node('mute')
  await lab.link(reader, mute)
  mute.rpc.handle('blocks.have', () => new Promise<never>(() => undefined))
  const entry: Entry = { kind: 'directory', cid: root, size: 0, mode: 0o755, mtimeMs: 0 }
  const { cid } = await new Tree(blocks).draft(new Map([['lost', entry]]))
  const beganMs = lab.clock.nowMs()
  await expect(lab.run(new Tree(blocks).directory(cid))).rejects.toMatchObject({ code: 'EIO' })
  const aloneMs = lab.clock.nowMs() - beganMs
  const both = Promise.allSettled([tree.directory(cid), tree.directory(cid)])
  await lab.run(both)
  expect(lab.clock.nowMs() - beganMs - aloneMs).toBeLessThan(1.5 * aloneMs)
})

it('whoever knows a holder reads it also when another who does not is at it', async () => {
  const get = blocks.get.bind(blocks)
  blocks.get = async (cid, options) => {
    if (options?.hints) return get(cid, options)
    throw new OsError('EIO', 'nobody has it')
  }
  const outcomes = Promise.allSettled([tree.directory(root), read()])
  const [one, two] = await lab.run(outcomes)
  expect([one?.status, two?.status]).toEqual(['rejected', 'fulfilled'])
})

it('a thousand files of one member, sixty-four at a time, take few questions', async () => {
  const cluster = newCluster()
  const [home, [member]] = await homeAndOthers(cluster, await boot(cluster, 3))
  const writer = member ?? home
  await cluster.run(writer.fs.mkdir('/d'))
  const call = vi.spyOn(RpcNode.prototype, 'call')
  let next = 0
  const work = async () => {
    for (let i = next++; i < 1_000; i = next++) await writer.fs.writeFile(`/d/${i}`, `file ${i}`)
  }
  await cluster.run(Promise.all(Array.from({ length: 64 }, work)), 600_000)
  const questions = call.mock.calls.filter(([, method]) => method === 'blocks.get').length
  vi.restoreAllMocks()
  expect(await cluster.run(home.fs.readdir('/d'))).toHaveLength(1_000)
  expect(questions).toBeLessThan(200)
})
