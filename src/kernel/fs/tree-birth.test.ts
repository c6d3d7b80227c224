// The first change of all, while those who should keep the tree answer late, or not.
import { expect, it } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, newCluster } from '../cluster.contract.ts'

/** Three nodes, of which the first would lead the tree that nobody has written yet. */
async function start(seed = 3) {
  const cluster = newCluster({ seed })
  const nodes = await boot(cluster, 3)
  await cluster.advance(20_000)
  const { treeHome } = await cluster.run((nodes[0] as SimNode).os.info('node'))
  const home = nodes.find(({ id }) => id === treeHome) as SimNode
  const others = nodes.filter((node) => node !== home) as [SimNode, SimNode]
  const cut = (on: boolean) => {
    for (const { id } of others) cluster.hub.setPartition(id, home.id, on)
  }
  /** One tree is left, with these files. */
  const expectAll = async (files: Record<string, string>) => {
    for (const node of nodes) {
      for (const [path, text] of Object.entries(files))
        expect(fromUtf8(await cluster.run(node.fs.readFile(path)))).toBe(text)
      expect((node.kernel?.journals ?? []).filter(({ name }) => name.startsWith('tree/'))).toHaveLength(1)
      expect((await cluster.run(node.os.info('node'))).waiting).toBe(0)
    }
  }
  return { cluster, nodes, home, others, cut, expectAll }
}
const hasBegun = ({ kernel }: SimNode) =>
  (kernel?.journals ?? []).some(({ name, config }) => name.startsWith('tree/') && config.voters.length > 0)

it('waits for tabs that are busy for seconds', async () => {
  const { cluster, home, others } = await start()
  const thaws = others.map((node) => node.freeze())
  const written = codeOf(home.fs.writeFile('/x', 'x'))
  await cluster.advance(8_000)
  for (const thaw of thaws) thaw()
  expect(await cluster.run(written, 60_000)).toBe('ok')
})

it('begins under another name when it could not: those who could not answer agree on the old one', async () => {
  const { cluster, home, others, cut, expectAll } = await start()
  // They begin it, and it hears nothing of that.
  for (const { id } of others) cluster.hub.setSilent(id, home.id, true)
  const first = codeOf(home.fs.writeFile('/first', 'x'))
  while (!others.every(hasBegun)) await cluster.advance(0.25)
  cut(true)
  for (const { id } of others) cluster.hub.setSilent(id, home.id, false)
  expect(await cluster.run(first, 60_000)).toBe('ETIMEDOUT')
  await cluster.run(others[0].fs.writeFile('/theirs', 'y'), 60_000)
  await cluster.run(home.fs.writeFile('/ours', 'z'), 60_000)
  cut(false)
  await cluster.advance(60_000)
  await expectAll({ '/theirs': 'y', '/ours': 'z' })
})

it.each([1, 2, 3, 5, 8])('the same where whoever made the first change has given up (seed %i)', async (seed) => {
  const { cluster, home, others, cut, expectAll } = await start(seed)
  const cancel = new AbortController()
  const first = codeOf(home.fs.writeFile('/first', 'x', { signal: cancel.signal }))
  while (!others.every(hasBegun)) await cluster.advance(0.1)
  cut(true)
  await cluster.advance(2_000)
  cancel.abort()
  expect(await cluster.run(first, 60_000)).toBe('ECANCELED')
  await cluster.run(others[0].fs.writeFile('/theirs', 'y'), 60_000)
  await cluster.advance(30_000)
  await cluster.run(home.fs.writeFile('/ours', 'z'), 60_000)
  cut(false)
  await cluster.advance(60_000)
  await expectAll({ '/theirs': 'y', '/ours': 'z' })
})

it.each([8, 12, 16, 20, 28, 40, 64, 128])(
  'is one where its first home is killed at step %i and comes back',
  async (step) => {
    const { cluster, home, others, expectAll } = await start()
    codeOf(home.fs.writeFile('/first', 'x')).catch(() => undefined)
    for (let i = 0; i < step; i++) await cluster.advance(0.25)
    home.crash()
    await cluster.advance(20_000)
    await cluster.run(others[0].fs.writeFile('/theirs', 'y'), 60_000)
    await cluster.run(home.boot())
    await cluster.advance(20_000)
    await cluster.run(home.fs.writeFile('/ours', 'z'), 100_000)
    await cluster.advance(180_000)
    await expectAll({ '/theirs': 'y', '/ours': 'z' })
  },
)
