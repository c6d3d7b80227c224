// What the leader of a tree believes about who keeps its leaves, while it looks through them and others write.
import { expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import { TestLog } from '../harness.contract.ts'
import { NEEDED } from './block-holder.ts'
import { linkedTo, UNIT } from './placement.contract.ts'
import { type LedTree, Placement, type PlacementOptions } from './placement.ts'
import { ASKED } from './placement-site.ts'

const TREE = `K-${'3'.repeat(64)}` as Kid
const ids = (letters: string) => [...letters].map((letter) => `12D3KooW${letter.repeat(8)}` as NodeId)
const deviceOf = (id: NodeId) => id.slice(-1).repeat(32) as DeviceId
const turns = async (n = 20) => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
}

function world(letters = 'labcd') {
  const clock = new VirtualClock()
  const [self, ...peers] = ids(letters) as [NodeId, ...NodeId[]]
  /** What is on the disks, because it was asked for. */
  const disks = new Map(peers.map((id) => [id, new Set<string>()]))
  const asked: { to: string; cid: string }[] = []
  const state = {
    roots: ['r'],
    census: async (_roots: readonly string[]) => ({ leaves: new Map([['old', UNIT]]), complete: true }),
    confirm: async () => undefined as unknown,
    keptDelayMs: (_to: string) => 0,
    mute: new Set<string>(),
    surveys: [] as number[],
  }
  const options = {
    rpc: {
      self,
      handle: () => undefined,
      note: () => undefined,
      call: async (to: NodeId, method: string, { cids }: { cids: string[] }) => {
        const disk = disks.get(to) as Set<string>
        if (method === 'tree.keep') {
          for (const cid of cids) {
            asked.push({ to, cid })
            disk.add(cid)
          }
          return new Uint8Array(cids.length).fill(1)
        }
        state.surveys.push(clock.nowMs())
        if (state.mute.has(to)) throw new Error('it does not answer')
        const said = Uint8Array.from(cids, (cid) => (disk.has(cid) ? ASKED : 0))
        const ms = state.keptDelayMs(to)
        if (ms > 0) await new Promise<void>((resolve) => clock.setTimer(resolve, ms, 'kept'))
        return said
      },
    },
    membership: linkedTo(peers),
    holder: { kept: async (_tree: string, cids: string[]) => new Uint8Array(cids.length), release: () => undefined },
    clock,
    log: new TestLog(),
    keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: id === self ? 0 : 1 })),
    led: (): LedTree => ({ keg: undefined, roots: state.roots, copies: 3, members: [self], changing: false }),
    confirm: () => state.confirm(),
    roots: () => state.roots,
    members: () => [],
    onUnused: () => undefined,
    breathe: async () => undefined,
    census: (roots: readonly string[]) => state.census(roots),
  }
  const placement = new Placement(options as unknown as PlacementOptions)
  placement.led(TREE)
  return { clock, placement, disks, asked, state, peers, self }
}
const holdersOf = (disks: Map<NodeId, Set<string>>, cid: string) => [...disks].filter(([, d]) => d.has(cid)).length

it('who looks through a tree for the first time still knows who keeps what is being written', async () => {
  const { placement, asked } = world()
  const placing = placement.begin(TREE, { ops: [], ack: 'all' })
  expect(await placing.elsewhere([{ cid: 'new', size: UNIT }], {})).toEqual([true])
  expect(placing.devices()).toBe(3)
  await placement.review(TREE)
  expect(placing.devices()).toBe(3)
  // A second piece of the same file, and the first is asked for again: nobody else has to keep it.
  await placing.elsewhere(
    ['new', 'newer'].map((cid) => ({ cid, size: UNIT })),
    {},
  )
  expect(asked.filter(({ cid }) => cid === 'new')).toHaveLength(3)
  expect(placing.devices()).toBe(3)
  placing.end('done')
})

it('a repair finds what a disk has lost, also of a file that is being written', async () => {
  const { placement, disks, peers } = world()
  for (const id of peers.slice(0, 3)) disks.get(id)?.add('old')
  await placement.review(TREE, 'all')
  // Somebody appends to the file: its first leaf is the same.
  const placing = placement.begin(TREE, { ops: [] })
  await placing.elsewhere(
    [
      { cid: 'old', size: UNIT },
      { cid: 'new', size: UNIT },
    ],
    {},
  )
  disks.get(peers[0] as NodeId)?.delete('old')
  await placement.review(TREE, 'all')
  placing.end('done')
  // Nor does it find it when that has ended: everybody was asked just now, it thinks.
  await placement.review(TREE)
  expect(holdersOf(disks, 'old')).toBe(3)
})

it('what is acknowledged is not more than there is, once everybody was asked', async () => {
  const { placement, disks, peers } = world('labc')
  for (const id of peers) disks.get(id)?.add('old')
  await placement.review(TREE, 'all')
  const placing = placement.begin(TREE, { ops: [] })
  await placing.elsewhere([{ cid: 'old', size: UNIT }], {})
  disks.get(peers[0] as NodeId)?.delete('old')
  disks.get(peers[1] as NodeId)?.delete('old')
  await placement.review(TREE, 'all')
  expect(placing.devices()).toBeLessThanOrEqual(holdersOf(disks, 'old'))
  placing.end('done')
})

