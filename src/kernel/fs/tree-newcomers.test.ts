// Nodes that come to a cluster whose tree was written long ago: they must not take it for empty.
import { describe, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, homeAndOthers, newCluster, oneHome } from '../cluster.contract.ts'

async function written(count: number) {
  const cluster = newCluster()
  const nodes = await boot(cluster, count)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/x', 'long there', { ack: 'all' }))
  return { cluster, nodes }
}

/** A newcomer that reaches everybody but who leads the tree, until `heal`. */
async function cutOff() {
  const { cluster, nodes } = await written(5)
  const [home] = await homeAndOthers(cluster, nodes)
  const newcomer = cluster.addNode()
  cluster.hub.setPartition(newcomer.id, home.id, true)
  await cluster.run(newcomer.boot())
  return { cluster, home, newcomer, heal: () => cluster.hub.setPartition(newcomer.id, home.id, false) }
}

describe('the shared tree', () => {
  it('does not look empty to a newcomer that does not reach its leader yet', async () => {
    const { cluster, home, newcomer, heal } = await cutOff()
    const read = newcomer.fs.readFile('/x', 'utf8')
    const written = newcomer.fs.writeFile('/y', 'y')
    await cluster.advance(9_000)
    heal()
    expect(await cluster.run(read)).toBe('long there')
    await cluster.run(written)
    expect(await cluster.run(home.fs.readFile('/y', 'utf8'))).toBe('y')
  })

  it('does not look empty to a newcomer that has met nobody but another one', async () => {
    const { cluster, nodes } = await written(3)
    const [one, other] = [cluster.addNode(), cluster.addNode()]
    const cut = (yes: boolean) => {
      for (const { id } of nodes) cluster.hub.setPartition(other.id, id, yes)
    }
    cut(true)
    for (const node of [one, other]) await cluster.run(node.boot())
    const read = other.fs.readFile('/x', 'utf8')
    await cluster.advance(9_000)
    cut(false)
    expect(await cluster.run(read)).toBe('long there')
  })

  it('does not look empty to newcomers that have met nobody but each other', async () => {
    const { cluster, nodes } = await written(3)
    const both = [cluster.addNode(), cluster.addNode()]
    const cut = (yes: boolean) => {
      for (const { id } of both) for (const node of nodes) cluster.hub.setPartition(id, node.id, yes)
    }
    cut(true)
    for (const node of both) await cluster.run(node.boot())
    const reads = both.map((node) => node.fs.readFile('/x', 'utf8'))
    await cluster.advance(15_000)
    cut(false)
    expect(await cluster.run(Promise.all(reads))).toEqual(['long there', 'long there'])
  })

  it('does not look empty to a newcomer when whoever told it of the tree is killed', async () => {
    const { cluster, nodes } = await written(4)
    const [, others] = await homeAndOthers(cluster, nodes)
    const teller = others.pop() as SimNode
    const both = [cluster.addNode(), cluster.addNode()]
    const cut = (yes: boolean) => {
      for (const { id } of both) {
        for (const node of nodes) if (node !== teller) cluster.hub.setPartition(id, node.id, yes)
      }
    }
    cut(true)
    for (const node of both) await cluster.run(node.boot())
    await cluster.advance(1_000)
    teller.crash()
    await cluster.advance(25_000)
    const reads = both.map((node) => node.fs.readFile('/x', 'utf8'))
    await cluster.advance(5_000)
    cut(false)
    expect(await cluster.run(Promise.all(reads))).toEqual(['long there', 'long there'])
  })

  it('does not look empty to a newcomer that the relay keeps waiting', async () => {
    const { cluster } = await written(3)
    const newcomer = cluster.addNode()
    cluster.hub.delayRelayFor(newcomer.id)
    await cluster.run(newcomer.boot())
    const read = newcomer.fs.readFile('/x', 'utf8')
    await cluster.advance(12_000)
    cluster.hub.setRelayFor(newcomer.id, true)
    expect(await cluster.run(read)).toBe('long there')
  })

  it('does not look empty to a newcomer that loses the relay before it has met anybody', async () => {
    const { cluster, nodes } = await written(3)
    const newcomer = cluster.addNode()
    for (const { id } of nodes) cluster.hub.setPartition(newcomer.id, id, true)
    await cluster.run(newcomer.boot())
    const read = newcomer.fs.readFile('/x', 'utf8')
    await cluster.advance(200)
    cluster.hub.setRelayFor(newcomer.id, false)
    await cluster.advance(9_000)
    for (const { id } of nodes) cluster.hub.setPartition(newcomer.id, id, false)
    cluster.hub.setRelayFor(newcomer.id, true)
    expect(await cluster.run(read)).toBe('long there')
  })

  it('is not given up for a younger one while another leader is elected', async () => {
    const { cluster, nodes } = await written(4)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const lone = cluster.addNode()
    cluster.hub.setRelayFor(lone.id, false)
    await cluster.run(lone.boot())
    await cluster.run(lone.fs.writeFile('/y', 'written alone'))
    // Those two never meet, so the younger tree cannot be merged before the older one has another leader.
    cluster.hub.setPartition(lone.id, home.id, true)
    cluster.hub.setRelayFor(lone.id, true)
    await cluster.until(async () => (await lone.os.info('peers')).length === others.length, 'all but two met')
    home.crash()
    const read = async (node: SimNode) => {
      for (let i = 0; i < 40; i++) {
        expect(await node.fs.readFile('/x', 'utf8')).toBe('long there')
        await new Promise<void>((resolve) => cluster.clock.setTimer(resolve, 100, 'look again'))
      }
    }
    await cluster.run(Promise.all(others.map(read)))
    const last = others[0] as SimNode
    await cluster.until(async () => (await codeOf(last.fs.readFile('/y'))) === 'ok', 'merged')
  })

  it('says to a newcomer that never reaches its leader that it cannot be reached', async () => {
    const { cluster, newcomer, heal } = await cutOff()
    const asked = [newcomer.fs.readFile('/x'), newcomer.fs.writeFile('/y', 'y')].map(codeOf)
    expect(await cluster.run(Promise.all(asked), 30_000)).toEqual(['EHOSTUNREACH', 'EHOSTUNREACH'])
    heal()
    await oneHome(cluster)
    expect(await cluster.run(newcomer.fs.readFile('/x', 'utf8'))).toBe('long there')
  })

  it('does not look empty to a newcomer while it has no leader', async () => {
    const { cluster, nodes } = await written(3)
    const [home, [, last]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode, SimNode]]
    last.freeze()
    home.crash()
    await cluster.advance(500)
    const newcomer = cluster.addNode()
    await cluster.run(newcomer.boot())
    expect(await cluster.run(newcomer.fs.readFile('/x', 'utf8'), 30_000)).toBe('long there')
  })
})
