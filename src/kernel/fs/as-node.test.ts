// What programs for node expect of files, beside what posix.test.ts and handles.test.ts compare call by call.
import * as nodeFs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Cluster, SimNode } from '../../sim/cluster.ts'
import type { FileSystem } from '../../syscalls/fs.ts'
import { boot, codeOf, newCluster } from '../cluster.contract.ts'

let folder: string
let cluster: Cluster
let fs: FileSystem
const run = <T>(work: Promise<T>) => cluster.run(work)
beforeAll(async () => {
  folder = await nodeFs.mkdtemp(join(tmpdir(), 'brittlestar-node-'))
  cluster = newCluster()
  const [node] = await boot<[SimNode]>(cluster, 1)
  fs = node.fs
})
afterAll(() => nodeFs.rm(folder, { recursive: true }))

describe('cp with recursive', () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
  const tree = fc.array(fc.tuple(path, fc.boolean()), { maxLength: 6 })
  /** What either file system can do of it. */
  type Either = Pick<typeof nodeFs, 'cp' | 'rm'> & {
    mkdir(path: string, options?: { recursive: boolean }): Promise<unknown>
    writeFile(path: string, content: string): Promise<unknown>
    readFile(path: string, encoding: 'utf8'): Promise<string>
    readdir(path: string, options: { recursive: true }): Promise<string[]>
  }

  async function made(on: Either, root: string, paths: [string, boolean][], text: string) {
    await on.mkdir(root)
    for (const [at, directory] of paths) {
      const making = directory ? on.mkdir(`${root}/${at}`, { recursive: true }) : on.writeFile(`${root}/${at}`, text)
      await making.catch(() => undefined) // something else is there
    }
  }
  async function copied(on: Either, at: string, from: [string, boolean][], to: [string, boolean][] | null) {
    await on.mkdir(at)
    await made(on, `${at}/from`, from, 'new')
    if (to) await made(on, `${at}/to`, to, 'old')
    const copying = await on.cp(`${at}/from`, `${at}/to`, { recursive: true }).then(
      () => 'ok',
      () => 'refused',
    )
    const found: string[] = []
    for (const each of (await on.readdir(`${at}/to`, { recursive: true })).sort()) {
      found.push(`${each} ${await on.readFile(`${at}/to/${each}`, 'utf8').catch(() => '/')}`)
    }
    await on.rm(at, { recursive: true })
    return copying === 'ok' ? found : copying
  }

  it('merges directories as node does', async () => {
    await fc.assert(
      fc.asyncProperty(tree, fc.option(tree), async (from, to) => {
        const expected = await copied(nodeFs as unknown as Either, `${folder}/cp`, from, to)
        expect(await run(copied(fs as unknown as Either, '/tmp/cp', from, to))).toEqual(expected)
      }),
      { numRuns: 100, seed: 1 },
    )
  })

  it('refuses a directory in itself, and without it one over another that is not empty', async () => {
    await run(fs.mkdir('/tmp/d/e/f', { recursive: true }))
    await run(fs.mkdir('/tmp/full/x', { recursive: true }))
    for (const to of ['/tmp/d', '/tmp/d/e', '/tmp/d/e/f/g']) {
      expect(await run(codeOf(fs.cp('/tmp/d', to, { recursive: true })))).toBe('EINVAL')
    }
    expect(await run(codeOf(fs.cp('/tmp/d', '/tmp/full')))).toBe('ENOTEMPTY')
    expect(await run(codeOf(fs.copyFile('/tmp/d', '/tmp/g')))).toBe('EISDIR')
  })

  it('reads and writes what is on another file system', async () => {
    await run(fs.cp('/net', '/tmp/net', { recursive: true }))
    const names = await run(fs.readdir('/net'))
    expect(await run(fs.readdir('/tmp/net'))).toEqual(names)
    expect(JSON.parse(await run(fs.readFile('/tmp/net/self', 'utf8')))).toMatchObject({ nodes: 1 })
  })
})

it('modes count from when a file or directory is made, in whatever way they are given', async () => {
  const modeOf = async (path: string) => (await fs.stat(path)).mode & 0o7777
  await run((await run(fs.open('/tmp/m1', 'w', 0o600))).close())
  await run((await run(fs.open('/tmp/m2', 'wx', '640'))).close())
  await run((await run(fs.open('/tmp/m3', 'a', { permissions: 0o100_604 }))).close())
  await run(fs.writeFile('/tmp/m4', '', { mode: 0o601 }))
  await run(fs.mkdir('/tmp/m5', 0o700))
  await run(fs.mkdir('/tmp/m6/m', { mode: '0701', recursive: true }))
  const modes = [0o600, 0o640, 0o604, 0o601, 0o700, 0o755]
  for (const [i, mode] of modes.entries()) expect(await run(modeOf(`/tmp/m${i + 1}`))).toBe(mode)
  expect(await run(modeOf('/tmp/m6/m'))).toBe(0o701)
  await run(fs.writeFile('/tmp/m4', 'again', { mode: 0o644 }))
  expect(await run(modeOf('/tmp/m4'))).toBe(0o601)
  for (const mode of ['rwx', Number.NaN, -1]) expect(await run(codeOf(fs.mkdir('/tmp/m7', mode)))).toBe('EINVAL')
})

