// The parts of placing by themselves, over whatever a test says.
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import { OsError } from '../../base/errors.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { Pins } from '../blocks/pins.ts'
import { TestLog } from '../harness.contract.ts'
import { MAX_CIDS_PER_CALL } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import { BlockHolder, SAYS_LEADER } from './block-holder.ts'
import { linkedTo, UNIT } from './placement.contract.ts'
import { type LedTree, Placement, type PlacementOptions } from './placement.ts'

const TREE = `K-${'3'.repeat(64)}` as Kid

/** The placement of one node, over whatever a test says. */
function placementOf(given: {
  led?(): LedTree | undefined
  confirm?(): Promise<void>
  census?(): Promise<ReadonlyMap<string, number>>
  kept?(peer: string): number
}) {
  const clock = new VirtualClock()
  const peers = ['12D3KooWaaaaaaaa', '12D3KooWbbbbbbbb', '12D3KooWcccccccc', '12D3KooWmmmmmmmm'] as NodeId[]
  const self = '12D3KooWllllllll' as NodeId
  const deviceOf = (id: NodeId) => id.slice(-1).repeat(32) as DeviceId
  const asked: string[] = []
  const answers = (peer: string, count: number) => new Uint8Array(count).fill(given.kept?.(peer) ?? 0)
  const options = {
    rpc: {
      self,
      handle: () => undefined,
      note: () => undefined,
      call: async (peer: string, method: string, { cids }: { cids: string[] }) => {
        asked.push(method)
        return method === 'tree.kept' ? answers(peer, cids.length) : new Uint8Array(cids.length)
      },
    },
    membership: linkedTo(peers),
    holder: {
      kept: async (_tree: string, cids: string[]) => answers(self, cids.length),
      keep: async (_of: object, cids: string[]) => new Uint8Array(cids.length),
    },
    clock,
    log: new TestLog(),
    keepers: () => [self, ...peers].map((id) => ({ id, device: deviceOf(id), weight: 1 })),
    led: given.led ?? (() => ({ keg: undefined, roots: ['r'], copies: 3, members: [self], changing: false })),
    confirm: given.confirm ?? (async () => undefined),
    roots: () => undefined,
    members: () => [],
    onUnused: () => undefined,
    breathe: async () => undefined,
    census: async () => ({ leaves: (await given.census?.()) ?? new Map([['x', UNIT]]), complete: true }),
  }
  return { placement: new Placement(options as unknown as PlacementOptions), peers, self, asked, clock }
}
describe('a leader', () => {
  it('that leads again does not go by what it knew', async () => {
    let leads = true
    let kept = 2
    const led = () => (leads ? { keg: undefined, roots: ['r'], copies: 3, members: [], changing: false } : undefined)
    const { placement, peers } = placementOf({ led, kept: () => kept })
    const member = peers[3] as NodeId
    placement.led(TREE)
    expect(await placement.placed(member, TREE, ['x'])).toEqual([true])
    // Another leads, and has all of them release it; nobody comes or goes.
    leads = false
    placement.unled(TREE)
    kept = 0
    leads = true
    placement.led(TREE)
    expect(await placement.placed(member, TREE, ['x'])).toEqual([false])
  })

  it('that was deposed while it counted does not say what is needed', async () => {
    let deposed = false
    const confirm = async () => {
      if (deposed) throw new OsError('EAGAIN', 'this node does not lead the tree now')
    }
    const census = async () => {
      deposed = true // it does not know yet, and asks nobody again
      return new Map([['x', UNIT]])
    }
    const { placement, self } = placementOf({ confirm, census })
    const answer = await placement.needs(self, TREE, ['y']).catch((error: OsError) => error.code)
    expect(answer).toBe('EAGAIN')
  })
})

describe('pins', () => {
  it('are not overwritten when it could not be read once which there are', async () => {
    const disk = new Disk()
    const kid = `K-${'1'.repeat(64)}` as Kid
    const other = `K-${'2'.repeat(64)}` as Kid
    const log = new TestLog()
    const pinsOf = async () => {
      const pins = new Pins(new MemoryLogStore(disk), log)
      await pins.load()
      return pins
    }
    await (await pinsOf()).add({ tree: kid }, ['bafkreiaaaa'])
    const index = disk.records.get('pins') as Uint8Array<ArrayBuffer>
    disk.records.set('pins', new Uint8Array([255]))
    const blind = await pinsOf()
    expect(blind.unread).toBe(true)
    await blind.add({ tree: other }, ['bafkreibbbb']).catch(() => undefined)
    if (disk.records.get('pins')?.byteLength === 1) disk.records.set('pins', index)
    const again = await pinsOf()
    expect([again.unread, again.of(kid)]).not.toEqual([false, []])
  })
})

