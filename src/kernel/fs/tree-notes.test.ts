import { afterEach, expect, it, vi } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, meshed, newCluster, oneHome } from '../cluster.contract.ts'
import { RpcNode } from '../rpc/node.ts'

const NODES = 8

afterEach(() => {
  vi.restoreAllMocks()
})

it('of the tree, who leads it and how it is, everybody hears once, not from everybody', async () => {
  let notes = 0
  const [note, noteAll] = [RpcNode.prototype.note, RpcNode.prototype.noteAll]
  vi.spyOn(RpcNode.prototype, 'note').mockImplementation(function (this: RpcNode, peer, name, body) {
    if (name.startsWith('tree.')) notes++
    note.call(this, peer, name, body)
  })
  vi.spyOn(RpcNode.prototype, 'noteAll').mockImplementation(function (this: RpcNode, name, body) {
    if (name.startsWith('tree.')) notes += this.linkedPeers().length
    noteAll.call(this, name, body)
  })
  const cluster = newCluster({ seed: 5 })
  const nodes = await boot(cluster, NODES)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/a', 'a'))
  const homeId = await oneHome(cluster)
  await cluster.advance(20_000)
  const home = nodes.find(({ id }) => id === homeId) as SimNode
  const other = nodes.find(({ id }) => id !== homeId) as SimNode
  const cost = async (work: () => Promise<unknown>) => {
    notes = 0
    await work()
    await cluster.advance(15_000)
    return notes
  }
  expect(await cost(() => cluster.run(home.fs.writeFile('/b', 'b')))).toBe(NODES - 1)
  expect(await cost(() => cluster.run(other.fs.writeFile('/c', 'c')))).toBe(NODES - 1)
  const joined = await cost(async () => {
    await cluster.run(cluster.addNode().boot())
    await meshed(cluster)
  })
  expect(joined).toBeLessThanOrEqual(2 * NODES)
  const moved = await cost(async () => {
    await cluster.run(home.close())
    await oneHome(cluster)
  })
  expect(moved).toBeLessThanOrEqual(2 * NODES)
})
