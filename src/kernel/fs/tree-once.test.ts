// Changes whose leader dies in the middle: asked for again, each is made once, and nobody is told that it failed.
import { describe, expect, it } from 'vitest'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, codeOf, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { TreeState } from './tree-journal.ts'

/** The home of `/` dies so many quarters of a ms after another has asked for a change of each kind. */
async function homeDies(steps: number, seed = 7) {
  const cluster = newCluster({ seed })
  const nodes = await boot(cluster, 4)
  const [home, others] = await homeAndOthers(cluster, nodes)
  const [asking] = others as [SimNode]
  for (const path of ['/moved', '/removed']) await cluster.run(asking.fs.writeFile(path, 'x'))
  await cluster.run(asking.fs.writeFile('/log', 'first\n'))
  await cluster.advance(5_000)
  const codes = [
    codeOf(asking.fs.appendFile('/log', 'once\n')),
    codeOf(asking.fs.mkdir('/made')),
    codeOf(asking.fs.rename('/moved', '/there')),
    codeOf(asking.fs.rm('/removed')),
    codeOf(asking.fs.writeFile('/exclusive', 'x', { flag: 'wx' })),
  ]
  for (let i = 0; i < steps; i++) await cluster.advance(0.25)
  home.crash()
  const told = await cluster.run(Promise.all(codes), 60_000)
  return { cluster, asking, told }
}

describe('a change whose leader dies in the middle', () => {
  it.each(Array.from({ length: 24 }, (_, i) => i * 2))(
    'is made once, and succeeds (killed at step %i)',
    async (steps) => {
      const { cluster, asking, told } = await homeDies(steps)
      expect(told).toEqual(['ok', 'ok', 'ok', 'ok', 'ok'])
      const names = (await cluster.run(asking.fs.readdir('/'))).filter((name) =>
        /^(ex|log|made|moved|removed|there)/.test(name),
      )
      expect(names).toEqual(['exclusive', 'log', 'made', 'there'])
      expect(await cluster.run(asking.fs.readFile('/log', 'utf8'))).toBe('first\nonce\n')
    },
  )

  it('succeeds too where the leader is only cut off, and goes on as a branch', async () => {
    const cluster = newCluster({ seed: 5 })
    const nodes = await boot(cluster, 3)
    const [home, others] = await homeAndOthers(cluster, nodes)
    await cluster.run(home.fs.writeFile('/log', 'first\n'))
    await cluster.advance(5_000)
    const written = codeOf(home.fs.appendFile('/log', 'once\n'))
    for (const other of others) cluster.hub.setPartition(home.id, other.id, true)
    expect(await cluster.run(written, 60_000)).toBe('ok')
    for (const other of others) cluster.hub.setPartition(home.id, other.id, false)
    const text = async () =>
      (await home.fs.readFile('/log', 'utf8')) === 'first\nonce\n' &&
      (await others[0]?.fs.readFile('/log', 'utf8')) === 'first\nonce\n'
    await cluster.until(text, 'it is there once, for all')
  })
})

describe('a change of a branch, whose maker does not hear of it before the branch is merged', () => {
  it.each([10, 16, 20, 26, 40].flatMap((cut) => [1, 2, 4].map((seed) => [cut, seed] as const)))(
    'is made once, and succeeds (cut off at step %i, seed %i)',
    async (cut, seed) => {
      const cluster = newCluster({ seed })
      const nodes = await boot(cluster, 5)
      const [home, others] = await homeAndOthers(cluster, nodes)
      const [a, b, c, d] = others as [SimNode, SimNode, SimNode, SimNode]
      for (const path of ['/log', '/gone', '/from']) await cluster.run(home.fs.writeFile(path, 'first\n'))
      await cluster.advance(8_000)
      const part = (on: boolean) => {
        for (const { id } of [home, a, b]) for (const other of [c, d]) cluster.hub.setPartition(id, other.id, on)
      }
      part(true)
      await cluster.run(c.fs.writeFile('/right', ''), 60_000)
      await cluster.run(home.fs.writeFile('/left', ''), 60_000)
      await cluster.advance(10_000)
      const leading = (await cluster.run(c.os.info('node'))).treeHome === c.id ? c : d
      const asking = leading === c ? d : c
      const codes = [
        codeOf(asking.fs.mkdir('/made')),
        codeOf(asking.fs.rm('/gone')),
        codeOf(asking.fs.rename('/from', '/to')),
        codeOf(asking.fs.writeFile('/exclusive', 'x', { flag: 'wx' })),
      ]
      for (let i = 0; i < cut; i++) await cluster.advance(0.5)
      cluster.hub.setPartition(leading.id, asking.id, true) // the answers are lost
      part(false)
      expect(await cluster.run(Promise.all(codes), 90_000)).toEqual(['ok', 'ok', 'ok', 'ok'])
    },
  )
})

describe('what a tree remembers of changes that were made', () => {
  const birth = {
    t: 'tree' as const,
    kid: `K-${'ab'.repeat(32)}` as Kid,
    bornMs: 1,
    root: 'r',
    version: 1,
    absorbed: [],
    base: null,
  }
  const changed = (i: number) => ({
    t: 'changed' as const,
    from: 'r',
    root: `r${i}`,
    ops: [],
    absorbs: null,
    once: [i.toString(16).padStart(16, '0')],
  })

  it('is bounded, and survives compaction', () => {
    const state = new TreeState(birth)
    for (let i = 0; i < 3_000; i++) state.apply(changed(i))
    const again = new TreeState(state.birth())
    expect(again.once).toEqual(state.once)
    expect(again.once).toHaveLength(1024)
    expect(again.has((2_999).toString(16).padStart(16, '0'))).toBe(true)
    expect(again.has((0).toString(16).padStart(16, '0'))).toBe(false)
  })
})
