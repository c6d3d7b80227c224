// Programs about files that more than names and contents belong to.
import { describe, expect, it } from 'vitest'
import { testShell } from '../test-shell.ts'
import { changedMode } from './chmod.ts'

const LINES = Array.from({ length: 30 }, (_, i) => `line ${i + 1}\n`).join('')
const TREE = {
  '/a.txt': 'alpha\n',
  '/dir/b.txt': 'beta\n',
  '/dir/sub/c': 'gamma',
  '/dir/sub/.hidden': '',
  '/lines': LINES,
}

describe('ls', () => {
  it('shows modes, where links lead, and directories below', async () => {
    const { out } = testShell(TREE)
    await out('ln -s a.txt /link; ln -s /no/such /dead; chmod 640 /a.txt')
    expect(await out('ls -l /')).toMatch(/^-rw-r----- {2} *6 .* a\.txt$/m)
    expect(await out('ls -l /')).toMatch(/^lrwxrwxrwx .* link -> a\.txt$/m)
    expect(await out('ls -l /link')).toMatch(/^l.* \/link -> a\.txt\n$/)
    expect(await out('ls /dead')).toBe('/dead\n')
    expect(await out('ls -R /dir')).toBe('/dir:\nb.txt\nsub\n\n/dir/sub:\nc\n')
    expect(await out('ls -d /dir')).toBe('/dir\n')
  })

  it('sorts by time, by size and backwards', async () => {
    const { out, kernel } = testShell(TREE)
    kernel.attributes.set('/dir/b.txt', { mode: 0o644, mtimeMs: 5_000 })
    expect(await out('ls -S /')).toBe('lines\na.txt\ndir\n')
    expect(await out('ls -r /')).toBe('lines\ndir\na.txt\n')
    expect(await out('ls -t /dir')).toBe('b.txt\nsub\n')
    expect(await out('ls -tr /dir')).toBe('sub\nb.txt\n')
    expect(await out('ls -lh /lines')).toMatch(/ 231 B /)
  })
})

describe('ln, stat, touch and chmod', () => {
  it('make links, tell of them, and replace them when told to', async () => {
    const { shell, out } = testShell(TREE)
    await out('ln -s ../a.txt /dir/up; ln -s /a.txt /dir')
    expect(await out('cat /dir/up /dir/a.txt')).toBe('alpha\nalpha\n')
    expect(await out('stat /dir/up')).toContain('File:     /dir/up -> ../a.txt\nType:     symlink\n')
    expect(await out('stat -L /dir/up')).toContain('Type:     file\nSize:     6\nMode:     0644 -rw-r--r--\n')
    expect(JSON.parse(await out('stat --json /a.txt /dir'))).toMatchObject([{ kind: 'file' }, { kind: 'directory' }])
    expect(await shell.execute('ln -s x /dir/up')).toMatchObject({
      code: 1,
      stderr: "ln: failed to create symbolic link '/dir/up': File exists\n",
    })
    await out('ln -sf x /dir/up')
    expect(await out('stat /dir/up')).toContain('-> x\n')
    expect(await shell.execute('ln -sf /a.txt /a.txt')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('same'),
    })
    expect(await shell.execute('cd /; ln -sf a.txt .')).toMatchObject({ code: 1 })
    expect(await out('cat /a.txt; ls /dir')).toBe('alpha\na.txt\nb.txt\nsub\nup\n')
    expect(await shell.execute('ln a b')).toMatchObject({ code: 1, stderr: expect.stringContaining('use -s') })
    expect(await shell.execute('stat /none')).toMatchObject({
      code: 1,
      stderr: "stat: cannot stat '/none': No such file or directory\n",
    })
  })

  it('rm removes a link and not what it leads to, cp follows one that is named', async () => {
    const { out } = testShell(TREE)
    await out('ln -s a.txt /link; cp /link /copy; rm /link; ln -s /none /dead; rm /dead; rm -f /dead')
    expect(await out('cat /a.txt /copy; ls /')).toBe('alpha\nalpha\na.txt\ncopy\ndir\nlines\n')
  })

  it('touch makes files, or does not, and sets times', async () => {
    const { out } = testShell(TREE)
    await out('touch /new /a.txt; touch -c /other')
    expect(await out('ls /; cat /a.txt')).toBe('a.txt\ndir\nlines\nnew\nalpha\n')
    expect(JSON.parse(await out('stat --json /a.txt'))[0].mtimeMs).toBeGreaterThan(1e12)
  })

  it('chmod takes octal numbers and changes', async () => {
    for (const [before, text, after] of [
      [0o644, '600', 0o600],
      [0o644, 'u+x', 0o744],
      [0o644, 'go-r', 0o600],
      [0o644, 'a=rw', 0o666],
      [0o600, '+x', 0o711],
      [0o644, 'u-w,g+w', 0o464],
      [0o777, 'o=', 0o770],
    ] as const) {
      expect([text, changedMode(before, text)]).toEqual([text, after])
    }
    const { shell, out } = testShell(TREE)
    await out('chmod -R go-rwx /dir')
    expect(await out('ls -l /dir')).toMatch(/^-rw------- .* b\.txt\ndrwx------ .* sub\n$/)
    expect(await shell.execute('chmod 999 /a.txt')).toMatchObject({ code: 2, stderr: expect.stringContaining('999') })
    expect(await shell.execute('chmod u+q /a.txt')).toMatchObject({ code: 2 })
  })
})

