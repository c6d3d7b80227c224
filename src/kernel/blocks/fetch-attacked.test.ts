// What an attack on fetching found, where a lane waits before it asks for what another was asked for.
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
  for (const one of blocks.getEach(cids, { keep: false, ...options })) {
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
