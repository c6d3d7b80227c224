import { beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { mergeOps } from './merge.ts'
import { Tree } from './tree.ts'

let blocks: Blocks
let tree: Tree
beforeEach(async () => {
  const lab = new Lab()
  ;({ blocks } = blocksOf(lab, await lab.node('a')))
  tree = new Tree(blocks)
})

type Content = { [name: string]: string | Content }
async function build(content: Content): Promise<string> {
  const entries = await Promise.all(
    Object.entries(content).map(async ([name, value]) => {
      const file = typeof value === 'string'
      const cid = file ? await blocks.cidOf(RAW, utf8(value)) : await build(value)
      const kind = file ? ('file' as const) : ('directory' as const)
      return [name, { kind, cid, size: file ? value.length : 0, mode: 0o644, mtimeMs: 1 }] as const
    }),
  )
  return tree.store(new Map(entries))
}
async function merged(mine: Content, theirs: Content): Promise<{ root: string; ops: TreeOp[] }> {
  let root = await build(theirs)
  const ops: TreeOp[] = []
  for await (const op of mergeOps(tree, await build(mine), root, 'me')) ops.push(op)
  for (const op of ops) root = await tree.apply(root, op)
  return { root, ops }
}
const expectMerge = async (mine: Content, theirs: Content, result: Content) => {
  const { root } = await merged(mine, theirs)
  const names = async (cid: string): Promise<unknown> =>
    Object.fromEntries(
      await Promise.all(
        [...(await tree.directory(cid))].map(async ([name, { kind, cid }]) => [
          name,
          kind === 'file' ? cid : await names(cid),
        ]),
      ),
    )
  expect(await names(root)).toEqual(await names(await build(result)))
  // Once merged there is nothing left to merge.
  const again: TreeOp[] = []
  for await (const op of mergeOps(tree, await build(mine), root, 'me')) again.push(op)
  expect(again.filter(({ op }) => op !== 'mkdir')).toEqual([])
}

describe('merging two trees', () => {
  it('changes nothing when they are equal or mine has nothing of its own', async () => {
    expect((await merged({ a: '1' }, { a: '1' })).ops).toEqual([])
    expect((await merged({}, { a: '1', b: {} })).ops).toEqual([])
    expect((await merged({ a: '1' }, { a: '1', b: '2' })).ops).toEqual([])
  })

  it('adds files and directories, also empty and deep ones', () =>
    expectMerge({ a: '1', d: { e: {}, f: { g: '2' } } }, { z: '9', d: { x: '3' } }, { a: '1', z: '9', d: { e: {}, f: { g: '2' }, x: '3' } })) // biome-ignore format: one line

  it('keeps both of two different files of one name', () =>
    expectMerge({ a: 'mine' }, { a: 'theirs' }, { a: 'theirs', 'a.conflict-me': 'mine' }))

  it('keeps a file and a directory of one name', async () => {
    await expectMerge({ a: 'mine' }, { a: { b: 'x' } }, { a: { b: 'x' }, 'a.conflict-me': 'mine' })
    await expectMerge({ a: { b: 'x' } }, { a: 'theirs' }, { a: 'theirs', 'a.conflict-me': { b: 'x' } })
  })

  it('does not take a name that either side has for the second copy', async () => {
    const theirs = { a: 'theirs', 'a.conflict-me': 'from an earlier meeting' }
    await expectMerge({ a: 'mine' }, theirs, { ...theirs, 'a.conflict-me-2': 'mine' })
    await expectMerge({ a: 'mine', 'a.conflict-me': 'my own' }, { a: 'theirs' }, { a: 'theirs', 'a.conflict-me': 'my own', 'a.conflict-me-2': 'mine' }) // biome-ignore format: one line
  })

  it('adds no second copy of what was merged before', () =>
    expectMerge({ a: 'mine' }, { a: 'theirs', 'a.conflict-me': 'mine' }, { a: 'theirs', 'a.conflict-me': 'mine' }))

  it('shortens a name that would become too long, between characters', async () => {
    const name = `${'é'.repeat(127)}x`
    const { ops } = await merged({ [name]: 'mine' }, { [name]: 'theirs' })
    const [op] = ops as [Extract<TreeOp, { op: 'put' }>]
    expect(op.path).toMatch(/^\/é+\.conflict-me$/)
    expect(utf8(op.path.slice(1)).byteLength).toBeLessThanOrEqual(255)
  })

  it('makes new files only where none has come meanwhile', async () => {
    const { ops } = await merged({ a: '1', b: 'mine' }, { b: 'theirs' })
    expect(ops.every((op) => op.op === 'put' && op.exclusive)).toBe(true)
  })
})
