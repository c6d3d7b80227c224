// find: conditions together, what it removes, and names that a terminal would obey.
import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import { emptyReader, nullWriter } from '../streams.ts'
import { testShell } from '../test-shell.ts'

const TREE = { '/a.txt': 'alpha\n', '/dir/b.txt': 'beta\n', '/dir/sub/c': 'gamma', '/dir/sub/Big.TXT': 'x'.repeat(100) }

describe('find', () => {
  it('wants all conditions, also those that are repeated', async () => {
    const { out } = testShell(TREE)
    expect(await out('find / --size=+4c --size=-6c')).toBe('/dir/b.txt\n/dir/sub/c\n')
    expect(await out('find / -type f -type d')).toBe('')
    expect(await out("find / -name '*.txt' -name 'a*'")).toBe('/a.txt\n')
  })

  it('turns the condition after ! or -not round', async () => {
    const { out, shell } = testShell(TREE)
    expect(await out("find /dir -type f ! -name '*.txt'")).toBe('/dir/sub/Big.TXT\n/dir/sub/c\n')
    expect(await out("find /dir -not -type d -not -iname '*.txt' -print")).toBe('/dir/sub/c\n')
    expect(await out("find /dir -name '!'")).toBe('')
    for (const line of ['find / !', 'find / ! -maxdepth 1']) {
      expect(await shell.execute(line), line).toMatchObject({
        code: 2,
        stderr: "find: a condition is missing after !\nTry 'find --help' for more information.\n",
      })
    }
  })

  it('says what it does not know', async () => {
    const { shell } = testShell(TREE)
    for (const [line, stderr] of [
      ["find / '(' -name x ')'", "'(' is not supported"],
      ['find / -name x -o -name y', "invalid option -- 'o'"],
      ['find / -exec cat', "unrecognized option '--exec'"],
      ['find / -size', "option '--size' requires an argument"],
    ]) {
      expect(await shell.execute(line ?? ''), line).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(stderr ?? ''),
      })
    }
  })

  it('knows -iname and -path, -print and -print0 with one dash', async () => {
    const { out } = testShell(TREE)
    expect(await out("find / -iname '*.TXT'")).toBe('/a.txt\n/dir/b.txt\n/dir/sub/Big.TXT\n')
    expect(await out("find / -path '/dir/*c'")).toBe('/dir/sub/c\n')
    expect(await out('cd /dir; find . -path ./sub -print')).toBe('./sub\n')
    expect(await out('find /dir/sub -type f -print0')).toBe('/dir/sub/Big.TXT\0/dir/sub/c\0')
  })

  it('removes with -delete, what is in a directory first', async () => {
    const { out, shell, kernel } = testShell(TREE)
    expect(await out("find / -name '*.txt' -delete")).toBe('')
    expect(await shell.execute('find /dir -type d -delete')).toEqual({
      code: 1,
      stdout: '',
      stderr: "find: cannot delete '/dir/sub': Directory not empty\nfind: cannot delete '/dir': Directory not empty\n",
    })
    expect(await out('find /dir/sub -delete -print')).toBe('/dir/sub/Big.TXT\n/dir/sub/c\n/dir/sub\n')
    await out('mkdir -p /dir/x/y; touch /dir/x/f; cd /dir; find . -delete; find .. -maxdepth 0 -delete; find / -delete')
    expect([...kernel.entries.keys()]).toEqual(['/'])
  })

  it('shows control characters as ? on a terminal, and writes them as they are elsewhere', async () => {
    const { out, shell } = testShell({ '/d/a\u001b[2Jb': '' })
    expect(await out('find /d -type f')).toBe('/d/a\u001b[2Jb\n')
    let seen = ''
    const terminal = {
      isTerminal: true,
      write: async (bytes: Uint8Array) => {
        seen += fromUtf8(bytes)
      },
      close: async () => undefined,
    }
    const streams = { stdin: emptyReader, stdout: terminal, stderr: nullWriter }
    await shell.run('find /d -type f; ls -1 /d; du -a /d/*', streams, new AbortController().signal)
    expect(seen).toBe('/d/a?[2Jb\na?[2Jb\n0          /d/a?[2Jb\n')
    // Whoever tells of a name, be it of what is wrong with it.
    seen = ''
    const all = [
      'wc /d/*; stat /d/*; kid /d/* /d/*; cat /d/*/x; mv /d/* /none/x; cp /d/* /d/*; rm -v /d/*/; mkdir -v /d/*; ls /d/*/x',
      'cp -v /d/* /d/c; ln -sv /d/* /d/l; stat /d/l; cat < /d/*/x; echo > /d/*/x; /d/*; /d/*/x; head /d/* /d/*; cd /d/*',
    ]
    for (const line of all) {
      await shell.run(line, { ...streams, stderr: terminal }, new AbortController().signal)
    }
    expect(seen).not.toMatch(/[^\P{Cc}\n\t]/u)
    expect(seen.match(/a\?\[2Jb/g)?.length).toBeGreaterThan(10)
  })
})
