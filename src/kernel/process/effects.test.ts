// File changes of an event after a restart of its home: whether they were made or not, they are made once.
import { beforeEach, describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { RAW } from '../blocks/cid.ts'
import { Tree } from '../fs/tree.ts'
import { TreeEdit } from '../fs/tree-edit.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { makeChanges } from './effects.ts'

let tree: Tree
let root: string
let cids: string[]
const { signal } = new AbortController()

async function apply(ops: readonly TreeOp[]): Promise<void> {
  const edit = new TreeEdit(tree)
  let next = root
  for (const op of ops) next = await edit.apply(next, op)
  root = await edit.save(next)
}
/** As far as it is asked here. */
const shared = {
  lookup: (path: string) => tree.lookup(root, path),
  apply: ({ ops }: { ops: readonly TreeOp[] }) => apply(ops),
}
const namespace = {
  root: shared,
  parts: async function* (ops: readonly TreeOp[]) {
    yield { tree: shared, ops }
  },
} as never

beforeEach(async () => {
  const lab = new Lab()
  const { blocks } = blocksOf(lab, await lab.node('a'))
  tree = new Tree(blocks)
  root = await tree.create()
  cids = await Promise.all([1, 2, 3].map((n) => blocks.cidOf(RAW, new Uint8Array([n]))))
  await apply([put('/cfg', 0), mkdir('/d'), put('/d/x', 0)])
})

const put = (path: string, n: number, exclusive = false): TreeOp => {
  const file = { op: 'put' as const, path, cid: cids[n] as string, size: 1, mode: 0o644, mtimeMs: 5 }
  return exclusive ? { ...file, exclusive } : file
}
const mkdir = (path: string): TreeOp => ({ op: 'mkdir', path, recursive: false, mtimeMs: 5 })
const move = (from: string, to: string): TreeOp => ({ op: 'move', from, to, mtimeMs: 5 })
const remove = (path: string): TreeOp => ({ op: 'remove', path, recursive: true })
const link = (path: string, target: string): TreeOp => ({ op: 'symlink', path, target, mtimeMs: 5 })
const copy = (from: string, to: string): TreeOp => ({ op: 'copy', from, to, mtimeMs: 5 })
const set = (path: string): TreeOp => ({ op: 'set', path, mode: 0o600 })

describe('changes that were perhaps made', () => {
  const cases: [string, () => TreeOp[]][] = [
    ['a file that is written and renamed over another', () => [put('/t', 1), move('/t', '/cfg')]],
    ['a link that is renamed over another', () => [link('/t', 'd'), move('/t', '/l')]],
    ['a new file', () => [put('/new', 1, true)]],
    ['a rename', () => [move('/cfg', '/other')]],
    ['a rename of a directory', () => [move('/d', '/e'), put('/e/y', 1)]],
    ['a link and what is written through it', () => [link('/l', 'd'), put('/l/z', 1)]],
    ['a copy of a directory, of which the original is removed', () => [copy('/d', '/e'), remove('/d')]],
    ['a copy of a directory, to which something is added', () => [copy('/d', '/e'), put('/e/y', 1)]],
    ['a mode of a file that is removed', () => [set('/cfg'), remove('/cfg')]],
    ['a directory and a file in it', () => [mkdir('/new'), put('/new/f', 2)]],
  ]
  it.each(cases)('%s', async (_what, changes) => {
    const start = root
    await apply(changes())
    const once = root
    await makeChanges(namespace, changes(), { perhapsMade: true, signal })
    expect(root).toBe(once) // they were
    root = start
    await makeChanges(namespace, changes(), { perhapsMade: true, signal })
    expect(root).toBe(once) // they were not
  })

  it('a lock that another event has taken is not taken for one’s own', async () => {
    await apply([link('/lock', 'winner')])
    const made = makeChanges(namespace, [link('/lock', 'loser'), put('/cfg', 1)], { perhapsMade: true, signal })
    await expect(made).rejects.toBeInstanceOf(OsError)
    expect((await tree.lookup(root, '/cfg')).cid).toBe(cids[0])
  })
})
