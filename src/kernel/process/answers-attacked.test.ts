// A peer that asks a home hundreds of times for what is large, and takes nothing of it.
import { afterEach, expect, it, vi } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { bootSleepers, endSleepers, type TestCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer, type RawStream } from '../harness.contract.ts'
import { MAX_PEER_CALLS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'
import { ProcessHome } from './home.ts'
import { ProcessOutput } from './output.ts'

/** Well below what was asked for, and enough for whoever takes what it asks for. */
const FEW = 8

let cluster: TestCluster
let nodes: SimNode[]
afterEach(() => {
  endSleepers()
  vi.restoreAllMocks()
})

/** A process at home at the first of two nodes, and a peer that is no kernel. */
async function start(source: string): Promise<{ kid: Kid; control: RawStream; bulk: RawStream }> {
  ;({ cluster, nodes } = await bootSleepers(2, 1))
  const [home] = nodes as [SimNode]
  await cluster.run(home.fs.writeFile('/p.js', source))
  const { kid } = await cluster.run(home.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
  const peer = new RawPeer(new MemoryNetwork(cluster.hub, nodeId('h')), home.id)
  await peer.network.start()
  await cluster.run(peer.network.connect(home.id))
  const lanes = await peer.greet({ cluster: 'sim' })
  await cluster.advance(2_000)
  return { kid, ...lanes }
}

const answers = ({ frames }: RawStream) => frames.filter(([kind]) => kind === FRAME.RESULT).length

it('inputs of events are in memory for a few of its questions at a time, until it takes them', async () => {
  const { kid, bulk } = await start(`
    export async function start(event, os) { await os.emit('big', 'x'.repeat(300_000)) }
    export const big = () => testSleep(1e9)`)
  const made = vi.spyOn(ProcessHome.prototype, 'input')
  for (let id = 0; id < MAX_PEER_CALLS; id++) {
    bulk.send([FRAME.CALL, id, 'process.input', 0, 0, { kid, event: '0.0' }])
  }
  await cluster.advance(1_000)
  expect(made.mock.calls.length).toBeGreaterThan(0)
  expect(made.mock.calls.length).toBeLessThan(FEW)
  // Who takes them gets all.
  for (let id = 0; id < MAX_PEER_CALLS; id++) bulk.send([FRAME.CREDIT, id, 1_000_000])
  await cluster.until(() => answers(bulk) === MAX_PEER_CALLS, 'all answered', 60_000)
})

it('pieces of output are read for a few of its questions at a time', async () => {
  const { kid, control } = await start(`
    export async function start(event, os) {
      await os.print('x'.repeat(50_000))
      await os.flush()
      await testSleep(1e9)
    }`)
  let reading = 0
  const gate = Promise.withResolvers<void>()
  const read = ProcessOutput.prototype.read
  vi.spyOn(ProcessOutput.prototype, 'read').mockImplementation(async function (this: ProcessOutput, ...args) {
    reading++
    await gate.promise
    return read.apply(this, args)
  })
  const ask = { kid, stream: 1, offset: 0, length: 100 }
  // Those who wait for output that is not there yet are in nobody's way.
  for (let id = 0; id < 100; id++) control.send([FRAME.CALL, id, 'process.read', 0, 0, { ...ask, offset: 1e6 }])
  for (let id = 100; id < 400; id++) control.send([FRAME.CALL, id, 'process.read', 0, 0, ask])
  await cluster.advance(1_000)
  expect(reading).toBeGreaterThan(0)
  expect(reading).toBeLessThan(FEW)
  gate.resolve()
  await cluster.until(() => answers(control) === 300, 'all answered', 60_000)
})
