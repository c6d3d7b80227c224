import { encode } from 'cborg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { concat } from '../../base/bytes.ts'
import type { ByteStream } from '../../ports/network.ts'
import { Lab, type LabNode, nodeId, type RawPeer, type RawStream } from '../harness.contract.ts'
import { HELLO_TIMEOUT_MS, MAX_FRAME_BYTES } from '../limits.ts'
import { encodeFrame, FRAME, type Frame, PROTOCOL_VERSION } from './frames.ts'

const KID = `K-${'a'.repeat(64)}` as never
let lab: Lab
let victim: LabNode
let friend: LabNode

beforeEach(async () => {
  lab = new Lab({ split: true })
  victim = await lab.node('m')
  friend = await lab.node('z')
  victim.rpc.handle('process.kill', async () => true)
  await lab.link(victim, friend)
})

/** Invariant 8, and: a hostile peer hurts nobody else. */
async function friendIsServed(): Promise<void> {
  expect(await lab.run(friend.rpc.call(victim.id, 'process.kill', { kid: KID }))).toBe(true)
}

const raw = (bytes: Uint8Array) => {
  const out = new Uint8Array(4 + bytes.byteLength)
  new DataView(out.buffer).setUint32(0, bytes.byteLength)
  out.set(bytes, 4)
  return out
}

