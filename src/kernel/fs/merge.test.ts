import { beforeEach, describe, expect, it } from 'vitest'
import type { Disk } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { lacking, mergeOps } from './merge.ts'
import { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'

let blocks: Blocks
let tree: Tree
let disk: Disk
let lab: Lab
beforeEach(async () => {
  lab = new Lab()
  ;({ blocks, disk } = blocksOf(lab, await lab.node('a')))
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
async function merged(mine: Content, theirs: Content, base?: Content): Promise<{ root: string; ops: TreeOp[] }> {
  let root = await build(theirs)
  const ops: TreeOp[] = []
  const place = { mine: await build(mine), theirs: root, base: base && (await build(base)) }
  for await (const op of mergeOps({ tree, label: 'me' }, place)) ops.push(op)
  const edit = new TreeEdit(tree)
  for (const op of ops) root = await edit.apply(root, op)
  root = await edit.save(root)
  return { root, ops }
}
const expectMerge = async (mine: Content, theirs: Content, result: Content, base?: Content) => {
  const { root } = await merged(mine, theirs, base)
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
  const place = { mine: await build(mine), theirs: root }
  if (!base) for await (const op of mergeOps({ tree, label: 'me' }, place)) again.push(op)
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

describe('merging a branch into the tree that it left', () => {
  const base = { same: '0', edited: '1', gone: '2', d: { x: '3', y: '4' }, both: '5' }

  it('takes over what only the branch changed: edits, removals and new files', () =>
    expectMerge({ same: '0', edited: 'new', d: { x: '3' }, both: '5', more: '6' }, base, { same: '0', edited: 'new', d: { x: '3' }, both: '5', more: '6' }, base)) // biome-ignore format: one line

  it('leaves alone what only the tree changed', () =>
    expectMerge(base, { same: '0', edited: 'theirs', d: {} }, { same: '0', edited: 'theirs', d: {} }, base))

  it('keeps both of what both changed, and what one removed and the other changed', async () => {
    await expectMerge({ ...base, both: 'mine' }, { ...base, both: 'theirs' }, { ...base, both: 'theirs', 'both.conflict-me': 'mine' }, base) // biome-ignore format: one line
    const { gone, ...without } = base
    await expectMerge({ ...base, gone: 'mine' }, without, { ...base, gone: 'mine' }, base)
    await expectMerge(without, { ...base, gone: 'theirs' }, { ...base, gone: 'theirs' }, base)
    expect(gone).toBe('2')
  })

  it('removes a directory that one side removed and the other emptied in part', async () => {
    const base = { z: '0', d: { a: '1', b: '2', e: { f: '3', g: '4' } } }
    const parts: Content[] = [{}, { a: '1' }, { e: { g: '4' } }, { a: '1', e: {} }]
    for (const d of parts) {
      await expectMerge({ z: '0' }, { z: '0', d }, { z: '0' }, base)
      await expectMerge({ z: '0', d }, { z: '0' }, { z: '0' }, base)
    }
    const changed: Content[] = [{ a: 'new' }, { a: '1', x: '9' }, { e: { f: '3', x: {} } }, { e: 'file' }, { b: '1' }]
    for (const d of changed) {
      await expectMerge({ z: '0' }, { z: '0', d }, { z: '0', d }, base)
      await expectMerge({ z: '0', d }, { z: '0' }, { z: '0', d }, base)
    }
  })

  it('removes of a directory nothing that was not there when the branch began', async () => {
    const [base, theirs] = [{ d: { a: '1', b: '2' } }, { d: { b: '2' } }]
    const [mine, began] = [{}, { d: { a: '1' } }]
    const place = { mine: await build(mine), theirs: await build(theirs), base: await build(base), began: await build(began) } // biome-ignore format: one line
    const ops: TreeOp[] = []
    for await (const op of mergeOps({ tree, label: 'me' }, place)) ops.push(op)
    expect(ops).toEqual([])
  })

  it('replaces a file by a directory, and a directory by a file, where only the branch did', async () => {
    await expectMerge({ ...base, edited: { z: '7' }, d: 'file' }, base, { ...base, edited: { z: '7' }, d: 'file' }, base) // biome-ignore format: one line
  })

  it('goes on where a directory is lost: of the branch, of the tree, or of what they were when they parted', async () => {
    const base = { a: { x: '1' }, b: { x: '2' }, c: { x: '3', gone: '4' } }
    const mine = { a: { x: 'lost too' }, b: { x: 'mine' }, c: { x: '3', more: '5' }, d: '6' }
    const theirs = { a: { x: '1' }, b: { x: 'lost' }, c: { x: 'theirs', gone: '4' } }
    const place = { mine: await build(mine), theirs: await build(theirs), base: await build(base) }
    const lost = [await build(mine.a), await build(theirs.b), await build(base.c)]
    for (const cid of lost) disk.blocks.delete(cid)
    ;({ blocks } = blocksOf(lab, await lab.node('b'), { disk })) // which remembers nothing
    tree = new Tree(blocks)
    const ops: TreeOp[] = []
    for await (const op of mergeOps({ tree, label: 'me' }, place)) ops.push(op)
    expect(ops.map((op) => 'path' in op && `${op.op} ${op.path}`)).toEqual([
      'mkdir /b.conflict-me',
      'put /b.conflict-me/x',
      'put /c/more',
      'put /c/x.conflict-me',
      'put /d',
    ])
    const edit = new TreeEdit(tree)
    let root = place.theirs
    for (const op of ops) root = await edit.apply(root, op)
    root = await edit.save(root)
    expect(await lacking(tree, { ...place, theirs: root }, {})).toBe('/a')
  })

  it('is refused where somebody changes the same name meanwhile', async () => {
    const { ops } = await merged({ ...base, edited: 'new', gone: 'new' }, base, base)
    const changed = await build({ ...base, edited: 'meanwhile' })
    const [first] = ops
    await expect(new TreeEdit(tree).apply(changed, first as TreeOp)).rejects.toMatchObject({ code: 'EEXIST' })
  })
})

describe('what a tree lacks of another', () => {
  const lacks = async (mine: Content, theirs: Content, base?: Content, left?: number) => {
    const place = { mine: await build(mine), theirs: await build(theirs), base: base && (await build(base)) }
    return lacking(tree, place, {}, left === undefined ? undefined : { left })
  }
  const mine = { a: '1', d: { x: '2', e: { y: '3' } } }

  it('is nothing after a merge, whoever made it, also where both had something of one name', async () => {
    const others: Content[] = [{}, { a: 'other' }, { a: { b: '1' }, d: 'file' }, { d: { x: 'other', e: 'file' } }]
    for (const theirs of others) {
      const { root } = await merged(mine, theirs)
      expect(await lacking(tree, { mine: await build(mine), theirs: root }, {})).toBeUndefined()
    }
  })

  it('is a file whose content is nowhere in that directory, wherever else it is', async () => {
    expect(await lacks(mine, {})).toBe('/a')
    expect(await lacks(mine, { ...mine, d: { x: '2' } })).toBe('/d/e')
    expect(await lacks(mine, { ...mine, d: { x: '2', e: { z: 'other' } } })).toBe('/d/e/y')
    expect(await lacks(mine, { b: '1', d: mine.d })).toBeUndefined()
    expect(await lacks(mine, { a: '1', d: { 'x.conflict-me': '2', x: '9', e: mine.d.e } })).toBeUndefined()
  })

  it('is not what a branch left as it was, or removed', async () => {
    expect(await lacks(mine, {}, mine)).toBeUndefined()
    expect(await lacks({ ...mine, a: 'new' }, { a: 'new' }, mine)).toBeUndefined()
    expect(await lacks({ ...mine, a: 'new' }, {}, mine)).toBe('/a')
    expect(await lacks({}, mine, mine)).toBeUndefined()
  })

  it('is nothing of a directory that was removed there and emptied in part here, but what is new in it', async () => {
    const base = await build({ d: { a: '1', b: '2' } })
    const place = async (d: Content) => ({ mine: await build({ d }), theirs: await build({}), base })
    expect(await lacking(tree, await place({ a: '1' }), {})).toBeUndefined()
    expect(await lacking(tree, await place({ a: '1', c: '3' }), {})).toBe('/d')
    expect(await lacking(tree, await place({ a: '1' }), {}, { left: 1 })).toBe('/d')
  })

  it('is what there is no budget to look for', async () => {
    expect(await lacks(mine, { a: '1', d: { x: '2', e: { y: '3', z: '4' } } }, undefined, 2)).toBe('/d/e')
  })
})