describe('head and tail', () => {
  it('print the ends of files by lines and bytes', async () => {
    const { out } = testShell(TREE)
    expect(await out('head -n 2 /lines')).toBe('line 1\nline 2\n')
    expect(await out('head -3 /lines')).toBe('line 1\nline 2\nline 3\n')
    expect(await out('head -c 4 /lines')).toBe('line')
    expect(await out('head -n 0 /lines')).toBe('')
    expect(await out('head /lines')).toBe(LINES.split('\n').slice(0, 10).join('\n').concat('\n'))
    expect(await out('tail -n 2 /lines')).toBe('line 29\nline 30\n')
    expect(await out('tail -1 /dir/sub/c')).toBe('gamma')
    expect(await out('tail -c 3 /lines')).toBe('30\n')
    expect(await out('tail -n 0 /lines')).toBe('')
    expect(await out('head -1 /a.txt /dir/b.txt')).toBe('==> /a.txt <==\nalpha\n\n==> /dir/b.txt <==\nbeta\n')
    expect(await out('tail -n 1 < /lines')).toBe('line 30\n')
  })

  it('find the end of a large file without reading it whole', async () => {
    const { out, kernel } = testShell({ '/big': `${'x'.repeat(400_000)}\nend\n` })
    expect(await out('tail -n 1 /big')).toBe('end\n')
    const read = kernel.calls.filter(({ call }) => call === 'read') as { args: { offset: number } }[]
    expect(Math.min(...read.map(({ args }) => args.offset))).toBeGreaterThan(300_000)
    expect((await out('tail -n 2 /big')).length).toBe(400_005)
  })

  it('say what is wrong', async () => {
    const { shell } = testShell(TREE)
    expect(await shell.execute('head -n x /lines')).toMatchObject({ code: 2 })
    expect(await shell.execute('tail /none /a.txt')).toMatchObject({
      code: 1,
      stdout: '==> /none <==\n\n==> /a.txt <==\nalpha\n',
      stderr: "tail: cannot open '/none' for reading: No such file or directory\n",
    })
  })

  it('tail -f goes on with what is appended, until Ctrl-C', async () => {
    const { shell, kernel } = testShell(TREE)
    const stop = new AbortController()
    let seen = ''
    const append = async () => {
      const { ref } = await kernel.client.call('open', { path: '/a.txt', mode: 'a' })
      await kernel.client.call('write', { ref, bytes: new TextEncoder().encode('more\n') })
      await kernel.client.call('close', { ref })
    }
    const onStdout = (text: string) => {
      seen += text
      if (seen === 'alpha\n') void append()
      else stop.abort()
    }
    expect(await shell.execute('tail -n 1 -f /a.txt', { signal: stop.signal, onStdout })).toMatchObject({ code: 130 })
    expect(seen).toBe('alpha\nmore\n')
    // Of a keg, events of the kernel do not tell.
    expect(kernel.calls).toContainEqual({ call: 'wait', args: { for: 'changes', path: '/a.txt' } })
  })

  it('tail -f waits for a file that goes and comes again', async () => {
    const { shell, kernel } = testShell(TREE)
    const stop = new AbortController()
    let seen = ''
    const onStdout = (text: string) => {
      seen += text
      if (seen === 'alpha\n') void kernel.client.call('change', { op: 'remove', path: '/a.txt' })
      else stop.abort()
    }
    let said = ''
    const onStderr = (text: string) => {
      said += text
      if (said.endsWith('No such file or directory\n')) void shell.execute('echo again > /a.txt')
    }
    const { code } = await shell.execute('tail -f /a.txt', { signal: stop.signal, onStdout, onStderr })
    expect(code).toBe(130)
    expect(seen).toBe('alpha\nagain\n')
    expect(said).toBe(
      "tail: '/a.txt' has become inaccessible: No such file or directory\ntail: '/a.txt' has appeared\n",
    )
  })

  it('tail -f of what a process prints ends with it', async () => {
    const { out, kernel } = testShell(TREE)
    kernel.programs.set('/p.js', (process) => {
      process.stdout('one\ntwo\n')
      return 0
    })
    const kid = (await out('run --detach /p.js')).trim()
    expect(await out(`tail -n 1 -f /proc/${kid}/stdout`)).toBe('two\n')
  })
})