describe('a peer that breaks the protocol is dropped with a logged reason, and hurts nobody else', () => {
  let peer: RawPeer
  let control: RawStream
  beforeEach(async () => {
    peer = await lab.raw('h', victim)
    control = await peer.open('control')
  })
  afterEach(friendIsServed)

  const expectDropped = async (reason: string, withinMs = 100) => {
    await lab.until(() => control.closed, withinMs)
    expect(victim.log.lines.filter((line) => line.startsWith('warn rpc: dropped')).join('\n')).toContain(reason)
    expect(victim.events).toContain(`hostile ${peer.id}`)
    expect(victim.rpc.linkedPeers()).toEqual([friend.id])
    expect(lab.hub.link(victim.id, peer.id)).toBeUndefined()
  }

  it('for garbage instead of a hello', async () => {
    control.bytes(raw(Uint8Array.of(0xff, 0xfe, 0xfd)))
    await expectDropped('not CBOR')
  })

  it('for another frame instead of a hello', async () => {
    control.send([FRAME.PING, 1, { state: 'alive', running: 0, storage: 2, watch: true }])
    await expectDropped('did not say hello first')
  })

  it('for another protocol version, with words for the user', async () => {
    control.hello({ v: 99 })
    await expectDropped(`speaks protocol version 99, this tab speaks ${PROTOCOL_VERSION}: reload this tab`)
  })

  it('for another cluster', async () => {
    control.hello({ cluster: 'elsewhere' })
    await expectDropped('belongs to another cluster')
  })

  it('for a hello that is malformed', async () => {
    control.bytes(raw(encode([FRAME.HELLO, { v: 1, cluster: 'test', device: 'not hex', session: '', slots: -1 }])))
    await expectDropped('a frame is malformed')
  })

  it('for silence on a lane', async () => {
    await expectDropped(`said nothing for ${HELLO_TIMEOUT_MS} ms`, HELLO_TIMEOUT_MS + 100)
  })

  it('for opening one lane only, although that one is in order', async () => {
    control.hello()
    await expectDropped('opened one lane only', 2 * HELLO_TIMEOUT_MS + 100)
  })

  it('for beginning anew again and again, also when each time it greets in order', async () => {
    const restless = await lab.raw('c', victim)
    const gone = () => lab.hub.link(victim.id, restless.id) === undefined
    for (let i = 0; i < 20 && !gone(); i++) {
      const lanes = await restless.greet()
      await lab.advance(8)
      lanes.control.close()
      lanes.bulk.close()
      await lab.advance(4)
    }
    expect(gone()).toBe(true)
    expect(victim.events.filter((event) => event === `up ${restless.id}`).length).toBeLessThan(5)
    control.bytes(raw(Uint8Array.of(0xff)))
  })

  it('for opening a lane, closing it and saying nothing more', async () => {
    const idler = await lab.raw('d', victim)
    const lane = await idler.open('control')
    await lab.advance(100)
    lane.close()
    await lab.until(() => lab.hub.link(victim.id, idler.id) === undefined, 5 * HELLO_TIMEOUT_MS)
    expect(victim.log.lines.join('\n')).toContain('opens no lane')
  })

  it('for being connected without ever opening a lane', async () => {
    const mute = await lab.raw('b', victim)
    await lab.until(() => lab.hub.link(victim.id, mute.id) === undefined, 2 * HELLO_TIMEOUT_MS + 100)
    expect(victim.log.lines.join('\n')).toContain('opens no lane')
    expect(victim.rpc.linkedPeers()).toEqual([friend.id])
  })

  it('for closing every lane that is opened to it, instead of being opened new ones for ever', async () => {
    const refuser = await lab.raw('x', victim) // of two nodes the one with the smaller id opens the lanes
    let closed = 0
    const refuse = () => {
      for (; closed < refuser.accepted.length; closed++) refuser.accepted[closed]?.close()
      return lab.hub.link(victim.id, refuser.id) === undefined
    }
    await lab.until(refuse, 1_000)
    expect(victim.log.lines.join('\n')).toContain('it ends every lane')
    expect(closed).toBeLessThan(10)
    control.bytes(raw(Uint8Array.of(0xff)))
  })

  it('for more before its second hello than a kernel holds back', async () => {
    control.hello()
    const piece: Frame = [FRAME.ITEM, 1, new Uint8Array(64 * 1024)]
    for (let i = 0; i < 400; i++) control.send(piece)
    await expectDropped('too much before hello')
  })

  describe('once linked', () => {
    beforeEach(async () => {
      control.hello()
      const bulk = await peer.open('bulk')
      bulk.hello()
      await lab.until(() => victim.rpc.linked(peer.id))
    })

    it('for garbage', async () => {
      control.bytes(raw(Uint8Array.of(0x9f)))
      await expectDropped('not CBOR')
    })

    it('for a frame larger than the limit', async () => {
      const header = new Uint8Array(4)
      new DataView(header.buffer).setUint32(0, MAX_FRAME_BYTES + 1)
      control.bytes(header)
      await expectDropped('over the limit')
    })

    it('for a second hello', async () => {
      control.hello()
      await expectDropped('said hello twice')
    })

    it('for a malformed note', async () => {
      victim.rpc.onNote('membership.peers', () => undefined)
      control.send([FRAME.NOTE, 'membership.peers', { peers: ['not a node id!'] }])
      await expectDropped('a malformed note membership.peers')
    })

    it('for answering with items that nobody asked for', async () => {
      const call = victim.rpc.call(peer.id, 'process.wait', { kid: KID })
      call.catch(() => undefined)
      await lab.until(() => control.frames.some((frame) => frame[0] === FRAME.CALL))
      const [, id] = control.frames.find((frame) => frame[0] === FRAME.CALL) as unknown as [number, number]
      control.send([FRAME.ITEM, id, null])
      await expectDropped('items that nobody asked for')
      await expect(call).rejects.toMatchObject({ code: 'ECONNRESET' })
    })

    it('for using a call’s number twice', async () => {
      victim.rpc.handle('process.wait', () => new Promise(() => undefined))
      control.send([FRAME.CALL, 5, 'process.wait', 0, 0, { kid: KID }])
      control.send([FRAME.CALL, 5, 'process.wait', 0, 0, { kid: KID }])
      await expectDropped('call 5 is under way already')
    })
  })
})

