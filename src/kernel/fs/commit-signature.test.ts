import { afterEach, describe, expect, it, vi } from 'vitest'
import { MemorySigner } from '../../adapters/memory/crypto.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { VersionRow } from '../../syscalls/types.ts'
import { boot, codeOf, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { signCommit } from './commit-signature.ts'
import { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'
import { TreeHolding } from './tree-holding.ts'
import { commitOf, encodeTreeEntry, type TreeChange } from './tree-journal.ts'
import { TreeKeeper } from './tree-keeper.ts'
import type { Versions } from './versions.ts'

const KEG = `K-${'ab'.repeat(32)}` as Kid

afterEach(() => {
  vi.restoreAllMocks()
})

describe('commits', () => {
  it('are signed by who leads the keg, each with what it was made of', async () => {
    const cluster = newCluster({ seed: 5 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await cluster.run(nodes[1].fs.writeFile('/a', 'a'))
    const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
    await cluster.run(other.fs.writeFile('/b', 'b'))
    const rows = (await cluster.run(new Keg(other.os).log())) as VersionRow[]
    expect(rows.map(({ proof }) => proof)).toEqual(['signed', 'signed', 'none']) // nobody made the beginning
    expect(rows[0]).toMatchObject({ committer: home.id, by: other.id, parent: rows[1]?.cid })
    // Another leads, and tells of what its predecessor signed.
    home.crash()
    await cluster.run(other.fs.writeFile('/c', 'c'))
    const after = (await cluster.run(new Keg(other.os).log())) as VersionRow[]
    expect(after.map(({ proof }) => proof)).toEqual(['signed', 'signed', 'signed', 'none'])
    expect(after[0]?.committer).not.toBe(home.id)
    expect(after[1]).toEqual(rows[0])
  })

  it('that a leader made up are told from others, and not used', async () => {
    const cluster = newCluster({ seed: 6 })
    const nodes = await boot<[SimNode, SimNode, SimNode]>(cluster, 3)
    await cluster.run(nodes[0].fs.writeFile('/a', 'mine'))
    await cluster.run(nodes[0].fs.rm('/a'))
    const [home, [other]] = (await homeAndOthers(cluster, nodes)) as [SimNode, [SimNode]]
    const honest = await cluster.run(new Keg(other.os).log())
    // It tells of a version that says something else than was signed.
    const { versions } = TreeKeeper.prototype
    vi.spyOn(TreeKeeper.prototype, 'versions').mockImplementation(function (this: TreeKeeper, kid) {
      const real = versions.call(this, kid) as Versions
      const lies = real.rows().map((row) => (row.version === 2 ? { ...row, what: 'write /forged' } : row))
      return this.self === home.id
        ? (Object.assign(Object.create(real), { rows: () => lies, names: () => real.names() }) as Versions)
        : real
    })
    await cluster.advance(1_000) // an answer serves for a moment
    const told = await cluster.run(new Keg(other.os).log())
    expect(told.map(({ proof }) => proof)).toEqual(['signed', 'wrong', 'none'])
    expect(honest[1]?.proof).toBe('signed')
    expect(await codeOf(cluster.run(new Keg(other.os).checkout('2', '/a')))).toBe('EPROTO')
    expect(await codeOf(cluster.run(other.fs.readFile('/keg/2/a')))).toBe('EPROTO')
  })
})

describe('a member of a journal', () => {
  it('takes no commit with a forged signature, or of a parent that nobody has', async () => {
    const lab = new Lab()
    const node = await lab.node('a')
    const { blocks } = blocksOf(lab, node)
    const tree = new Tree(blocks)
    const signer = new MemorySigner(node.id)
    const holding = new TreeHolding({
      elsewhere: () => async (leaves) => leaves.map(() => false),
      tree,
      blocks,
      signer,
      log: { log: () => undefined },
    })
    const parent = await tree.create()
    const edit = new TreeEdit(tree)
    const op = { op: 'mkdir' as const, path: '/d', recursive: false, mtimeMs: 5 }
    const root = await edit.save(await edit.apply(parent, op))
    const said: TreeChange['said'] = [7, signer.nodeId, 'make /d']
    const change = async (from: string, by: NodeId, what = 'make /d'): Promise<TreeChange> => {
      const entry: TreeChange = {
        t: 'changed',
        from,
        root,
        ops: [op],
        absorbs: null,
        said,
        signed: [2, by, new Uint8Array(64)],
      }
      const commit = commitOf(KEG, { ...entry, said: [7, signer.nodeId, what] })
      const { signature } = await signCommit(signer, commit as NonNullable<typeof commit>)
      return { ...entry, signed: [2, by, signature] }
    }
    const held = async (entry: TreeChange) => {
      return codeOf(
        holding.hold(KEG, { kind: 'entry', bytes: encodeTreeEntry(entry), from: signer.nodeId }) ?? Promise.resolve(),
      )
    }
    expect(await held(await change(parent, signer.nodeId))).toBe('ok')
    expect(await held(await change(parent, signer.nodeId, 'make /e'))).toBe('EPROTO')
    expect(await held(await change(parent, 'somebody' as NodeId))).toBe('EPROTO')
    const nowhere = await blocks.cidOf(0x70, new Uint8Array([1, 2, 3]))
    expect(await held(await change(nowhere, signer.nodeId))).toBe('ok') // what it leads to is here, and that counts
    const lost = { ...(await change(nowhere, signer.nodeId)), root: nowhere }
    const signed = await signCommit(signer, commitOf(KEG, lost) as never)
    expect(await held({ ...lost, signed: [2, signed.by, signed.signature] })).toBe('EIO')
  })
})
