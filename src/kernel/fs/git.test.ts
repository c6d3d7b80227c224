// Git, as isomorphic-git does it over `os.fs`: a repository that git itself has made is read, gets a commit, and git finds
// nothing wrong with it.
import { execFileSync } from 'node:child_process'
import * as disk from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import git from 'isomorphic-git'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import type { FileSystem } from '../../syscalls/fs.ts'
import { boot, newCluster, type TestCluster } from '../cluster.contract.ts'

const author = { name: 'Ada', email: 'ada@example.org' }
let folder: string
let cluster: TestCluster
let fs: FileSystem

beforeEach(async () => {
  folder = await disk.mkdtemp(join(tmpdir(), 'brittlestar-git-'))
  cluster = newCluster()
  const [node] = await boot<[SimNode]>(cluster, 1)
  fs = node.fs
})
afterEach(() => disk.rm(folder, { recursive: true }))

function realGit(at: string, ...args: string[]): string {
  const identity = [
    '-c',
    `user.name=${author.name}`,
    '-c',
    `user.email=${author.email}`,
    '-c',
    'init.defaultBranch=main',
  ]
  return execFileSync('git', [...identity, ...args], { cwd: at, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** A repository with a few files, as one file. */
async function bundle(): Promise<Uint8Array> {
  const at = join(folder, 'origin')
  await disk.mkdir(join(at, 'src'), { recursive: true })
  realGit(at, 'init', '-q')
  for (let i = 0; i < 20; i++) await disk.writeFile(join(at, 'src', `${i}.txt`), `file ${i}\n`.repeat(i + 1))
  await disk.writeFile(join(at, 'run.sh'), 'echo hello\n', { mode: 0o755 })
  await disk.symlink('src/3.txt', join(at, 'three'))
  realGit(at, 'add', '.')
  realGit(at, 'commit', '-qm', 'first')
  await disk.appendFile(join(at, 'src', '3.txt'), 'more\n')
  realGit(at, 'commit', '-qam', 'second')
  realGit(at, 'bundle', 'create', '-q', '../all.bundle', 'HEAD', 'main')
  return disk.readFile(join(folder, 'all.bundle'))
}

/** Its references, and the pack behind them. */
function parted(bytes: Uint8Array): { refs: Map<string, string>; pack: Uint8Array } {
  const text = Buffer.from(bytes).toString('latin1')
  const end = text.indexOf('\n\n')
  const lines = text.slice(0, end).split('\n').slice(1)
  const refs = new Map(lines.map((line) => line.split(' ').reverse() as [string, string]))
  return { refs, pack: bytes.subarray(end + 2) }
}

/** What is below a path, as git needs it: modes and links too. */
async function copyOut(from: string, to: string): Promise<void> {
  await disk.mkdir(to, { recursive: true })
  for (const entry of await fs.readdir(from, { withFileTypes: true })) {
    const [inner, outer] = [`${from}/${entry.name}`, join(to, entry.name)]
    if (entry.isDirectory()) await copyOut(inner, outer)
    else if (entry.isSymbolicLink()) await disk.symlink(await fs.readlink(inner), outer)
    else await disk.writeFile(outer, await fs.readFile(inner), { mode: (await fs.stat(inner)).mode & 0o777 })
  }
}

/** Virtual time goes on while git hashes and packs in real time. */
async function driven<T>(work: Promise<T>): Promise<T> {
  let settled = false
  const watched = work.finally(() => {
    settled = true
  })
  watched.catch(() => undefined) // thrown below
  while (!settled) {
    await cluster.advance(1)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return watched
}

it('clones from a bundle, adds, commits and tells the log, and git agrees', { timeout: 120_000 }, async () => {
  const { refs, pack } = parted(await bundle())
  const at = { fs: { promises: fs } as never, dir: '/repository' }
  const work = async () => {
    await git.init({ ...at, defaultBranch: 'main' })
    await fs.writeFile('/repository/.git/objects/pack/all.pack', pack)
    await git.indexPack({ ...at, filepath: '.git/objects/pack/all.pack' })
    await git.writeRef({ ...at, ref: 'refs/heads/main', value: refs.get('refs/heads/main') as string, force: true })
    await git.checkout({ ...at, ref: 'main' })
    expect(await fs.readFile('/repository/three', 'utf8')).toBe(`${'file 3\n'.repeat(4)}more\n`)
    expect((await fs.stat('/repository/run.sh')).mode & 0o111).not.toBe(0)
    expect(
      (await git.statusMatrix(at)).every(([, head, workdir, stage]) => head === 1 && workdir === 1 && stage === 1),
    ).toBe(true)
    await fs.writeFile('/repository/new.txt', 'new\n')
    await fs.rm('/repository/src/7.txt')
    await git.add({ ...at, filepath: 'new.txt' })
    await git.remove({ ...at, filepath: 'src/7.txt' })
    await git.commit({ ...at, message: 'third', author })
    return git.log(at)
  }
  const log = await driven(work())
  expect(log.map(({ commit }) => commit.message.trim())).toEqual(['third', 'second', 'first'])
  const out = join(folder, 'out')
  await driven(copyOut('/repository', out))
  realGit(out, 'fsck', '--strict', '--no-dangling')
  expect(realGit(out, 'log', '--format=%s').split('\n')).toEqual(['third', 'second', 'first', ''])
  expect(realGit(out, 'status', '--porcelain')).toBe('')
})
