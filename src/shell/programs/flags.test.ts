// Options of ls, du, touch, mkdir, ln, tree, df and get by which people know them elsewhere, and errors that name the path.
import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { type TestShell, testShell } from '../test-shell.ts'

const TREE = { '/a.txt': 'alpha\n', '/dir/b.txt': 'beta\n', '/dir/sub/c': 'gamma', '/dir/.hidden': '' }

describe('ls', () => {
  it('leaves . and .. out with -A, marks kinds with -F', async () => {
    const { out } = testShell(TREE)
    expect(await out('ls -A /dir')).toBe('.hidden\nb.txt\nsub\n')
    await out('ln -s b.txt /dir/l; chmod +x /dir/b.txt')
    expect(await out('ls -F /dir; ls -AF /dir/sub')).toBe('b.txt*\nl@\nsub/\nc\n')
    expect(await out('ls -lF /dir')).toMatch(/ b\.txt\*\n.* l -> b\.txt\n.* sub\/\n$/)
    expect(await out('ls -aF /dir')).toBe('./\n../\n.hidden\nb.txt*\nl@\nsub/\n')
  })
})

describe('du', () => {
  it('counts KiB with -k and bytes with -b', async () => {
    const { out } = testShell({ '/d/f': 'x'.repeat(1025) })
    expect(await out('du -sk /d; du -sb /d')).toBe('2          /d\n1025       /d\n')
  })
})

describe('touch', () => {
  it('sets the time that is asked for', async () => {
    const { out, shell } = testShell(TREE)
    const timeOf = async (path: string) => JSON.parse(await out(`stat --json ${path}`))[0].mtimeMs
    await out("touch -d '2026-05-01 13:20' /a.txt /new")
    expect(await timeOf('/a.txt')).toBe(new Date(2026, 4, 1, 13, 20).getTime())
    expect(await timeOf('/new')).toBe(new Date(2026, 4, 1, 13, 20).getTime())
    await out('touch -d 2026-05-01 /a.txt')
    expect(await timeOf('/a.txt')).toBe(new Date(2026, 4, 1).getTime())
    await out('touch -d @5 /a.txt; touch -r /a.txt /dir/b.txt')
    expect(await timeOf('/dir/b.txt')).toBe(5_000)
    await out('touch -t 202605011320.30 /a.txt; touch -t 9905011320 /dir/b.txt')
    expect(await timeOf('/a.txt')).toBe(new Date(2026, 4, 1, 13, 20, 30).getTime())
    expect(await timeOf('/dir/b.txt')).toBe(new Date(1999, 4, 1, 13, 20).getTime())
    for (const line of ['touch -d soon /x', 'touch -t 1 /x', 'touch -d now -r /a.txt /x']) {
      expect(await shell.execute(line), line).toMatchObject({ code: 2 })
    }
    expect(await shell.execute('touch -r /none /x')).toMatchObject({
      code: 1,
      stderr: "touch: failed to get attributes of '/none': No such file or directory\n",
    })
    expect(await out('touch -c -d @5 /x; ls /')).toBe('a.txt\ndir\nnew\n')
  })
})

describe('mkdir', () => {
  it('takes a mode, and says what was made', async () => {
    const { out, shell, kernel } = testShell(TREE)
    expect(await out('mkdir -v /x; mkdir -pv /x /x/y')).toBe(
      "mkdir: created directory '/x'\nmkdir: created directory '/x/y'\n",
    )
    await out('mkdir -m 700 /p; mkdir -m go-w /q')
    const modes = kernel.calls.flatMap(({ args }) => (args as { mode?: number }).mode ?? [])
    expect(modes).toEqual([0o700, 0o755])
    expect(await shell.execute('mkdir -m 9 /r')).toMatchObject({ code: 2 })
  })
})