describe('a peer that is only wrong stays linked', () => {
  let peer: RawPeer
  let control: RawStream
  beforeEach(async () => {
    peer = await lab.raw('h', victim)
    ;({ control } = await peer.greet())
    await lab.until(() => victim.rpc.linked(peer.id))
  })
  const answer = async (frame: Frame) => {
    control.send(frame)
    const of = (each: Frame) => (each[0] === FRAME.ERROR || each[0] === FRAME.RESULT) && each[1] === frame[1]
    await lab.until(() => control.frames.some(of))
    expect(victim.rpc.linked(peer.id)).toBe(true)
    return control.frames.find(of)
  }

  it('when it calls a method that does not exist, or that nobody offers', async () => {
    expect(await answer([FRAME.CALL, 1, 'no.such', 0, 0, null])).toMatchObject([FRAME.ERROR, 1, 'ENOSYS', /no.such/])
    expect(await answer([FRAME.CALL, 2, '__proto__', 0, 0, null])).toMatchObject([FRAME.ERROR, 2, 'ENOSYS', {}])
    expect(await answer([FRAME.CALL, 3, 'toString', 0, 0, null])).toMatchObject([FRAME.ERROR, 3, 'ENOSYS', {}])
    expect(await answer([FRAME.CALL, 4, 'storage.usage', 0, 0, null])).toMatchObject([FRAME.ERROR, 4, 'ENOSYS', {}])
  })

  it('when its arguments do not fit', async () => {
    expect(await answer([FRAME.CALL, 1, 'process.kill', 0, 0, { kid: 'x' }])).toMatchObject([
      FRAME.ERROR,
      1,
      'EINVAL',
      {},
    ])
    expect(await answer([FRAME.CALL, 2, 'process.kill', 0, 0, null])).toMatchObject([FRAME.ERROR, 2, 'EINVAL', {}])
  })

  it('when it answers, cancels and credits what was never asked', async () => {
    for (const frame of [
      [FRAME.RESULT, 77, null],
      [FRAME.ERROR, 77, 'EIO', 'x'],
      [FRAME.ITEM, 77, null],
      [FRAME.CANCEL, 77],
      [FRAME.CREDIT, 77, 5],
      [FRAME.NOTE, 'from.the.future', { any: 'thing' }],
      [FRAME.NOTE, 'toString', null],
    ] as Frame[])
      control.send(frame)
    expect(await answer([FRAME.CALL, 1, 'process.kill', 0, 0, { kid: KID }])).toEqual([FRAME.RESULT, 1, true])
  })
})