it('a temporary directory is new each time, and its maker’s alone', async () => {
  const paths = await run(Promise.all(Array.from({ length: 20 }, () => fs.mkdtemp('/tmp/t-'))))
  expect(new Set(paths).size).toBe(20)
  for (const path of paths) expect(path).toMatch(/^\/tmp\/t-[0-9a-z]{6}$/)
  expect((await run(fs.stat(paths[0] as string))).mode).toBe(0o040700)
  expect(await run(codeOf(fs.mkdtemp('/none/t-')))).toBe('ENOENT')
})

it('access tells what the mode of a path lets its owner do', async () => {
  const { R_OK, W_OK, X_OK } = fs.constants
  await run(fs.writeFile('/tmp/r', '', { mode: 0o400 }))
  await run(fs.access('/tmp/r', R_OK))
  for (const mode of [W_OK, X_OK, R_OK | W_OK]) expect(await run(codeOf(fs.access('/tmp/r', mode)))).toBe('EACCES')
  expect(await run(codeOf(fs.access('/proc', W_OK)))).toBe('EACCES')
  expect(await run(codeOf(fs.access('/tmp/none')))).toBe('ENOENT')
})

it('a time that cannot be kept is refused', async () => {
  await run(fs.writeFile('/tmp/u', ''))
  await run(fs.utimes('/tmp/u', 0, 0))
  await run(fs.utimes('/tmp/u', 0, -0.0001))
  expect((await run(fs.stat('/tmp/u'))).mtimeMs).toBe(0)
  for (const time of [-1, new Date('1969-12-31'), Number.NaN, 'a', {}]) {
    expect(await run(codeOf(fs.utimes('/tmp/u', 0, time as number)))).toBe('EINVAL')
  }
})

it('a size that is none is told at the call', async () => {
  await run(fs.writeFile('/tmp/s', 'kept'))
  for (const size of ['a', 1.5, Number.NaN, null]) {
    await expect(run(fs.truncate('/tmp/s', size as number))).rejects.toThrow(/a size is a whole number of bytes, not /)
  }
  expect(await run(fs.readFile('/tmp/s', 'utf8'))).toBe('kept')
})

it('copyFile takes the flag of node for what is to be new', async () => {
  await run(fs.writeFile('/tmp/one', '1'))
  await run(fs.copyFile('/tmp/one', '/tmp/two', fs.constants.COPYFILE_EXCL))
  expect(await run(codeOf(fs.copyFile('/tmp/one', '/tmp/two', fs.constants.COPYFILE_EXCL)))).toBe('EEXIST')
  await run(fs.copyFile('/tmp/one', '/tmp/two', 0))
})

describe('errors', () => {
  type Either = Pick<
    typeof nodeFs,
    'stat' | 'lstat' | 'readFile' | 'readdir' | 'mkdir' | 'unlink' | 'rmdir' | 'rename'
  > &
    Pick<typeof nodeFs, 'symlink' | 'readlink' | 'chmod' | 'utimes' | 'copyFile' | 'access' | 'open' | 'mkdtemp'>
  /** Each call fails for a path that leads nowhere. */
  const calls: ((on: Either, path: string) => Promise<unknown>)[] = [
    (on, path) => on.stat(path),
    (on, path) => on.lstat(path),
    (on, path) => on.open(path),
    (on, path) => on.readFile(path),
    (on, path) => on.readdir(path),
    (on, path) => on.mkdir(path && `${path}/x`),
    (on, path) => on.mkdtemp(`${path}/x/`),
    (on, path) => on.unlink(path),
    (on, path) => on.rmdir(path),
    (on, path) => on.rename(path, `${path}2`),
    (on, path) => on.symlink('x', path && `${path}/x`),
    (on, path) => on.readlink(path),
    (on, path) => on.chmod(path, 0o600),
    (on, path) => on.utimes(path, 0, 0),
    (on, path) => on.copyFile(path, `${path}2`),
    (on, path) => on.access(path),
  ]
  async function told(work: Promise<unknown>, root: string) {
    const error = await work.then(
      () => ({}),
      (reason: unknown) => reason as { code?: string; syscall?: string; path?: string; dest?: string },
    )
    const { code, syscall, path, dest } = error as { [key: string]: string | undefined }
    const made = syscall === 'mkdtemp' ? /.{6}$/ : '' // the part that is made up
    return [code, syscall, path?.replace(root, '').replace(made, ''), dest?.replace(root, '')]
  }

  it('tell the call and the paths, as those of node do', async () => {
    for (const call of calls) {
      const expected = await told(call(nodeFs, `${folder}/none`), folder)
      expect([`${call}`, ...(await told(run(call(fs as unknown as Either, '/tmp/none')), '/tmp'))]).toEqual([
        `${call}`,
        ...expected,
      ])
    }
  })

  it('are ENOENT for an empty path, and ENAMETOOLONG for one that is too long', async () => {
    const long = `/${'x/'.repeat(2100)}`
    for (const call of calls) {
      if (!`${call}`.includes('mkdtemp')) {
        expect([`${call}`, await run(codeOf(call(fs as unknown as Either, '')))]).toEqual([`${call}`, 'ENOENT'])
      }
      expect([`${call}`, await run(codeOf(call(fs as unknown as Either, long)))]).toEqual([`${call}`, 'ENAMETOOLONG'])
    }
    expect(await run(fs.exists(''))).toBe(false)
    await run(fs.rm('', { force: true }))
    await expect(run(fs.symlink('', '/tmp/l'))).rejects.toMatchObject({ code: 'ENOENT', path: '', dest: '/tmp/l' })
  })
})
