import { expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import { boot, eventsOf, newCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { PROTOCOL_VERSION } from './frames.ts'

it('tabs of another version are told of once, with what to reload', async () => {
  const cluster = newCluster()
  const [node] = await boot(cluster, 1)
  if (!node) throw new Error('no node')
  const meet = async (name: string, v: number) => {
    const peer = new RawPeer(new MemoryNetwork(cluster.hub, nodeId(name)), node.id)
    await peer.network.start()
    await cluster.run(peer.network.connect(node.id))
    const lanes = await peer.greet({ cluster: 'sim', v })
    await cluster.advance(100)
    return lanes
  }
  const { control } = await meet('1', PROTOCOL_VERSION + 1)
  expect(control.closed).toBe(true)
  await meet('2', PROTOCOL_VERSION + 2)
  await meet('3', PROTOCOL_VERSION - 1)
  await meet('4', PROTOCOL_VERSION)
  const notices = (await eventsOf(cluster, node)).flatMap((event) => (event.type === 'notice' ? [event.message] : []))
  expect(notices).toEqual([
    expect.stringMatching(/newer version.*Reload this page/),
    expect.stringMatching(/older version.*Reload their pages/),
  ])
})
