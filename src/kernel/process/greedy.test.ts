// A node that says it has room for everything, takes whatever it is given and answers for none of it. Whole kernels over
// virtual time.
import { afterEach, expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { DeviceId, Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { bootSleepers, endSleepers, type TestCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { FRAME } from '../rpc/frames.ts'

afterEach(endSleepers)

/** It is alive as others are. @returns how many events it has been given. */
async function greedy(cluster: TestCluster, victim: SimNode): Promise<() => number> {
  const network = new MemoryNetwork(cluster.hub, nodeId('1'))
  const peer = new RawPeer(network, victim.id)
  await network.start()
  await cluster.run(network.connect(victim.id))
  const { control } = await peer.greet({ cluster: 'sim', slots: 1024, device: 'e'.repeat(32) as DeviceId })
  let given = 0
  let heard = 0
  const beat = () => {
    control.send([FRAME.PING, 0, { storage: 2, state: 'alive', running: 0, watch: true }])
    for (const frame of control.frames.slice(heard)) {
      if (frame[0] === FRAME.PING && frame[1] !== 0) control.send([FRAME.PONG, frame[1]])
      if (frame[0] === FRAME.CALL && frame[2] === 'process.execute') given += (frame[5] as { events: [] }).events.length
    }
    heard = control.frames.length
    if (!control.closed) cluster.clock.setTimer(beat, 100, 'it is alive')
  }
  beat()
  await cluster.advance(5_000)
  return () => given
}

async function run(cluster: TestCluster, node: SimNode, source: string): Promise<Kid> {
  await cluster.run(node.fs.writeFile('/p.js', source))
  return (await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))).kid
}

const exitOf = (cluster: TestCluster, node: SimNode, kid: Kid) =>
  cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 300_000)

it('is given no more than a few events, which others run as well', async () => {
  const { cluster, nodes } = await bootSleepers(2, 1)
  const [node] = nodes as [SimNode]
  const given = await greedy(cluster, node)
  const kid = await run(
    cluster,
    node,
    `export async function start(event, os) {
      const ids = []
      for (let i = 0; i < 60; i++) ids.push(await os.emit('work', i))
      await os.gather(ids, 'sum')
    }
    export const work = () => testSleep(200)
    export const sum = (event, os) => os.print('sum')`,
  )
  const beganMs = cluster.clock.nowMs()
  expect((await exitOf(cluster, node, kid)).exits).toMatchObject([{ state: 'exited', code: 0 }])
  expect(cluster.clock.nowMs() - beganMs).toBeLessThan(10_000)
  expect(given()).toBeGreaterThan(0)
  expect(given()).toBeLessThan(30)
})

it('does not keep the one event of which nobody knows how long it takes', async () => {
  const { cluster, nodes } = await bootSleepers(2, 2)
  const [node] = nodes as [SimNode]
  const given = await greedy(cluster, node)
  // The slots of the others are taken, for a while.
  const busy = await run(
    cluster,
    node,
    `export async function start(event, os) { for (let i = 0; i < 11; i++) await os.emit('work', i) }
     export const work = () => testSleep(5_000)`,
  )
  await cluster.advance(1_000)
  const before = given()
  const kid = await run(cluster, node, `export const start = (event, os) => os.print('done')`)
  await cluster.advance(1_000)
  expect(given()).toBe(before + 1)
  expect((await exitOf(cluster, node, kid)).exits).toMatchObject([{ state: 'exited', code: 0 }])
  expect((await exitOf(cluster, node, busy)).exits).toMatchObject([{ state: 'exited', code: 0 }])
})