describe('what is asked for again while it is given up', () => {
  it('stays pinned', async () => {
    const log = new TestLog()
    const pins = new Pins(new MemoryLogStore(new Disk()), log)
    await pins.load()
    const leader = '12D3KooWllllllll' as NodeId
    const all = Array.from({ length: MAX_CIDS_PER_CALL + 1 }, (_, i) => `bafkrei${i}`)
    await pins.add({ tree: TREE }, all)
    let again = async () => {}
    const holder: BlockHolder = new BlockHolder({
      blocks: {
        pin: () => () => undefined,
        touch: () => undefined,
        hold: async () => undefined,
        lookAgain: () => undefined,
        hasMany: async (cids: string[]) => cids.map(() => true),
      } as unknown as Blocks,
      pins,
      rpc: {
        self: '12D3KooWssssssss',
        handle: () => undefined,
        onNote: () => undefined,
        call: async (_to: string, _method: string, { cids }: { cids: string[] }) => {
          const answer = new Uint8Array(cids.length).fill(SAYS_LEADER) // none is needed now
          if (cids.length === 1) await again()
          return { answer, members: [leader, '12D3KooWmmmmmmmm'] }
        },
      } as unknown as RpcNode,
      device: 'a'.repeat(32) as DeviceId,
      membership: linkedTo([leader, '12D3KooWmmmmmmmm']) as unknown as Membership,
      absorbed: async () => undefined,
      log,
      full: () => false,
      keeps: () => false,
      leaderOf: async () => leader,
      onReleased: () => undefined,
    })
    const first = all[0] as string
    let said: number | undefined
    // Its first answer is here, and somebody writes the same content anew: the leader asks for it.
    again = async () => {
      const signal = new AbortController().signal
      said = (await holder.keep({ tree: TREE }, [first], { hints: [], signal }))[0]
    }
    const { gone } = await holder.audit(TREE, async () => Promise.reject(new OsError('EAGAIN', 'it is not kept here')))
    expect({ said, has: pins.has(TREE, first) }).toEqual({ said: 1, has: true })
    expect(gone).toHaveLength(all.length)
    expect(pins.of(TREE)).toEqual([first])
  })

  it('is not said to be pinned when it is not', async () => {
    const disk = new Disk()
    const store = new MemoryLogStore(disk)
    let fail = true
    const put = store.putRecord.bind(store)
    store.putRecord = async (name, bytes) => {
      await Promise.resolve()
      if (fail) {
        fail = false
        throw new OsError('EIO', 'once')
      }
      return put(name, bytes)
    }
    const pins = new Pins(store, new TestLog())
    await pins.load()
    const one = pins.add({ tree: TREE }, ['bafkreix']).then(
      () => 'ok',
      () => 'failed',
    )
    const two = pins.add({ tree: TREE }, ['bafkreiy']).then(
      () => 'ok',
      () => 'failed',
    )
    const three = pins.add({ tree: TREE }, ['bafkreix']).then(
      () => 'ok',
      () => 'failed',
    )
    const said = [await one, await two, await three]
    expect({ said: said[2], has: pins.has(TREE, 'bafkreix') }).toEqual({ said: said[2], has: said[2] === 'ok' })
  })
})

describe('a review that fails', () => {
  it('is tried again', async () => {
    let counted = 0
    const census = async () => {
      counted++
      if (counted === 1) throw new OsError('EIO', 'a directory cannot be read now')
      return new Map([['x', UNIT]])
    }
    const { placement, clock } = placementOf({ census })
    placement.led(TREE)
    const untilMs = clock.nowMs() + 60 * 60_000
    await new Promise((resolve) => setImmediate(resolve))
    while (clock.step(untilMs)) await new Promise((resolve) => setImmediate(resolve))
    expect(counted).toBeGreaterThan(1)
  })
})
