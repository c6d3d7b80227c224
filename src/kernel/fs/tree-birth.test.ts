// The first change of all, while those who should keep the tree answer late, or not.
import { expect, it } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, newCluster } from '../cluster.contract.ts'

/** Three nodes, of which the first would lead the tree that nobody has written yet. */
async function start() {
  const cluster = newCluster({ seed: 3 })
  const nodes = await boot(cluster, 3)
  await cluster.advance(20_000)
  const { treeHome } = await cluster.run((nodes[0] as SimNode).os.info('node'))
  const home = nodes.find(({ id }) => id === treeHome) as SimNode
  const freeze = () => {
    const thaws = nodes.filter((node) => node !== home).map((node) => node.freeze())
    return () => {
      for (const thaw of thaws) thaw()
    }
  }
  return { cluster, nodes, home, freeze }
}

it('waits for tabs that are busy for seconds', async () => {
  const { cluster, home, freeze } = await start()
  const thaw = freeze()
  const written = codeOf(home.fs.writeFile('/x', 'x'))
  await cluster.advance(8_000)
  thaw()
  expect(await cluster.run(written, 60_000)).toBe('ok')
})

it('begins under another name when it could not: those who could not answer agree on the old one', async () => {
  const { cluster, nodes, home } = await start()
  const others = nodes.filter((node) => node !== home) as [SimNode, SimNode]
  const cut = (on: boolean) => {
    for (const { id } of others) cluster.hub.setPartition(id, home.id, on)
  }
  const keeps = ({ kernel }: SimNode) =>
    (kernel?.journals ?? []).some(({ name, config }) => name.startsWith('tree/') && config.voters.length > 0)
  const first = codeOf(home.fs.writeFile('/first', 'x'))
  while (!others.every(keeps)) await cluster.advance(0.25)
  cut(true)
  expect(await cluster.run(first, 60_000)).toBe('ETIMEDOUT')
  await cluster.run(others[0].fs.writeFile('/theirs', 'y'), 60_000)
  await cluster.run(home.fs.writeFile('/ours', 'z'), 60_000)
  cut(false)
  await cluster.advance(60_000)
  for (const node of nodes) {
    expect(fromUtf8(await cluster.run(node.fs.readFile('/theirs')))).toBe('y')
    expect(fromUtf8(await cluster.run(node.fs.readFile('/ours')))).toBe('z')
    expect((node.kernel?.journals ?? []).filter(({ name }) => name.startsWith('tree/'))).toHaveLength(1)
  }
})