it('what was written while a holder asked is needed, though a review came between', async () => {
  const { clock, placement, state, peers } = world()
  let slow: () => void = () => undefined
  state.census = async (roots) => {
    if (roots[0] === 'r')
      await new Promise<void>((resolve) => {
        slow = resolve
      })
    return { leaves: new Map(roots[0] === 'r' ? [] : [['new', UNIT]]), complete: true }
  }
  const said = placement.needs(peers[0] as NodeId, TREE, ['new'])
  await turns()
  const placing = placement.begin(TREE, { ops: [] })
  await placing.elsewhere([{ cid: 'new', size: UNIT }], {})
  await turns()
  clock.jump(10)
  state.roots = ['r2'] // it is journalled
  placing.end('done')
  await turns()
  clock.jump(10)
  await placement.review(TREE)
  slow()
  const [word] = (await said).answer
  expect(((word as number) & NEEDED) === NEEDED).toBe(true)
})

it('the same where the leader has to make sure that it leads', async () => {
  const { clock, placement, state, peers } = world()
  const waiting: (() => void)[] = []
  state.census = async (roots) => ({ leaves: new Map(roots[0] === 'r' ? [] : [['new', UNIT]]), complete: true })
  let count = 0
  state.confirm = async () => {
    if (++count === 2) await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const said = placement.needs(peers[0] as NodeId, TREE, ['new'])
  await turns()
  expect(waiting).toHaveLength(1) // it asks the others whether it still leads: a round trip
  const placing = placement.begin(TREE, { ops: [] })
  await placing.elsewhere([{ cid: 'new', size: UNIT }], {})
  await turns()
  clock.jump(10)
  state.roots = ['r2']
  placing.end('done')
  await turns()
  clock.jump(10)
  await placement.review(TREE)
  waiting[0]?.()
  const [word] = (await said).answer
  expect(((word as number) & NEEDED) === NEEDED).toBe(true)
})

it('two that look through a tree at the same time have nothing kept that is kept', async () => {
  const { clock, placement, disks, peers, asked, state } = world('labcdefg')
  const leaves = Array.from({ length: 20 }, (_, i) => `leaf-${i}`)
  state.census = async () => ({ leaves: new Map(leaves.map((cid) => [cid, UNIT])), complete: true })
  for (const id of peers.slice(0, 3)) for (const cid of leaves) disks.get(id)?.add(cid)
  const slow = peers.at(-1)
  state.keptDelayMs = (to) => (to === slow ? 1_000 : 100)
  const first = placement.review(TREE, 'all')
  await turns()
  for (let i = 0; i < 6; i++) clock.step() // the quick ones have answered
  await turns()
  clock.jump(850)
  const second = placement.review(TREE, 'all')
  let done = false
  void Promise.all([first, second]).then(() => {
    done = true
  })
  for (let i = 0; i < 200 && !done; i++) {
    await turns(3)
    if (!done) clock.step()
  }
  await turns()
  expect(done).toBe(true)
  expect(asked.length).toBe(0)
})

it('a file that is written while everybody is asked is not sent to others', async () => {
  const { clock, placement, disks, peers, asked, state } = world('labcdefg')
  const leaves = Array.from({ length: 20 }, (_, i) => `leaf-${i}`)
  state.census = async () => ({ leaves: new Map(leaves.map((cid) => [cid, UNIT])), complete: true })
  for (const id of peers.slice(0, 3)) for (const cid of leaves) disks.get(id)?.add(cid)
  await placement.review(TREE, 'all')
  state.keptDelayMs = () => 100
  const review = placement.review(TREE, 'all')
  await turns()
  const placing = placement.begin(TREE, { ops: [] })
  await placing.elsewhere(
    leaves.map((cid) => ({ cid, size: UNIT })),
    {},
  )
  let done = false
  void review.then(() => {
    done = true
  })
  for (let i = 0; i < 200 && !done; i++) {
    await turns(3)
    if (!done) clock.step()
  }
  expect({ asked: asked.length, each: Math.max(...leaves.map((cid) => holdersOf(disks, cid))) }).toEqual({
    asked: 0,
    each: 3,
  })
  placing.end('done')
})

/** Lets time pass. */
async function pass(clock: VirtualClock, ms: number) {
  const untilMs = clock.nowMs() + ms
  await turns()
  while (clock.step(untilMs)) await turns()
  clock.jump(untilMs - clock.nowMs())
}

it('whoever did not answer twice is asked again', async () => {
  const { clock, disks, peers, asked, state } = world()
  for (const id of peers.slice(0, 3)) disks.get(id)?.add('old')
  state.mute.add(peers[0] as NodeId)
  await pass(clock, 30_000)
  expect(asked).toHaveLength(1) // somebody else keeps it meanwhile
  state.mute.clear()
  const before = state.surveys.length
  await pass(clock, 30 * 60_000)
  expect(state.surveys.length).toBeGreaterThan(before)
})

it('what a disk has lost is found within some hours where nobody comes or goes', async () => {
  const { clock, disks, peers } = world()
  for (const id of peers.slice(0, 3)) disks.get(id)?.add('old')
  await pass(clock, 60_000)
  disks.get(peers[0] as NodeId)?.delete('old')
  await pass(clock, 5 * 60 * 60_000)
  expect(holdersOf(disks, 'old')).toBe(3)
})