describe('links', () => {
  it('come up once on both sides, whoever connects', async () => {
    const [a, b] = await new Lab().pair()
    const other = new Lab()
    const [c, d] = [await other.node('c'), await other.node('d')]
    await other.link(d, c)
    expect([a.events, b.events]).toEqual([[`up ${b.id}`], [`up ${a.id}`]])
    expect([c.events, d.events]).toEqual([[`up ${d.id}`], [`up ${c.id}`]])
  })

  it('carry the words of a goodbye', async () => {
    victim.rpc.close('its tab closed')
    await lab.until(() => friend.events.length > 1)
    expect(friend.events).toEqual([`up ${victim.id}`, `down ${victim.id}: its tab closed`])
  })

  it('carry a goodbye also to a peer that is linked while we still wait for its second hello', async () => {
    const peer = await lab.raw('h', victim)
    const control = await peer.open('control')
    control.hello()
    await lab.advance(20)
    victim.rpc.close('its tab closed')
    await lab.until(() => control.closed)
    expect(control.frames).toMatchObject([[FRAME.HELLO, {}], [FRAME.BYE, 'its tab closed']]) // biome-ignore format: one line
  })

  it('are replaced when the peer begins anew, and the calls of the old one fail with ECONNRESET', async () => {
    const peer = await lab.raw('h', victim)
    await peer.greet()
    await lab.until(() => victim.rpc.linked(peer.id))
    const call = victim.rpc.call(peer.id, 'process.wait', { kid: KID })
    call.catch(() => undefined)
    await peer.greet({ session: 'f'.repeat(16) })
    await lab.until(() => victim.events.filter((event) => event === `up ${peer.id}`).length === 2)
    await expect(call).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(victim.rpc.linked(peer.id)).toBe(true)
    await friendIsServed()
  })

  it('come back by themselves when one lane alone breaks, although the connection stays', async () => {
    for (const [a, b] of [
      ['c', 'd'],
      ['d', 'c'],
    ] as const) {
      const other = new Lab()
      const streams: ByteStream[] = []
      const [near, far] = [await other.node(a), await other.node(b)]
      const adopt = near.network.receive.bind(near.network)
      near.network.receive = (peer, kind, stream) => {
        streams.push(stream)
        adopt(peer, kind, stream)
      }
      const open = near.network.open.bind(near.network)
      near.network.open = async (...args) => {
        const stream = await open(...args)
        streams.push(stream)
        return stream
      }
      await other.link(near, far)
      streams[0]?.abort('the browser closed this data channel')
      await other.until(() => !near.rpc.linked(far.id) || !far.rpc.linked(near.id))
      await other.until(() => near.rpc.linked(far.id) && far.rpc.linked(near.id), 1_000)
      far.rpc.handle('process.kill', async () => true)
      expect(await other.run(near.rpc.call(far.id, 'process.kill', { kid: KID }))).toBe(true)
    }
  })

  it('are not ended by what an earlier link left behind', async () => {
    const peer = await lab.raw('h', victim)
    await peer.open('control') // never says hello
    await lab.advance(5_000)
    const control = await peer.open('control')
    control.hello()
    await lab.advance(10)
    const bulk = await peer.open('bulk')
    bulk.hello()
    await lab.until(() => victim.rpc.linked(peer.id))
    await lab.advance(2 * HELLO_TIMEOUT_MS + 1_000)
    expect(victim.rpc.linked(peer.id)).toBe(true)
    expect(control.closed).toBe(false)
  })

  it('leave no timer behind when the node closes, also those that were coming up', async () => {
    const other = new Lab()
    const node = await other.node('m')
    const peer = await other.raw('h', node)
    await peer.open('control')
    const third = await other.node('z')
    await other.link(node, third)
    node.rpc.close('its tab closed')
    await other.advance(100)
    third.rpc.close('its tab closed')
    await other.advance(100)
    expect(other.clock.pending()).toEqual([])
  })

  it('accept frames that overtake the hello of the other lane', async () => {
    const peer = await lab.raw('h', victim)
    const control = await peer.open('control')
    control.hello()
    control.send([FRAME.CALL, 1, 'process.kill', 0, 0, { kid: KID }])
    await lab.advance(50)
    const bulk = await peer.open('bulk')
    bulk.hello()
    await lab.until(() => control.frames.some((frame) => frame[0] === FRAME.RESULT))
  })

  it('refuse calls to nodes without one', async () => {
    await expect(victim.rpc.call(nodeId('nobody'), 'process.kill', { kid: KID })).rejects.toMatchObject({
      code: 'EHOSTUNREACH',
    })
  })

  it('survive a stranger whose bytes stop in the middle of a frame', async () => {
    const peer = await lab.raw('h', victim)
    const { control } = await peer.greet()
    await lab.until(() => victim.rpc.linked(peer.id))
    control.bytes(concat([encodeFrame([FRAME.PONG, 1]), Uint8Array.of(0, 0, 1)]))
    await lab.advance(60_000)
    await friendIsServed()
    peer.network.crash()
    await lab.advance(60_000)
    await friendIsServed()
  })
})

describe('a call to this kernel itself', () => {
  it('has the same meaning as one to a peer: handlers, errors, cancellation', async () => {
    expect(await victim.rpc.call(victim.id, 'process.kill', { kid: KID })).toBe(true)
    await expect(victim.rpc.call(victim.id, 'tree.head', { tree: null })).rejects.toMatchObject({ code: 'ENOSYS' })
    let aborted = false
    victim.rpc.handle('process.wait', (_args, { signal }) => {
      signal.addEventListener('abort', () => {
        aborted = true
      })
      return new Promise(() => undefined)
    })
    const controller = new AbortController()
    const call = victim.rpc.call(victim.id, 'process.wait', { kid: KID }, { signal: controller.signal })
    call.catch(() => undefined)
    controller.abort()
    expect(aborted).toBe(true)
  })

  it('takes items one after the other, in the order in which they were sent, as from a peer', async () => {
    victim.rpc.handle('blocks.get', async (_args, { item }) => {
      await Promise.all([1, 2, 3, 4].map((n) => item(n)))
      return null
    })
    for (const caller of [victim, friend]) {
      const taken: number[] = []
      let busy = false
      const onItem = async (item: unknown) => {
        expect(busy).toBe(false)
        busy = true
        await new Promise<void>((resolve) => lab.clock.setTimer(resolve, 10 - 2 * (item as number), 'slow'))
        taken.push(item as number)
        busy = false
      }
      await lab.run(caller.rpc.call(victim.id, 'blocks.get', { cids: [] }, { onItem }))
      expect(taken).toEqual([1, 2, 3, 4])
    }
  })
})