describe('ln', () => {
  it('names the link that it cannot make, replaces a link to a directory with -n', async () => {
    const { out, shell } = testShell(TREE)
    expect(await shell.execute('ln -s x /a.txt')).toMatchObject({
      code: 1,
      stderr: "ln: failed to create symbolic link '/a.txt': File exists\n",
    })
    expect(await shell.execute('ln -s x/b.txt /dir')).toMatchObject({
      stderr: "ln: failed to create symbolic link '/dir/b.txt': File exists\n",
    })
    await out('ln -s dir /to')
    expect(await out('ln -sfnv a.txt /to; stat /to')).toMatch(/^'\/to' -> 'a\.txt'\nFile: +\/to -> a\.txt\n/)
  })
})

describe('fsck', () => {
  it('calls nothing lost while a node that is here has not said what it has', async () => {
    const { shell, kernel } = testShell(TREE)
    kernel.health = { ...kernel.health, lost: 5 }
    expect(await shell.execute('fsck')).toMatchObject({
      code: 4,
      stdout: expect.stringMatching(/\n5 blocks lost, unless a device that is away has them\n/),
    })
    kernel.health = { ...kernel.health, silent: ['12D3KooWbusyNode'] }
    expect(await shell.execute('fsck')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /\n5 blocks on none that answered; busyNode did not say all that is there: ask again\n/,
      ),
    })
    kernel.health = { ...kernel.health, lost: 0 }
    expect(await shell.execute('fsck')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/\nbusyNode did not say/),
    })
  })
})

describe('errors', () => {
  it('name the path', async () => {
    const { shell, kernel } = testShell(TREE)
    kernel.intercept = (call, args) => {
      const { topic, path } = args as { topic?: string; path?: string }
      if (call === 'info' && topic === 'health' && path === '/nope') throw new OsError('ENOENT', 'no /nope')
    }
    const gone = "cannot check '/nope': No such file or directory\n"
    expect(await shell.execute('fsck /nope')).toMatchObject({ code: 1, stderr: `fsck: ${gone}` })
    expect(await shell.execute('df /nope')).toMatchObject({ code: 1, stderr: `df: ${gone}` })
    expect((await shell.execute('df /dir')).stdout).toContain('/dir: 3 files')
    expect(await shell.execute('tree /nope')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'tree: /nope: No such file or directory\n',
    })
    expect((await shell.execute('tree /nope /dir')).stdout).toContain('\n1 directory, 2 files\n')
  })
})

describe('get', () => {
  /** What tar(1) says of what is downloaded. @param during run when the download has begun. */
  const downloads = ({ host }: TestShell, flags: string, during: () => Promise<unknown> = async () => undefined) => {
    const told: string[] = []
    const download = async (name: string, content: AsyncIterable<Uint8Array>) => {
      const parts: Uint8Array[] = []
      for await (const piece of content) {
        if (parts.length === 0) await during()
        parts.push(piece)
      }
      told.push(name, execFileSync('tar', [flags], { input: concat(parts), encoding: 'utf8' }))
    }
    Object.assign(host, { download })
    return told
  }

  it('gives / as root.tar with relative names', async () => {
    const made = testShell(TREE)
    const told = downloads(made, '-t')
    expect(await made.shell.execute('get /')).toMatchObject({ code: 0, stderr: '' })
    expect(told).toEqual(['root.tar', './\n./a.txt\n./dir/\n./dir/.hidden\n./dir/b.txt\n./dir/sub/\n./dir/sub/c\n'])
  })

  it('of a folder that others change meanwhile has what is there, and names what is not', async () => {
    const made = testShell(TREE)
    const told = downloads(made, '-xO', () => made.out('rm /dir/b.txt; echo -n short >/a.txt; echo longer >/dir/sub/c'))
    expect(await made.shell.execute('get /')).toMatchObject({
      code: 1,
      stderr: "get: cannot read '/dir/b.txt': No such file or directory\n",
    })
    expect(told).toEqual(['root.tar', 'shortlonger\n'])
  })
})
