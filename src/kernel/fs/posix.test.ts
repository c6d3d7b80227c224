// The differential test: random sequences of calls, made through a kernel and on a real disk by node:fs, give the same
// results and the same errors.
import * as nodeFs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { Cluster, SimNode } from '../../sim/cluster.ts'
import type { FileSystem } from '../../syscalls/fs.ts'
import { boot, newCluster } from '../cluster.contract.ts'

type Call =
  | { call: 'write'; path: string; flag: 'w' | 'wx' | 'a'; text: string; mode?: number | undefined }
  | { call: 'patch'; path: string; at: number; text: string }
  | { call: 'truncate'; path: string; size: number }
  | { call: 'read' | 'stat' | 'lstat' | 'readlink' | 'list' | 'tree' | 'access' | 'unlink' | 'rmdir'; path: string }
  | { call: 'mkdir'; path: string; recursive: boolean; mode?: number | undefined }
  | { call: 'remove'; path: string; recursive: boolean; force: boolean }
  | { call: 'rename' | 'copy'; path: string; to: string }
  | { call: 'symlink'; path: string; target: string }
  | { call: 'chmod'; path: string; mode: number }

const name = fc.constantFrom('a', 'b', 'c')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`)
const text = fc.string({ maxLength: 6 })
/** Whatever the umask is, it leaves them. */
const mode = fc.option(fc.constantFrom(0o600, 0o700), { nil: undefined })
const only = <K extends string>(...calls: K[]) => fc.constantFrom(...calls)
const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ call: only('write'), path, flag: fc.constantFrom('w', 'wx', 'a'), text, mode }) },
  { weight: 2, arbitrary: fc.record({ call: only('patch'), path, at: fc.nat(9), text }) },
  fc.record({ call: only('truncate'), path, size: fc.nat(9) }),
  {
    weight: 6,
    arbitrary: fc.record({
      call: only('read', 'stat', 'lstat', 'readlink', 'list', 'tree', 'access', 'unlink', 'rmdir'),
      path,
    }),
  },
  { weight: 2, arbitrary: fc.record({ call: only('mkdir'), path, recursive: fc.constant(false), mode }) },
  // Node gives the mode to all directories on the way.
  { weight: 1, arbitrary: fc.record({ call: only('mkdir'), path, recursive: fc.constant(true) }) },
  { weight: 3, arbitrary: fc.record({ call: only('remove'), path, recursive: fc.boolean(), force: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ call: only('rename', 'copy'), path, to: path }) },
  {
    weight: 2,
    arbitrary: fc.record({
      call: only('symlink'),
      path,
      target: fc.oneof(path, name, fc.constantFrom('.', '/', 'a/b', './c', 'no/such')),
    }),
  },
  fc.record({ call: only('chmod'), path, mode: fc.constantFrom(0o644, 0o600, 0o755) }),
)

/** What a call gave, for comparison. */
async function outcome(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return (await work()) ?? 'done'
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (typeof code !== 'string') throw error
    return code.replace('ERR_FS_', '') // node's own, of what it does not leave to the system
  }
}

type Kinds = { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }
const kindOf = (one: Kinds) => (one.isFile() ? 'file' : one.isDirectory() ? 'directory' : 'link')
/** The size of a directory is the disk's own business, and so is the mode of a link. */
const told = (stats: Kinds & { size: number; mode: number }) => {
  const kind = kindOf(stats)
  return [kind, kind === 'file' ? stats.size : 0, kind === 'link' ? 0 : stats.mode & 0o777]
}
const rowOf = (root: string) => (row: Kinds & { name: string; parentPath: string }) =>
  `${row.parentPath.slice(root.length)} ${row.name} ${kindOf(row)}`

/** On a real disk, below a folder: as the root of a tree of its own. */
async function onDisk(root: string, one: Call): Promise<unknown> {
  const at = root + one.path
  switch (one.call) {
    case 'write':
      return nodeFs.writeFile(at, one.text, { flag: one.flag, mode: one.mode })
    case 'patch': {
      const handle = await nodeFs.open(at, 'r+')
      await handle.write(utf8(one.text), 0, undefined, one.at).finally(() => handle.close())
      return undefined
    }
    case 'truncate':
      return nodeFs.truncate(at, one.size)
    case 'read':
      return nodeFs.readFile(at, 'utf8')
    case 'stat':
      return told(await nodeFs.stat(at))
    case 'lstat':
      return told(await nodeFs.lstat(at))
    case 'readlink':
      return (await nodeFs.readlink(at)).replace(root, '') || '/'
    case 'list':
      return (await nodeFs.readdir(at, { withFileTypes: true })).map((each) => `${each.name} ${kindOf(each)}`).sort()
    case 'tree':
      // With names alone node follows links.
      return (await nodeFs.readdir(at, { recursive: true, withFileTypes: true })).map(rowOf(root)).sort()
    case 'access':
      return nodeFs.access(at)
    case 'unlink':
      return nodeFs.unlink(at)
    case 'rmdir':
      return nodeFs.rmdir(at)
    case 'mkdir':
      return void (await nodeFs.mkdir(at, { recursive: one.recursive, mode: one.mode }))
    case 'remove':
      return nodeFs.rm(at, { recursive: one.recursive, force: one.force })
    case 'rename':
      return nodeFs.rename(at, root + one.to)
    case 'copy':
      // libuv opens what it copies to before it finds that a directory is no file.
      if ((await nodeFs.stat(at)).isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
      return nodeFs.copyFile(at, root + one.to)
    case 'symlink':
      return nodeFs.symlink(one.target.startsWith('/') ? root + one.target : one.target, at)
    case 'chmod':
      return nodeFs.chmod(at, one.mode)
  }
}

async function inKernel(fs: FileSystem, root: string, one: Call): Promise<unknown> {
  const at = root + one.path
  switch (one.call) {
    case 'write':
      return void (await fs.writeFile(at, one.text, { flag: one.flag, mode: one.mode }))
    case 'patch': {
      const handle = await fs.open(at, 'r+')
      await handle.write(utf8(one.text), { position: one.at })
      await handle.close()
      return undefined
    }
    case 'truncate':
      return fs.truncate(at, one.size)
    case 'read':
      return fs.readFile(at, 'utf8')
    case 'stat':
      return told(await fs.stat(at))
    case 'lstat':
      return told(await fs.lstat(at))
    case 'readlink':
      return (await fs.readlink(at)).replace(root, '') || '/'
    case 'list':
      return (await fs.readdir(at, { withFileTypes: true })).map((each) => `${each.name} ${kindOf(each)}`).sort()
    case 'tree':
      return (await fs.readdir(at, { recursive: true, withFileTypes: true })).map(rowOf(root)).sort()
    case 'access':
      return fs.access(at)
    case 'unlink':
      return fs.unlink(at)
    case 'rmdir':
      return fs.rmdir(at)
    case 'mkdir':
      return fs.mkdir(at, { recursive: one.recursive, mode: one.mode })
    case 'remove':
      return fs.rm(at, { recursive: one.recursive, force: one.force })
    case 'rename':
      return fs.rename(at, root + one.to)
    case 'copy':
      return fs.copyFile(at, root + one.to)
    case 'symlink':
      return fs.symlink(one.target.startsWith('/') ? root + one.target : one.target, at)
    case 'chmod':
      return fs.chmod(at, one.mode)
  }
}

let folder: string
let cluster: Cluster
let fs: FileSystem
beforeAll(async () => {
  folder = await nodeFs.mkdtemp(join(tmpdir(), 'brittlestar-posix-'))
  cluster = newCluster()
  const [node] = await boot<[SimNode]>(cluster, 1)
  fs = node.fs
})
afterAll(() => nodeFs.rm(folder, { recursive: true }))

/** The same sequences every time, so that a failure is a change's; more by `POSIX_SEED=2 POSIX_RUNS=100000`. */
const RUNS = Number(process.env['POSIX_RUNS'] ?? 2_000)
const SEED = Number(process.env['POSIX_SEED'] ?? 1)
let run = 0

/** What was found in a long hunt: the order in which errors are looked for. */
const FOUND: [Call[]][] = [
  [
    [
      { call: 'mkdir', path: '/c', recursive: false },
      { call: 'symlink', path: '/c/a', target: '.' },
      { call: 'rename', path: '/c/a', to: '/c' },
    ],
  ],
  [
    [
      { call: 'symlink', path: '/a', target: '/c/a' },
      { call: 'write', path: '/c', flag: 'w', text: '' },
      { call: 'mkdir', path: '/a', recursive: true },
    ],
  ],
]

it('any sequence of calls does what it does on a disk', { timeout: RUNS * 300 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 20 }), async (calls) => {
      const [real, ours] = [`${folder}/${++run}`, `/tmp/${run}`]
      await nodeFs.mkdir(real)
      await cluster.run(fs.mkdir(ours))
      for (const each of calls) {
        const expected = await outcome(() => onDisk(real, each))
        const found = await outcome(() => cluster.run(inKernel(fs, ours, each)))
        expect([each, found]).toEqual([each, expected])
      }
      await nodeFs.rm(real, { recursive: true })
      await cluster.run(fs.rm(ours, { recursive: true }))
    }),
    { numRuns: RUNS, seed: SEED, examples: FOUND },
  )
})
