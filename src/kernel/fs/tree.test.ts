import * as dagPb from '@ipld/dag-pb'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { parseCid, RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { decodeDirectory, type Entry, encodeDirectory } from './directory.ts'
import { joinPath, splitPath } from './path.ts'
import { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'

let blocks: Blocks
let tree: Tree
let root: string
const files = ['one', 'two', 'three'].map((text) => {
  return CID.createV1(RAW, createDigest(0x12, sha256(utf8(text)))).toString()
})
beforeEach(async () => {
  const lab = new Lab()
  ;({ blocks } = blocksOf(lab, await lab.node('a')))
  tree = new Tree(blocks)
  root = await tree.create()
})

const put = (path: string, more: Partial<Extract<TreeOp, { op: 'put' }>> = {}): TreeOp => {
  return { op: 'put', path, cid: files[0] as string, size: 3, mode: 0o644, mtimeMs: 5, ...more }
}
const mkdir = (path: string, recursive = false): TreeOp => ({ op: 'mkdir', path, recursive, mtimeMs: 7 })
const remove = (path: string, recursive = false, force = false): TreeOp => ({ op: 'remove', path, recursive, force })
const move = (from: string, to: string): TreeOp => ({ op: 'move', from, to, mtimeMs: 9 })

async function apply(...ops: TreeOp[]): Promise<void> {
  const edit = new TreeEdit(tree)
  for (const op of ops) root = await edit.apply(root, op)
  root = await edit.save(root)
}
async function codeOf(op: TreeOp): Promise<string> {
  try {
    await apply(op)
    return 'ok'
  } catch (error) {
    if (!(error instanceof OsError)) throw error
    return error.code
  }
}
async function paths(cid = root, at = ''): Promise<string[]> {
  const out: string[] = []
  for (const [name, entry] of await tree.directory(cid)) {
    out.push(`${at}/${name}`)
    if (entry.kind === 'directory') out.push(...(await paths(entry.cid, `${at}/${name}`)))
  }
  return out.sort()
}

describe('a tree answers as POSIX does', () => {
  beforeEach(() => apply(mkdir('/d'), mkdir('/d/full'), put('/d/full/f'), mkdir('/d/empty'), put('/f')))

  it.each([
    ['put', put('/new'), 'ok'],
    ['put over a file', put('/f'), 'ok'],
    ['put over a directory', put('/d'), 'EISDIR'],
    ['put at the root', put('/'), 'EISDIR'],
    ['put below a file', put('/f/x'), 'ENOTDIR'],
    ['put into a directory that is not there', put('/no/x'), 'ENOENT'],
    ['put that makes its parents', put('/no/such/x', { parents: true }), 'ok'],
    ['put that makes its parents, below a file', put('/f/such/x', { parents: true }), 'ENOTDIR'],
    ['exclusive put of a new file', put('/new', { exclusive: true }), 'ok'],
    ['exclusive put over a file', put('/f', { exclusive: true }), 'EEXIST'],
    ['mkdir', mkdir('/new'), 'ok'],
    ['mkdir over a directory', mkdir('/d'), 'EEXIST'],
    ['mkdir -p over a directory', mkdir('/d', true), 'ok'],
    ['mkdir over a file', mkdir('/f'), 'EEXIST'],
    ['mkdir -p over a file', mkdir('/f', true), 'EEXIST'],
    ['mkdir below a file', mkdir('/f/x'), 'ENOTDIR'],
    ['mkdir -p below a file', mkdir('/f/x/y', true), 'ENOTDIR'],
    ['mkdir without its parent', mkdir('/no/x'), 'ENOENT'],
    ['mkdir -p without its parent', mkdir('/no/x/y', true), 'ok'],
    ['mkdir of the root', mkdir('/'), 'EEXIST'],
    ['mkdir -p of the root', mkdir('/', true), 'ok'],
    ['rm of a file', remove('/f'), 'ok'],
    ['rm of an empty directory', remove('/d/empty'), 'ok'],
    ['rm of a full directory', remove('/d'), 'ENOTEMPTY'],
    ['rm -r of a full directory', remove('/d', true), 'ok'],
    ['rm of what is not there', remove('/no'), 'ENOENT'],
    ['rm -f of what is not there', remove('/no', false, true), 'ok'],
    ['rm below a file', remove('/f/x'), 'ENOTDIR'],
    ['rm of the root', remove('/', true), 'EBUSY'],
    ['mv of a file', move('/f', '/g'), 'ok'],
    ['mv of a file into a directory', move('/f', '/d/empty/f'), 'ok'],
    ['mv of a file over a file', move('/f', '/d/full/f'), 'ok'],
    ['mv of a file over a directory', move('/f', '/d/empty'), 'EISDIR'],
    ['mv of a directory', move('/d/full', '/full'), 'ok'],
    ['mv of a directory over an empty one', move('/d/full', '/d/empty'), 'ok'],
    ['mv of a directory over a full one', move('/d/empty', '/d/full'), 'ENOTEMPTY'],
    ['mv of a directory over its own parent', move('/d/full', '/d'), 'ENOTEMPTY'],
    ['mv of a directory over a file', move('/d', '/f'), 'ENOTDIR'],
    ['mv of a directory into itself', move('/d', '/d/full/d'), 'EINVAL'],
    ['mv of a thing onto itself', move('/d', '/d'), 'ok'],
    ['mv of what is not there', move('/no', '/g'), 'ENOENT'],
    ['mv to a directory that is not there', move('/f', '/no/f'), 'ENOENT'],
    ['mv below a file', move('/d', '/f/d'), 'ENOTDIR'],
    ['mv of the root', move('/', '/d/root'), 'EBUSY'],
    ['a relative path', put('x'), 'EINVAL'],
    ['a NUL in a path', put('/a\0b'), 'EINVAL'],
    ['a name of 256 bytes', put(`/${'é'.repeat(128)}`), 'ENAMETOOLONG'],
    ['a path of 4097 characters', put(`/${'a/'.repeat(2048)}`), 'ENAMETOOLONG'],
    ['257 directories below one another', mkdir('/a'.repeat(257), true), 'ENAMETOOLONG'],
    ['a name that is no proper Unicode', put('/\ud800'), 'EINVAL'],
  ])('%s', async (_what, op, expected) => {
    const before = root
    expect(await codeOf(op)).toBe(expected)
    if (expected !== 'ok') expect(root).toBe(before)
  })

  it('keeps a file’s mode when it is overwritten, and takes its new time', async () => {
    await apply(put('/x', { mode: 0o600 }), put('/x', { mode: 0o777, mtimeMs: 99, cid: files[1] as string }))
    expect(await tree.lookup(root, '/x')).toMatchObject({ mode: 0o600, mtimeMs: 99, cid: files[1] })
  })

  it('gives the same root for the same content, however it came about', async () => {
    await apply(put('/d/x'), put('/g'))
    const before = root
    await apply(put('/d/x', { cid: files[1] as string }), move('/g', '/h'), move('/h', '/g'), put('/d/x'))
    expect(root).toBe(before)
  })

  it('gives a directory the time at which a name in it came or went, and no other', async () => {
    const timeOf = async (path: string) => (await tree.lookup(root, path)).mtimeMs
    await apply(put('/d/x', { mtimeMs: 20 }))
    expect(await timeOf('/d')).toBe(20)
    await apply(put('/d/x', { mtimeMs: 21 }), put('/d/full/y', { mtimeMs: 22 }))
    expect([await timeOf('/d'), await timeOf('/d/full')]).toEqual([20, 22])
    await apply({ op: 'remove', path: '/d/x', recursive: false, mtimeMs: 23 })
    expect(await timeOf('/d')).toBe(23)
    await apply({ op: 'move', from: '/d/full/y', to: '/y', mtimeMs: 24 })
    expect([await timeOf('/d'), await timeOf('/d/full')]).toEqual([23, 24])
    await apply({ op: 'mkdir', path: '/d/new/deep', recursive: true, mtimeMs: 25 })
    expect([await timeOf('/d'), await timeOf('/d/new')]).toEqual([25, 25])
  })

  it('follows links on the way to what is changed, and replaces links themselves', async () => {
    const link = (path: string, target: string): TreeOp => ({ op: 'symlink', path, target, mtimeMs: 1 })
    await apply(
      link('/l', 'd'),
      link('/d/up', '..'),
      link('/d/loop', 'loop'),
      link('/d/none', '/no/such'),
      link('/lf', 'f'),
    )
    await apply(put('/l/up/l/x'), put('/lf', { cid: files[1] as string }))
    expect(await tree.lookup(root, '/d/x')).toMatchObject({ kind: 'file' })
    expect(await tree.lookup(root, '/f')).toMatchObject({ cid: files[1] })
    expect(await tree.lookup(root, '/lf')).toMatchObject({ kind: 'symlink', size: 1, mode: 0o777 })
    for (const [op, code] of [
      [put('/d/loop'), 'ELOOP'],
      [put('/d/loop/x'), 'ELOOP'],
      [put('/d/none'), 'ENOENT'],
      [put('/lf', { exclusive: true }), 'EEXIST'],
      [mkdir('/l'), 'EEXIST'],
      [mkdir('/l', true), 'ok'],
      [link('/l', 'x'), 'EEXIST'],
      [link('/no/l', 'x'), 'ENOENT'],
      [link('/', 'x'), 'EEXIST'],
      [remove('/lf/x'), 'ENOTDIR'],
      [move('/d', '/l/inside'), 'EINVAL'],
      [move('/f', '/l'), 'ok'],
      [remove('/lf'), 'ok'],
    ] as const) {
      expect([op, await codeOf(op)]).toEqual([op, code])
    }
    expect(await tree.lookup(root, '/l')).toMatchObject({ kind: 'file', cid: files[1] })
  })

  it('makes nothing that lies deeper than names can say', async () => {
    const deep = (count: number) => `/${Array.from({ length: count }, () => 'x').join('/')}`
    await apply(mkdir(`/a${deep(150)}`, true), mkdir(`/b${deep(150)}`, true))
    for (const op of ['copy', 'move'] as const) {
      expect(await codeOf({ op, from: '/a', to: `/b${deep(150)}/a`, mtimeMs: 1 })).toBe('ENAMETOOLONG')
      expect(await codeOf({ op, from: '/a', to: '/b/x/a', mtimeMs: 1 })).toBe('ok')
      await apply(remove('/b/x/a', true), mkdir('/a', true))
    }
  })

  it('made again changes nothing, and does what was not done', async () => {
    const link: TreeOp = { op: 'symlink', path: '/l', target: 'f', mtimeMs: 1 }
    const copy: TreeOp = { op: 'copy', from: '/d', to: '/e', mtimeMs: 1 }
    const set: TreeOp = { op: 'set', path: '/f', mode: 0o600 }
    await apply(link, copy, set)
    const before = root
    const again = [link, copy, set].map((op) => ({ ...op, again: true }))
    await apply(...again)
    expect(root).toBe(before)
    expect(await codeOf({ ...link, target: 'other', again: true })).toBe('EEXIST')
    await apply(remove('/l'), remove('/e', true))
    await apply(...again)
    expect(await paths()).toContain('/e/full/f')
    await apply(remove('/d', true), remove('/f'), ...again)
    expect(await codeOf(copy)).toBe('ENOENT')
  })

  it('copies by reference, whatever is below, and changes what is known of files', async () => {
    const copy = (from: string, to: string, exclusive = false): TreeOp => {
      return { op: 'copy', from, to, mtimeMs: 30, ...(exclusive ? { exclusive } : {}) }
    }
    await apply({ op: 'set', path: '/f', mode: 0o600, mtimeMs: 3 }, copy('/f', '/g'), copy('/d', '/e'))
    expect(await tree.lookup(root, '/f')).toMatchObject({ mode: 0o600, mtimeMs: 3 })
    expect(await tree.lookup(root, '/g')).toMatchObject({ mode: 0o600, mtimeMs: 30, cid: files[0] })
    expect((await tree.lookup(root, '/e')).cid).toBe((await tree.lookup(root, '/d')).cid)
    for (const [op, code] of [
      [copy('/f', '/g'), 'ok'],
      [copy('/f', '/g', true), 'EEXIST'],
      [copy('/d', '/d/inside'), 'EINVAL'],
      [copy('/', '/d/inside'), 'EINVAL'],
      [copy('/no', '/x'), 'ENOENT'],
      [copy('/d', '/g'), 'ENOTDIR'],
      [copy('/f', '/e'), 'EISDIR'],
      [copy('/d', '/e'), 'ENOTEMPTY'],
      [copy('/f', '/no/x'), 'ENOENT'],
      [{ op: 'set', path: '/no', mode: 0 }, 'ENOENT'],
      [{ op: 'set', path: '/', mode: 0 }, 'EPERM'],
    ] as const) {
      expect([op, await codeOf(op)]).toEqual([op, code])
    }
  })

  it('looks up along the path, and says which part is missing', async () => {
    expect(await tree.lookup(root, '/d/full/f')).toMatchObject({ kind: 'file', size: 3 })
    expect(await tree.lookup(root, '/d/../d/./full//f')).toMatchObject({ kind: 'file' })
    expect(await tree.lookup(root, '/')).toMatchObject({ kind: 'directory', cid: root })
    await expect(tree.lookup(root, '/d/no/x')).rejects.toMatchObject({ code: 'ENOENT', message: /^\/d\/no:/ })
    await expect(tree.lookup(root, '/f/x')).rejects.toMatchObject({ code: 'ENOTDIR', message: /^\/f is/ })
  })
})

describe('names', () => {
  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    ' ',
    '...',
    '-rf',
    'a\nb',
    'a\\b',
    'ä',
    'a\u0308',
    '👨‍👩‍👧',
    '\u202e',
    'é'.repeat(127),
    'x'.repeat(255),
  ])('%j is a name like any other', async (name) => {
    await apply(put(`/${name}`), mkdir(`/tmp/${name}`), put(`/tmp/${name}/${name}`))
    const again = new Tree(blocks)
    expect([...(await again.directory(root)).keys()]).toContain(name)
    expect(await again.lookup(root, `/tmp/${name}/${name}`)).toMatchObject({ kind: 'file', cid: files[0] })
    await apply(move(`/tmp/${name}`, `/${name}2`.slice(0, 200)), remove(`/${name}`))
    expect((await tree.directory(root)).has(name)).toBe(false)
  })

  it('are stored once a batch: what was made and replaced again never reaches the disk', async () => {
    const before = await blocks.count()
    const edit = new TreeEdit(tree)
    for (let i = 0; i < 20; i++) root = await edit.apply(root, put(`/tmp/batch-${i}`))
    expect(await blocks.count()).toBe(before)
    root = await edit.save(root)
    expect(await blocks.count()).toBe(before + 2) // the root and /tmp
    expect((await new Tree(blocks).directory(root)).size).toBeGreaterThan(0)
  })

  it('that look alike but are written differently are different (no normalisation)', async () => {
    await apply(put('/ä'), put('/a\u0308', { cid: files[1] as string }))
    expect((await tree.lookup(root, '/ä')).cid).not.toBe((await tree.lookup(root, '/a\u0308')).cid)
  })

  it('with .. never leave the root', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', 'b', '...'), { maxLength: 20 }), (parts) => {
        const names = splitPath(`/${parts.join('/')}`)
        expect(names.every((name) => ['a', 'b', '...'].includes(name))).toBe(true)
        expect(splitPath(joinPath(names))).toEqual(names)
      }),
    )
  })
})

