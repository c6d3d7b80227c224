import { afterEach, describe, expect, test, vi } from 'vitest'
import { hostPeerConnections, type PeerConnectionHost } from './page.ts'

interface Peer {
  host: PeerConnectionHost
  run(command: string, ...args: unknown[]): Promise<unknown>
  close(): void
}

const cleanups: (() => void)[] = []
const real = globalThis.RTCPeerConnection
/** The real connections that the page made, to see what becomes of them; weak, as the browser counts them. */
const made: WeakRef<RTCPeerConnection>[] = []

globalThis.RTCPeerConnection = class extends real {
  constructor(config?: RTCConfiguration) {
    super(config)
    made.push(new WeakRef(this))
  }
}

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
  made.length = 0
})

function startPeer(signals: MessagePort, forward: boolean): Peer {
  const worker = new Worker(new URL('./peer-worker.contract.ts', import.meta.url), { type: 'module' })
  const { port1, port2 } = new MessageChannel()
  const host = hostPeerConnections(port1, { forward })
  const calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let last = 0
  worker.onmessage = ({ data: { call, value, error } }) => {
    if (error) calls.get(call)?.reject(new Error(error))
    else calls.get(call)?.resolve(value)
  }
  const post = (command: string, args: unknown[], transfer: Transferable[] = []): Promise<unknown> =>
    new Promise((resolve, reject) => {
      calls.set(++last, { resolve, reject })
      worker.postMessage({ call: last, command, args }, transfer)
    })
  void post('init', [port2, signals], [port2, signals])
  const close = (): void => {
    host.close()
    worker.terminate()
  }
  return { host, run: (command, ...args) => post(command, args), close }
}

function startPair(forward: boolean): [Peer, Peer] {
  const { port1, port2 } = new MessageChannel()
  const pair: [Peer, Peer] = [startPeer(port1, forward), startPeer(port2, forward)]
  cleanups.push(
    () => pair[0].close(),
    () => pair[1].close(),
  )
  return pair
}

describe.each([
  { mode: 'transferred channels', forward: false },
  { mode: 'forwarded messages', forward: true },
])('the RTCPeerConnection of a worker, with $mode', ({ forward }) => {
  test('carries text and bytes both ways', async () => {
    const [a] = startPair(forward)
    expect(await a.run('echoText', 'hello')).toEqual(['hello', 1, 2, 3])
  })

  test('dispatches close for a channel that was closed before it was used', async () => {
    const [a] = startPair(forward)
    expect(await a.run('closeInitChannel')).toBe('closed')
  })

  test('dispatches close for the connection and its channels, which the platform does not', async () => {
    const [a] = startPair(forward)
    expect(await a.run('closeEvents')).toEqual(['closed', 'closed', 'closed', 'InvalidStateError'])
  })

  test('tells the other side at once that the connection was closed', async () => {
    const [a, b] = startPair(forward)
    await a.run('closeEvents')
    await vi.waitFor(async () => expect(await b.run('events')).toContain('answerer close event'), { timeout: 4000 })
    expect(await b.run('events')).toContain('answerer closed')
    await vi.waitFor(() => expect(b.host.openCount()).toBe(0))
  })

  test('counts what comes of the other side’s network stack', async () => {
    const [a] = startPair(forward)
    const [before, after, closed] = (await a.run('heard')) as [number, number, string]
    expect(before).toBeGreaterThan(0)
    expect(after).toBeGreaterThan(before)
    expect(closed).toBe('InvalidStateError')
  })

  test('keeps side channels from the code that listens to datachannel', async () => {
    const [a, b] = startPair(forward)
    expect(await a.run('sideChannel')).toBe('sideways')
    const events = (await b.run('events')) as string[]
    expect(events).toContain('sidechannel /brittlestar/bulk/1')
    expect(events.filter((event) => event.startsWith('datachannel'))).toHaveLength(1)
  })

  test('mirrors bufferedAmount, so that a sender can keep it bounded', async () => {
    const [a] = startPair(forward)
    const total = 8 * 1024 * 1024
    const result = (await a.run('streamBytes', total, 262_144)) as { highest: number }
    expect(result).toMatchObject({ received: total, inOrder: true })
    expect(result.highest).toBeGreaterThan(65_536)
    expect(result.highest).toBeLessThanOrEqual(262_144 + 65_536)
  })

  // Forwarded messages use the same connections: fewer cycles show it for them.
  const cycles = forward ? 200 : 1_000
  test(`leaves no RTCPeerConnection behind after ${cycles} cycles of connecting and closing`, async () => {
    const [a, b] = startPair(forward)
    await a.run('keepOpen')
    await vi.waitFor(() => expect([a.host.openCount(), b.host.openCount()]).toEqual([1, 1]))
    await a.run('cycle', cycles)
    await vi.waitFor(() => expect([a.host.openCount(), b.host.openCount()]).toEqual([1, 1]), { timeout: 10_000 })
    expect(made).toHaveLength(2 * cycles + 2)
    const alive = made.map((pc) => pc.deref()).filter((pc) => pc && pc.connectionState !== 'closed')
    expect(alive).toHaveLength(2)
  })
})
