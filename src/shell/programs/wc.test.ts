import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { testShell } from '../test-shell.ts'

const FILES = {
  '/empty': '',
  '/one': 'one line of words\n',
  '/open': 'the last line\nhas no end',
  '/wide': 'Grüße ☂\t😀\n\n  \u000b\f\r x\n',
  '/long': 'word '.repeat(5_000),
}

describe('wc', () => {
  it('counts lines, words, characters and bytes of a file, of several, and of standard input', async () => {
    const { shell, out } = testShell(FILES)
    expect(await out('wc /one')).toBe(' 1  4 18 /one\n')
    expect(await out('wc -l /one')).toBe('1 /one\n')
    expect(await out('cat /open | wc')).toBe('      1       6      24\n')
    expect(await out('cat /open | wc -w -')).toBe('6 -\n')
    expect(await out('wc -clwm /wide')).toBe(' 3  4 19 26 /wide\n')
    expect(await out('wc --lines --bytes /one /open')).toBe(' 1 18 /one\n 1 24 /open\n 2 42 total\n')
    expect((await shell.execute('ls / | wc -l')).stdout).toBe('5\n')
  })

  it('says what it cannot read, and goes on', async () => {
    const { shell } = testShell({ '/dir/a': 'a\n' })
    expect(await shell.execute('wc /none /dir /dir/a')).toEqual({
      stdout: '      0       0       0 /dir\n      1       1       2 /dir/a\n      1       1       2 total\n',
      stderr: 'wc: /none: No such file or directory\nwc: /dir: Is a directory\n',
      code: 1,
    })
    expect(await shell.execute('wc --nothing')).toMatchObject({ code: 2 })
  })

  it('prints what coreutils prints', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'brittlestar-wc-'))
    try {
      mkdirSync(join(folder, 'dir'))
      for (const [path, content] of Object.entries(FILES)) writeFileSync(join(folder, path), content)
      const { out } = testShell({ ...FILES, '/dir/x': '' })
      for (const args of [
        '/one',
        '-l /one',
        '-lw /one /long /empty',
        '/empty',
        '-m /wide',
        '-cm /wide /open',
        '/long /one',
        '-c /long /long',
      ]) {
        const real = args.split(' ').map((arg) => arg.replace(/^\//, `${folder}/`))
        const env = { ...process.env, LC_ALL: 'C.UTF-8' }
        const expected = execFileSync('wc', real, { encoding: 'utf8', env }).replaceAll(`${folder}/`, '/')
        expect(await out(`wc ${args}`), args).toBe(expected)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('counts the same whatever pieces the input comes in (property)', async () => {
    const { shell } = testShell()
    const text = fc.string({ unit: fc.constantFrom('a', 'é', '😀', ' ', '\n', '\t'), maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 5 }), async (content, size) => {
        const bytes = new TextEncoder().encode(content)
        const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        )
        const lines = content.split('\n').length - 1
        const words = content.split(/\s+/).filter((word) => word !== '').length
        const { stdout } = await shell.execute('wc -lwmc', { stdin: pieces })
        expect(stdout.trim().split(/ +/).map(Number)).toEqual([lines, words, [...content].length, bytes.length])
      }),
      { numRuns: 60 },
    )
  })
})