describe('a directory', () => {
  const entry = (cid: string, more: Partial<Entry> = {}): Entry => {
    return { kind: 'file', cid, size: 3, mode: 0o644, mtimeMs: 1, ...more }
  }
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..')

  it('comes out of its block as it went in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { maxLength: 30 }), async (names) => {
        const directory = new Map(
          names.map((each, i) => [
            each,
            entry(files[i % 3] as string, { kind: i % 2 ? 'file' : 'directory', size: i }),
          ]),
        )
        const bytes = encodeDirectory(directory)
        expect(new Map([...decodeDirectory('x', bytes)].sort())).toEqual(new Map([...directory].sort()))
        const shuffled = new Map([...directory].reverse())
        expect(encodeDirectory(shuffled)).toEqual(bytes)
      }),
      { numRuns: 40 },
    )
  })

  it('is the node that the DAG-PB encoder makes of all links together, however often it was encoded', () => {
    const names = fc.uniqueArray(fc.oneof(name, fc.constantFrom('\uffff', '\u{1f600}', '\u{1f600}a', '\ufffda')))
    fc.assert(
      fc.property(names, fc.nat(2 ** 40), (all, size) => {
        const directory = new Map(all.map((each, i) => [each, entry(files[i % 3] as string, { size: size + i })]))
        const bytes = encodeDirectory(directory)
        const links = [...directory].map(([Name, { cid, size: Tsize }]) => ({ Name, Hash: parseCid(cid), Tsize }))
        const { Data } = dagPb.decode(bytes)
        expect(bytes).toEqual(dagPb.encode(dagPb.prepare({ Data, Links: links })))
        expect(encodeDirectory(directory)).toEqual(bytes)
      }),
    )
  })

  it('that is too large for one block is EFBIG, with advice', async () => {
    const many = new Map(
      Array.from({ length: 30_000 }, (_, i) => [`a rather long name ${i}`, entry(files[0] as string)]),
    )
    expect(() => encodeDirectory(many)).toThrow(/use subdirectories/)
  })

  it('whatever its bytes, decodes or is EIO', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeDirectory('x', bytes)
        } catch (error) {
          if (!(error instanceof OsError && error.code === 'EIO')) throw error
        }
      }),
    )
  })

  it('with one byte changed, decodes or is EIO', () => {
    const bytes = encodeDirectory(new Map([['a', entry(files[0] as string)], ['b', entry(files[1] as string)]])) // biome-ignore format: one line
    fc.assert(
      fc.property(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const broken = bytes.slice()
        broken[at] = (broken[at] ?? 0) ^ change
        try {
          for (const each of decodeDirectory('x', broken).keys()) expect(each).not.toMatch(/[/\0]|^\.{0,2}$/)
        } catch (error) {
          if (!(error instanceof OsError && error.code === 'EIO')) throw error
        }
      }),
      { numRuns: 500 },
    )
  })
})

