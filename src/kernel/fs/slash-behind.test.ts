// A slash behind a path asks for a directory, in each call as in node:fs.
import * as nodeFs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Cluster, SimNode } from '../../sim/cluster.ts'
import { boot, newCluster } from '../cluster.contract.ts'

type Either = Pick<
  typeof nodeFs,
  | 'stat'
  | 'lstat'
  | 'readFile'
  | 'writeFile'
  | 'readdir'
  | 'mkdir'
  | 'rm'
  | 'unlink'
  | 'rmdir'
  | 'rename'
  | 'symlink'
  | 'readlink'
  | 'realpath'
  | 'chmod'
  | 'utimes'
  | 'copyFile'
  | 'cp'
  | 'access'
  | 'truncate'
>

/** Ours tells how safe it is. */
const quiet = (writing: Promise<unknown>) => writing.then(() => undefined)

const calls: Record<string, (on: Either, path: string, root: string) => Promise<unknown>> = {
  stat: async (on, path) => (await on.stat(path)).isDirectory(),
  lstat: async (on, path) => (await on.lstat(path)).isDirectory(),
  readFile: (on, path) => on.readFile(path, 'utf8'),
  'writeFile w': (on, path) => quiet(on.writeFile(path, 'new')),
  'writeFile a': (on, path) => quiet(on.writeFile(path, 'new', { flag: 'a' })),
  'writeFile wx': (on, path) => quiet(on.writeFile(path, 'new', { flag: 'wx' })),
  readdir: (on, path) => on.readdir(path),
  mkdir: (on, path) => on.mkdir(path),
  'mkdir recursive': async (on, path) => void (await on.mkdir(path, { recursive: true })),
  unlink: (on, path) => on.unlink(path),
  rmdir: (on, path) => on.rmdir(path),
  'rename to new': (on, path, root) => on.rename(path, `${root}/new`),
  'rename file to it': (on, path, root) => on.rename(`${root}/file2`, path),
  'rename directory to it': (on, path, root) => on.rename(`${root}/full`, path),
  symlink: (on, path) => on.symlink('x', path),
  readlink: (on, path) => on.readlink(path),
  realpath: async (on, path, root) => (await on.realpath(path)).replace(root, ''),
  chmod: (on, path) => on.chmod(path, 0o700),
  utimes: (on, path) => on.utimes(path, 1, 1),
  'copyFile from it': (on, path, root) => on.copyFile(path, `${root}/new`),
  'copyFile to it': (on, path, root) => on.copyFile(`${root}/file2`, path),
  access: (on, path) => on.access(path),
  truncate: (on, path) => on.truncate(path, 1),
}

const names = ['file', 'full', 'empty', 'to-file', 'to-full', 'to-nothing', 'none']
const operands = names.flatMap((name) => ['', '/', '/.'].map((behind) => name + behind))

let folder: string
let cluster: Cluster
let ours: Either
beforeAll(async () => {
  folder = await nodeFs.realpath(await nodeFs.mkdtemp(join(tmpdir(), 'brittlestar-slash-')))
  cluster = newCluster()
  const [node] = await boot<[SimNode]>(cluster, 1)
  ours = node.fs as unknown as Either
})
afterAll(() => nodeFs.rm(folder, { recursive: true }))

async function make(on: Either, root: string): Promise<void> {
  await on.mkdir(root)
  await on.writeFile(`${root}/file`, 'text')
  await on.writeFile(`${root}/file2`, 'other')
  await on.mkdir(`${root}/full`)
  await on.writeFile(`${root}/full/x`, 'x')
  await on.mkdir(`${root}/empty`)
  for (const [name, target] of [
    ['to-file', 'file'],
    ['to-full', 'full'],
    ['to-nothing', 'nothing'],
  ]) {
    await on.symlink(target as string, `${root}/${name}`)
  }
}

/** All that is there, with contents. */
async function state(on: Either, root: string, below = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of (await on.readdir(root + below)).sort()) {
    const path = `${root}${below}/${name}`
    const info = await on.lstat(path)
    const what = info.isDirectory() ? '/' : info.isSymbolicLink() ? await on.readlink(path) : on.readFile(path, 'utf8')
    found.push(`${below}/${name} ${(info.mode & 0o700).toString(8)} ${await what}`)
    if (info.isDirectory()) found.push(...(await state(on, root, `${below}/${name}`)))
  }
  return found
}

async function done(on: Either, root: string, call: string, operand: string): Promise<string> {
  await make(on, root)
  const work = calls[call] as (on: Either, path: string, root: string) => Promise<unknown>
  const told = await work(on, `${root}/${operand}`, root).then(
    (value) => ({ value }),
    (error: { code?: string }) => ({ code: error.code }),
  )
  const after = await state(on, root)
  await on.rm(root, { recursive: true })
  return `${call} ${operand}: ${JSON.stringify(told)}, then ${after.join(', ')}`
}

describe('a slash behind a path', () => {
  for (const call of Object.keys(calls)) {
    it(`${call}: as in node`, async () => {
      const expected: string[] = []
      // What node says of this one comes of how it looks for the parents that are missing.
      const all = operands.filter((operand) => `${call} ${operand}` !== 'mkdir recursive to-nothing/.')
      const found: string[] = []
      for (const operand of all) {
        expected.push(await done(nodeFs, `${folder}/t`, call, operand))
        found.push(await cluster.run(done(ours, '/tmp/t', call, operand)))
      }
      expect(found).toEqual(expected)
    })
  }

  it('copies what a link leads to', async () => {
    await cluster.run(make(ours, '/tmp/t'))
    await cluster.run(ours.cp('/tmp/t/to-full//', '/tmp/t/copy'))
    expect(await cluster.run(ours.readFile('/tmp/t/copy/x', 'utf8'))).toBe('x')
    expect((await cluster.run(ours.lstat('/tmp/t/copy'))).isDirectory()).toBe(true)
  })
})
