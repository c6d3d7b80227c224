// Peers that name more changes than anybody makes.
import { expect, it } from 'vitest'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import { boot, codeOf, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer } from '../harness.contract.ts'
import { MAX_TREE_ONCE } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'

it('what a peer names does not make the changes of others too large for the journal', async () => {
  const cluster = newCluster({ seed: 3 })
  const nodes = await boot(cluster, 3)
  const [home] = await homeAndOthers(cluster, nodes)
  await cluster.run(home.fs.writeFile('/before', 'x'))
  const peer = new RawPeer(new MemoryNetwork(cluster.hub, nodeId('1')), home.id)
  await peer.network.start()
  await cluster.run(peer.network.connect(home.id))
  const { control } = await peer.greet({ cluster: 'sim' })
  control.send([FRAME.CALL, 1e6, 'tree.head', 500, 5_000, { tree: null }])
  await cluster.until(() => control.frames.some((frame) => frame[0] === FRAME.RESULT), 'it told its tree')
  const head = control.frames.find((frame) => frame[0] === FRAME.RESULT)?.[2] as { tree: string }
  const { tree } = head
  let name = 0
  const names = () => Array.from({ length: MAX_TREE_ONCE }, () => (name++).toString(16).padStart(16, '0'))
  const codes: Promise<string>[] = []
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 60; i++) {
      const ops = [{ op: 'mkdir', path: `/tmp/${round}-${i}`, recursive: false, mtimeMs: 1 }]
      control.send([FRAME.CALL, 100 * round + i, 'tree.apply', 500, 60_000, { tree, ops, names: names() }])
    }
    for (const node of nodes) codes.push(codeOf(node.fs.writeFile(`/${node.id}-${round}`, 'x')))
    await cluster.advance(1)
  }
  expect(await cluster.run(Promise.all(codes), 60_000)).toEqual(codes.map(() => 'ok'))
})