// --- differential test ----------------------------------------------------------------------------------------

/** What POSIX says, over a plain map from path to content (undefined for a directory). */
class Model {
  readonly nodes = new Map<string, string | undefined>([
    ['/', undefined],
    ['/home', undefined],
    ['/tmp', undefined],
  ])

  #parent(path: string): string {
    return path.slice(0, Math.max(1, path.lastIndexOf('/')))
  }
  #isDirectory(path: string): boolean {
    return this.nodes.has(path) && this.nodes.get(path) === undefined
  }
  #below(path: string): string[] {
    return [...this.nodes.keys()].filter((each) => each.startsWith(`${path}/`))
  }
  /** ENOTDIR or ENOENT on the way to a path's parent. */
  #way(path: string): string | undefined {
    const names = path.split('/').slice(1, -1)
    for (let i = 1; i <= names.length; i++) {
      const at = `/${names.slice(0, i).join('/')}`
      if (!this.nodes.has(at)) return 'ENOENT'
      if (!this.#isDirectory(at)) return 'ENOTDIR'
    }
    return undefined
  }

  apply(op: TreeOp): string {
    if (op.op === 'move') return this.#move(op.from, op.to)
    if (op.op !== 'put' && op.op !== 'mkdir' && op.op !== 'remove') throw new Error(`no model of ${op.op}`)
    const { path } = op
    if (op.op === 'put' || op.op === 'mkdir') {
      const parents = op.op === 'put' ? op.parents : op.recursive
      const problem = this.#way(path)
      if (problem === 'ENOTDIR' || (problem && !parents)) return problem
      if (this.nodes.has(path)) {
        if (op.op === 'mkdir') return op.recursive && this.#isDirectory(path) ? 'ok' : 'EEXIST'
        if (op.exclusive) return 'EEXIST'
        if (this.#isDirectory(path)) return 'EISDIR'
      }
      for (let at = this.#parent(path); !this.nodes.has(at); at = this.#parent(at)) this.nodes.set(at, undefined)
      this.nodes.set(path, op.op === 'put' ? op.cid : undefined)
      return 'ok'
    }
    const problem = this.#way(path)
    if (problem) return op.force && problem === 'ENOENT' ? 'ok' : problem
    if (!this.nodes.has(path)) return op.force ? 'ok' : 'ENOENT'
    if (!op.recursive && this.#below(path).length > 0) return 'ENOTEMPTY'
    for (const each of [path, ...this.#below(path)]) this.nodes.delete(each)
    return 'ok'
  }

  #move(from: string, to: string): string {
    const problem = this.#way(from) ?? this.#way(to)
    if (problem) return problem
    if (!this.nodes.has(from)) return 'ENOENT'
    if (from === to) return 'ok'
    if (to.startsWith(`${from}/`)) return 'EINVAL'
    if (from.startsWith(`${to}/`)) return 'ENOTEMPTY' // whatever kind that is which is moved, as Linux says it
    if (this.nodes.has(to)) {
      if (this.#isDirectory(from) && !this.#isDirectory(to)) return 'ENOTDIR'
      if (!this.#isDirectory(from) && this.#isDirectory(to)) return 'EISDIR'
      if (this.#below(to).length > 0) return 'ENOTEMPTY'
    }
    for (const each of [from, ...this.#below(from)]) {
      this.nodes.set(to + each.slice(from.length), this.nodes.get(each))
      this.nodes.delete(each)
    }
    return 'ok'
  }
}

it('any sequence of changes does what a simple model of POSIX does', async () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`)
  const flag = fc.boolean()
  const op: fc.Arbitrary<TreeOp> = fc.oneof(
    fc.tuple(path, flag, flag, fc.nat(2)).map(([at, exclusive, parents, n]): TreeOp => {
      return put(at, { exclusive, parents, cid: files[n] as string })
    }),
    fc.tuple(path, flag).map(([at, recursive]) => mkdir(at, recursive)),
    fc.tuple(path, flag, flag).map(([at, recursive, force]) => remove(at, recursive, force)),
    fc.tuple(path, path).map(([from, to]) => move(from, to)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 25 }), async (ops) => {
      const model = new Model()
      root = await tree.create()
      for (const each of ops) expect([each, await codeOf(each)]).toEqual([each, model.apply(each)])
      expect(['/', ...(await paths())].sort()).toEqual([...model.nodes.keys()].sort())
      for (const [at, content] of model.nodes) {
        const entry = await tree.lookup(root, at)
        expect(entry.kind === 'file' ? entry.cid : undefined).toBe(content)
      }
    }),
    { numRuns: 150 },
  )
})

it('any batch of changes ends in the root that they make one by one', async () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`)
  const op: fc.Arbitrary<TreeOp> = fc.oneof(
    fc.tuple(path, fc.nat(2)).map(([at, n]): TreeOp => put(at, { parents: true, cid: files[n] as string })),
    path.map((at) => mkdir(at, true)),
    path.map((at) => remove(at, true, true)),
    fc.tuple(path, path).map(([from, to]) => move(from, to)),
    fc.tuple(path, path).map(([from, to]): TreeOp => ({ op: 'copy', from, to, mtimeMs: 7 })),
    fc.tuple(path, path).map(([at, target]): TreeOp => ({ op: 'symlink', path: at, target, mtimeMs: 8 })),
    fc.tuple(path, fc.nat(7)).map(([at, mode]): TreeOp => ({ op: 'set', path: at, mode })),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 25 }), async (ops) => {
      root = await tree.create()
      const edit = new TreeEdit(tree)
      let batch = root
      for (const each of ops) {
        const before = root
        if ((await codeOf(each)) === 'ok') batch = await edit.apply(batch, each)
        else {
          expect(root).toBe(before)
          await expect(edit.apply(batch, each)).rejects.toThrow()
        }
      }
      expect(await edit.save(batch)).toBe(root)
    }),
    { numRuns: 150 },
  )
})

it('remembers decoded directories only up to a bound, however large they are', async () => {
  const wide = await tree.store(
    new Map(
      Array.from({ length: 4_000 }, (_, i) => [
        `n${i}`,
        { kind: 'file', cid: files[0] as string, size: 3, mode: 0o644, mtimeMs: 0 },
      ]),
    ),
  )
  root = await tree.store(new Map([['wide', { kind: 'directory', cid: wide, size: 0, mode: 0o755, mtimeMs: 0 }]]))
  for (let i = 0; i < 30; i++) await apply(put(`/wide/x${i}`))
  expect(tree.cachedEntries).toBeLessThanOrEqual(100_000)
})
