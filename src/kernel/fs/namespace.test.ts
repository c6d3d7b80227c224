import { beforeEach, describe, expect, it } from 'vitest'
import { MemorySigner } from '../../adapters/memory/crypto.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { MAX_VERSIONS } from '../limits.ts'
import { makeChanges } from '../process/effects.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import type { Entry } from './directory.ts'
import { lacking, mergeOps } from './merge.ts'
import { Mountless } from './mountless.ts'
import { Namespace } from './namespace.ts'
import { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'
import { TreeHolding } from './tree-holding.ts'
import { decodeTreeEntry, encodeTreeEntry, TreeState } from './tree-journal.ts'

const KEG = `K-${'ab'.repeat(32)}` as Kid
const { signal } = new AbortController()
let blocks: Blocks
let tree: Tree
beforeEach(async () => {
  const lab = new Lab()
  blocks = blocksOf(lab, await lab.node('a')).blocks
  tree = new Tree(blocks)
})
/** One keg with its own root, as kegs.ts has it. */
class Fake {
  root = ''
  readonly keg: Kid | undefined
  constructor(keg?: Kid) {
    this.keg = keg
  }
  fail = false
  async apply({ ops }: { ops: readonly TreeOp[] }) {
    if (this.fail) throw new Error('crash here')
    const edit = new TreeEdit(tree, {}, this.keg !== undefined)
    let next = this.root
    for (const op of ops) next = await edit.apply(next, op)
    this.root = await edit.save(next)
    return { ack: { level: 'local', devices: 1 } }
  }
  lookup(path: string) {
    return tree.lookup(this.root, path)
  }
  async view() {
    return { root: this.root, options: {} }
  }
}
async function two() {
  const root = new Fake()
  const keg = new Fake(KEG)
  root.root = await tree.create()
  keg.root = await tree.create([])
  await root.apply({ ops: [{ op: 'mount', path: '/data', keg: KEG, mtimeMs: 1 }] })
  const kegs = { root, open: async () => keg, view: async () => keg.view() }
  return { root, keg, namespace: new Namespace({ kegs: kegs as never, tree, mountless: new Mountless() }) }
}
async function put(path: string, n: number, more = {}): Promise<TreeOp> {
  const cid = await blocks.put(RAW, new Uint8Array([n]))
  return { op: 'put', path, cid, size: 1, mode: 0o644, mtimeMs: 5, ...more }
}

describe('effects across kegs, repeated', () => {
  it('what was made of / does not tell that what is of the keg was made', async () => {
    const { root, keg, namespace } = await two()
    await root.apply({ ops: [await put('/a', 1)] })
    const ops: TreeOp[] = [{ op: 'move', from: '/a', to: '/b', mtimeMs: 5 }, await put('/data/result', 2)]
    keg.fail = true
    await expect(makeChanges(namespace, ops, { perhapsMade: false, signal })).rejects.toThrow('crash here')
    keg.fail = false
    await makeChanges(namespace, ops, { perhapsMade: true, signal }) // after the restart
    expect((await keg.lookup('/result')).size).toBe(1)
  })
  it('the same with a new file in /', async () => {
    const { keg, namespace } = await two()
    const ops: TreeOp[] = [await put('/lock', 1, { exclusive: true }), await put('/data/result', 2)]
    keg.fail = true
    await expect(makeChanges(namespace, ops, { perhapsMade: false, signal })).rejects.toThrow('crash here')
    keg.fail = false
    await makeChanges(namespace, ops, { perhapsMade: true, signal })
    expect((await keg.lookup('/result')).size).toBe(1)
  })
  it('a directory that is copied into a keg', async () => {
    const { root, keg, namespace } = await two()
    await root.apply({ ops: [{ op: 'mkdir', path: '/d', recursive: false, mtimeMs: 5 }, await put('/d/x', 1)] })
    const ops: TreeOp[] = [{ op: 'copy', from: '/d', to: '/data/d', mtimeMs: 5 }]
    await makeChanges(namespace, ops, { perhapsMade: false, signal })
    await makeChanges(namespace, ops, { perhapsMade: true, signal })
    expect((await keg.lookup('/d/x')).size).toBe(1)
  })
  it('a directory that is copied into a keg and removed', async () => {
    const { root, keg, namespace } = await two()
    await root.apply({ ops: [{ op: 'mkdir', path: '/d', recursive: false, mtimeMs: 5 }, await put('/d/x', 1)] })
    const ops: TreeOp[] = [
      { op: 'copy', from: '/d', to: '/data/d', mtimeMs: 5 },
      { op: 'remove', path: '/d', recursive: true },
    ]
    await makeChanges(namespace, ops, { perhapsMade: false, signal })
    await makeChanges(namespace, ops, { perhapsMade: true, signal })
    expect((await keg.lookup('/d/x')).size).toBe(1)
  })
  it('a directory that was made in a keg and is copied out of it', async () => {
    const { root, namespace } = await two()
    const mkdir: TreeOp = { op: 'mkdir', path: '/data/d', recursive: false, mtimeMs: 5 }
    const ops: TreeOp[] = [mkdir, await put('/data/d/x', 1), { op: 'copy', from: '/data/d', to: '/out', mtimeMs: 5 }]
    await makeChanges(namespace, ops, { perhapsMade: false, signal })
    expect((await root.lookup('/out/x')).size).toBe(1)
  })
  it('a link and what is written through it, in a keg', async () => {
    const { root, namespace } = await two()
    const ops: TreeOp[] = [{ op: 'symlink', path: '/data/l', target: '/home', mtimeMs: 5 }, await put('/data/l/z', 1)]
    await makeChanges(namespace, ops, { perhapsMade: false, signal })
    expect((await root.lookup('/home/z')).size).toBe(1)
  })
})

describe('trees with mounts', () => {
  it('lacking sees a mount that is missing', async () => {
    const empty = await tree.store(new Map())
    const entry = { kind: 'directory' as const, cid: empty, size: 0, mode: 0o755, mtimeMs: 0 }
    const mine = await tree.store(
      new Map<string, Entry>([
        ['home', entry],
        ['data', { ...entry, keg: KEG }],
      ]),
    )
    const theirs = await tree.store(new Map([['home', entry]]))
    expect(await lacking(tree, { mine, theirs }, {})).toBe('/data')
  })
  it('a branch of a keg into which a directory with a mount was copied is merged', async () => {
    const empty = await tree.store(new Map())
    const entry = { kind: 'directory' as const, cid: empty, size: 0, mode: 0o755, mtimeMs: 0 }
    const proj = await tree.store(new Map([['k', { ...entry, keg: KEG }]]))
    const mine = await tree.store(new Map([['proj', { ...entry, cid: proj }]]))
    const edit = new TreeEdit(tree, {}, true) // the older tree of that keg
    let root = empty
    for await (const op of mergeOps({ tree, apart: true, label: 'x' }, { mine, theirs: empty, base: empty }))
      root = await edit.apply(root, op)
    expect(root).not.toBe(empty)
  })
  it('what is no directory has no keg over it: the directory that it is in stays readable', async () => {
    const root = await tree.create()
    const cid = await blocks.put(RAW, new Uint8Array([1]))
    const edit = new TreeEdit(tree)
    const op = {
      op: 'graft' as const,
      path: '/x',
      kind: 'file' as const,
      cid,
      size: 1,
      mode: 0o644,
      mtimeMs: 1,
      keg: KEG,
      atMs: 1,
    }
    await expect(edit.apply(root, op)).rejects.toThrow('empty directories of / only')
  })
  it('a graft into a keg brings no mount', async () => {
    const root = await tree.create([])
    const edit = new TreeEdit(tree, {}, true)
    const op = {
      op: 'graft' as const,
      path: '/x',
      kind: 'directory' as const,
      cid: root,
      size: 0,
      mode: 0o755,
      mtimeMs: 1,
      keg: KEG,
      atMs: 1,
    }
    await expect(edit.apply(root, op)).rejects.toThrow()
  })
  it('a journal of many nodes and signers is read again', () => {
    const cid = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
    const state = new TreeState({ t: 'tree', kid: KEG, bornMs: 1, root: cid, version: 1, absorbed: [], base: null })
    for (let i = 0; i < MAX_VERSIONS; i++) {
      state.apply({
        t: 'changed',
        from: cid,
        root: cid,
        ops: [],
        absorbs: null,
        said: [i, `by${i}` as NodeId, ''],
        signed: [i + 2, `signer${i}`, new Uint8Array(64)],
      })
    }
    expect(() => decodeTreeEntry(encodeTreeEntry(state.birth()))).not.toThrow()
  })
  it('an entry that begins a tree again is refused by a member before it is stored', () => {
    const cid = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
    const birth = { t: 'tree' as const, kid: KEG, bornMs: 1, root: cid, version: 1, absorbed: [], base: null }
    const bytes = encodeTreeEntry(birth)
    const signer = new MemorySigner('a' as NodeId)
    const holding = new TreeHolding({
      elsewhere: () => async (leaves) => leaves.map(() => false),
      tree,
      blocks,
      signer,
      log: { log: () => undefined },
    })
    expect(() => holding.hold(KEG, { kind: 'entry', bytes, from: signer.nodeId })).toThrow('begins twice')
  })
})
