import { encode } from 'cborg'
import { describe, expect, test } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { encodeHello, RendezvousDecoder } from './rendezvous.ts'

const peer = '12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf'

function frame(value: unknown): Uint8Array {
  const body = encode(value)
  const header = new Uint8Array(4)
  new DataView(header.buffer).setUint32(0, body.byteLength)
  return concat([header, body])
}

describe('the rendezvous decoder', () => {
  const events = [
    { t: 'peers', peers: [peer] },
    { t: 'joined', peer },
    { t: 'left', peer },
    { t: 'left', peer, said: 'a secret' },
  ]

  test('takes frames in one piece and byte by byte', () => {
    const bytes = concat(events.map(frame))
    expect(new RendezvousDecoder().push(bytes)).toEqual(events)
    const decoder = new RendezvousDecoder()
    expect([...bytes].flatMap((byte) => decoder.push(new Uint8Array([byte])))).toEqual(events)
  })

  test.each([
    ['an oversize frame', new Uint8Array([0, 1, 0, 1])],
    ['no CBOR', new Uint8Array([0, 0, 0, 1, 0xff])],
    ['another event', frame({ t: 'gone', peer })],
    ['a peer that is no node id', frame({ t: 'joined', peer: 'QmNobody' })],
    ['a list with something else in it', frame({ t: 'peers', peers: [peer, 7] })],
    ['no object', frame('peers')],
  ])('refuses %s', (_what, bytes) => {
    expect(() => new RendezvousDecoder().push(bytes)).toThrowError(expect.objectContaining({ code: 'EPROTO' }))
  })
})

test('the hello names version and cluster', () => {
  expect(encodeHello('mine')).toEqual(frame({ v: 1, cluster: 'mine' }))
  expect(encodeHello('mine', 'secret')).toEqual(frame({ v: 1, cluster: 'mine', goodbye: 'secret' }))
})
