// What browsers count of what comes over a connection, as the compatibility tables of MDN have it.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { hostPeerConnections } from './page.ts'

let row: Record<string, unknown>
beforeEach(() => {
  const connection = class {
    createDataChannel = () => ({})
    close = () => undefined
    getStats = async () => new Map([['pair', { type: 'candidate-pair', ...row }]])
  }
  vi.stubGlobal('RTCPeerConnection', connection)
})
afterEach(() => vi.unstubAllGlobals())

/** As a worker hears it. */
async function heard(): Promise<unknown> {
  const { port1, port2 } = new MessageChannel()
  const host = hostPeerConnections(port1)
  const answer = new Promise((resolve) => {
    port2.onmessage = ({ data }) => data.t === 'done' && resolve(data.packets)
  })
  port2.postMessage({ t: 'create', pc: 1, iceServers: [] })
  port2.postMessage({ t: 'heard', pc: 1, call: 1 })
  const packets = await answer
  host.close()
  for (const port of [port1, port2]) port.close()
  return packets
}

it.each([
  ['Chromium', { packetsReceived: 7, requestsReceived: 2, responsesReceived: 3 }, 12],
  // Checks of the connection alone come seconds apart: they say nothing of whether what was sent is acknowledged.
  ['Safari', { bytesReceived: 900, requestsReceived: 2, responsesReceived: 3 }, undefined],
  ['Firefox since 142', { bytesReceived: 900, responsesReceived: 3 }, undefined],
  ['Firefox before that', { bytesReceived: 900 }, undefined],
])('packets are counted, or nothing is: %s', async (_browser, counted, packets) => {
  row = counted
  expect(await heard()).toBe(packets)
})