describe('du, tree and find', () => {
  it('du sums up', async () => {
    const { out } = testShell(TREE)
    expect(await out('du /dir')).toBe('5          /dir/sub\n10         /dir\n')
    expect(await out('du -s /dir /a.txt')).toBe('10         /dir\n6          /a.txt\n')
    expect(await out('du -a -d 1 /dir')).toBe('5          /dir/b.txt\n5          /dir/sub\n10         /dir\n')
    expect(JSON.parse(await out('du -s --json /dir'))).toEqual([{ name: '/dir', bytes: 10 }])
  })

  it('tree draws', async () => {
    const { out, shell } = testShell(TREE)
    await out('ln -s a.txt /dir/l')
    expect(await out('tree /dir')).toBe('/dir\n├── b.txt\n├── l -> a.txt\n└── sub\n    └── c\n\n1 directory, 3 files\n')
    expect(await out('tree -L 1 /dir')).toContain('└── sub\n\n')
    expect(await out('tree -a /dir/sub')).toContain('├── .hidden\n')
    expect(await shell.execute('tree /a.txt')).toMatchObject({ code: 1 })
  })

  it('find looks for names, kinds, sizes, times', async () => {
    const { out, shell, kernel } = testShell(TREE)
    kernel.attributes.set('/a.txt', { mode: 0o644, mtimeMs: Date.now() })
    expect(await out("find /dir -name '*.txt'")).toBe('/dir/b.txt\n')
    expect(await out('find /dir -type d')).toBe('/dir\n/dir/sub\n')
    expect(await out("cd /dir; find -name '*'")).toBe('.\n./b.txt\n./sub\n./sub/.hidden\n./sub/c\n')
    expect(await out('find / -size +100c')).toBe('/lines\n')
    expect(await out('find / -type f -mtime -1')).toBe('/a.txt\n')
    expect(await out('find /dir -maxdepth 0')).toBe('/dir\n')
    expect(await out('find /dir/sub --print0 --name c')).toBe('/dir/sub/c\0')
    expect(await shell.execute('find / -type x')).toMatchObject({ code: 2 })
    expect(await shell.execute('find / -size 1q')).toMatchObject({ code: 2 })
    expect(await shell.execute('find /none')).toMatchObject({
      code: 1,
      stderr: 'find: /none: No such file or directory\n',
    })
  })
})
