// What attacks on fetching found, where a lane waits before it asks for what another was asked for.
import { beforeEach, describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

let lab: Lab
let reader: LabNode
let blocks: Blocks
let content: Uint8Array[]
let cids: string[]
const sleep = (ms: number) => new Promise<void>((resolve) => lab.clock.setTimer(resolve, ms, 'test'))
const PACE = 400
const COUNT = 96

beforeEach(async () => {
  lab = new Lab({ split: true })
  reader = await lab.node('m')
  ;({ blocks } = blocksOf(lab, reader))
  content = Array.from({ length: COUNT }, (_, i) => new Uint8Array(1000).fill(i))
  cids = await Promise.all(content.map((bytes) => blocks.cidOf(RAW, bytes)))
})

/** Sends a block every so often. */
async function slow(name: string, blockMs: number): Promise<LabNode> {
  const node = await lab.node(name)
  node.rpc.handle('blocks.have', async (args) => Uint8Array.from(args.cids, (cid) => (cids.includes(cid) ? 1 : 0)))
  node.rpc.handle('blocks.get', async (args, { item, signal }) => {
    for (const [index, cid] of args.cids.entries()) {
      await sleep(blockMs)
      if (signal.aborted) return null
      const bytes = content[cids.indexOf(cid)] as Uint8Array
      await item([index, 0, bytes.byteLength, bytes])
    }
    return null
  })
  await lab.link(reader, node)
  return node
}

/** Two holders: p waits for what q has been asked for, from 9.6 s to 16.8 s. */
async function waiting(options = {}): Promise<{ q: LabNode; gap(): Promise<number>; ended(): number }> {
  await slow('p', PACE)
  const q = await slow('q', 1.5 * PACE)
  let [left, last, longest, endedMs] = [COUNT, 0, 0, 0]
  for (const one of blocks.getEach(cids, { keep: 'never', ...options })) {
    one.then(
      () => {
        const nowMs = lab.clock.nowMs()
        if (left-- < COUNT) longest = Math.max(longest, nowMs - last)
        last = nowMs
      },
      () => {
        endedMs ||= lab.clock.nowMs()
      },
    )
  }
  await lab.advance(10_000)
  const gap = async () => {
    await lab.until(() => left === 0, 120_000)
    return longest
  }
  return { q, gap, ended: () => endedMs }
}

describe('a lane that waits for another holder', () => {
  it('goes on at once when that one closes its tab', async () => {
    const { q, gap } = await waiting()
    q.rpc.close('its tab closed')
    expect(await gap()).toBeLessThan(2_000)
  })

  it('ends at once when the caller cancels', async () => {
    const controller = new AbortController()
    const { ended } = await waiting({ signal: controller.signal })
    const cancelledMs = lab.clock.nowMs()
    controller.abort(new OsError('ECANCELED', 'enough'))
    await lab.until(() => ended() > 0, 120_000)
    expect(ended() - cancelledMs).toBeLessThan(500)
  })
})

describe('a holder beside one that needs 20 ms for a block', () => {
  type Serve = (
    asked: readonly Uint8Array[],
    item: (value: unknown) => Promise<void>,
    more: () => boolean,
  ) => Promise<void>

  /** Says that it has everything, and serves as the test wants until it is no longer asked. */
  async function crook(name: string, serve: Serve): Promise<void> {
    const node = await lab.node(name)
    node.rpc.handle('blocks.have', async (args) => new Uint8Array(args.cids.length).fill(1))
    node.rpc.handle('blocks.get', async (args, { item, signal }) => {
      const asked = args.cids.map((cid) => content[cids.indexOf(cid)] as Uint8Array)
      await serve(asked, item as (value: unknown) => Promise<void>, () => !signal.aborted)
      while (!signal.aborted) await sleep(100)
      return null
    })
    await lab.link(reader, node)
  }

  async function tookMs(): Promise<number> {
    const startMs = lab.clock.nowMs()
    let left = COUNT
    for (const one of blocks.getEach(cids, { keep: 'never' })) one.then(() => left--)
    await lab.until(() => left === 0, 600_000)
    return lab.clock.nowMs() - startMs
  }

  const LATE_MS = 2_900 // just before it is given up

  const kinds: [what: string, serve: Serve][] = [
    [
      'sends all but the last byte and stands still',
      async ([first], item) => {
        if (first) await item([0, 0, first.byteLength, first.subarray(0, -1)])
      },
    ],
    [
      'sends the last byte of each block late',
      async (asked, item, more) => {
        for (const [i, bytes] of asked.entries()) {
          await item([i, 0, bytes.byteLength, bytes.subarray(0, -1)])
          await sleep(LATE_MS)
          if (!more()) return
          await item([i, bytes.byteLength - 1, bytes.byteLength, bytes.subarray(-1)])
        }
      },
    ],
    [
      'leaves the first block out and drips another',
      async (asked, item, more) => {
        const total = 2 * 1024 * 1024
        const piece = new Uint8Array(65_536)
        for (let at = 0; at < total && asked.length > 1 && more(); at += piece.byteLength) {
          await item([1, at, total, piece])
          await sleep(LATE_MS)
        }
      },
    ],
    ['offers a block of no bytes', async (_asked, item) => item([0, 0, 0, new Uint8Array(0)])],
  ]

  it.each(kinds)('that %s is overtaken', async (_what, serve) => {
    await slow('p', 20)
    await crook('q', serve)
    expect(await tookMs()).toBeLessThan(4 * COUNT * 20)
  })
})
