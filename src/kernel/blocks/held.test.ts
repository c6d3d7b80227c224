// What is held is on the disk, whatever else happens at the same time: blocks that go ahead, are fetched, freed, looked for again.
import { expect, it } from 'vitest'
import { Disk } from '../../adapters/memory/disk.ts'
import { SeededRandom } from '../../adapters/memory/random.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { TOUCHED_MS } from '../limits.ts'
import { RAW } from './cid.ts'

/** Whoever had blocks held names them within this time. */
const NAMED_MS = 30

it.each(Array.from({ length: 40 }, (_, i) => i))('holds what it says, on a slow disk (seed %i)', async (seed) => {
  const lab = new Lab()
  const random = new SeededRandom(seed)
  const [keeper, writer] = await lab.pair()
  const speed = { clock: lab.clock, random: new SeededRandom(seed), flushMs: [0.1, 8] as const }
  const disk = new Disk(Number.POSITIVE_INFINITY, speed)
  const { blocks } = blocksOf(lab, keeper, { disk })
  const { blocks: theirs } = blocksOf(lab, writer)
  const cids: string[] = []
  for (let i = 0; i < 6; i++) cids.push(await lab.run(theirs.put(RAW, new Uint8Array(10 + i).fill(i))))
  const lost: string[] = []
  const expectHeld = (held: readonly string[]) => lost.push(...held.filter((cid) => !disk.blocks.has(cid)))

  async function hold(wanted: readonly string[], pinned: boolean): Promise<void> {
    const release = pinned ? blocks.pin() : () => undefined
    await blocks.hold(wanted, { hints: [writer.id] })
    const heldMs = lab.clock.nowMs()
    expectHeld(wanted)
    await new Promise<void>((resolve) => lab.clock.setTimer(resolve, NAMED_MS, 'named'))
    if (lab.clock.nowMs() - heldMs < TOUCHED_MS) expectHeld(wanted)
    release()
  }

  const under: Promise<unknown>[] = []
  let mark = blocks.mark()
  for (let i = 0; i < 120; i++) {
    const wanted = cids.filter(() => random.below(2) === 0)
    switch (random.below(6)) {
      case 0:
        theirs.enclose(keeper.id, wanted)
        break
      case 1:
      case 2:
        under.push(hold(wanted, random.below(2) === 0))
        break
      case 3:
        mark = blocks.mark()
        break
      case 4:
        under.push(blocks.drop(wanted, mark))
        break
      default:
        blocks.lookAgain()
        if (random.below(6) === 0) await lab.advance(TOUCHED_MS + 1)
    }
    await lab.advance(random.below(12))
  }
  await lab.run(Promise.all(under))
  expect(lost).toEqual([])
})
