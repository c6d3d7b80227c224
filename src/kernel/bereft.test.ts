// A node whose storage was deleted under it.
import { beforeEach, expect, it } from 'vitest'
import { OsError } from '../base/errors.ts'
import type { SimNode } from '../sim/cluster.ts'
import { boot, eventsOf, newCluster, oneHome, type TestCluster } from './cluster.contract.ts'

let cluster: TestCluster
let nodes: [SimNode, SimNode, SimNode]
const deleted = () => new OsError('EIO', 'the storage was deleted; reload')

beforeEach(async () => {
  cluster = newCluster()
  nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
  await oneHome(cluster)
})

it('tells its user, and leaves', async () => {
  const [a, b] = nodes
  a.kernel?.bereft(deleted())
  await cluster.run(b.fs.writeFile('/f', 'x'))
  expect(await eventsOf(cluster, b)).toContainEqual({
    type: 'peer-left',
    peer: a.id,
    reason: 'its storage was deleted',
  })
  const told = await eventsOf(cluster, a)
  expect(told).toContainEqual({ type: 'notice', message: 'the storage was deleted; reload' })
  expect(told).toContainEqual({ type: 'relay', state: 'offline', detail: 'the storage was deleted; reload' })
})

it('does not stop others, also where it was most of those that keep the tree', async () => {
  const [a, b, c] = nodes
  await cluster.run(a.fs.writeFile('/before', 'one'))
  a.kernel?.bereft(deleted())
  b.kernel?.bereft(deleted())
  await cluster.run(c.fs.writeFile('/after', 'two'))
  expect(await cluster.run(c.fs.readdir('/'))).toEqual(expect.arrayContaining(['before', 'after']))
})
