// cp and mv: what they refuse, links, and their options.
import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { testShell } from '../test-shell.ts'

const TREE = { '/a.txt': 'alpha\n', '/dir/b.txt': 'beta\n', '/dir/sub/c': 'gamma' }

describe('mv', () => {
  it('moves no . and no .., but a directory above by its name', async () => {
    const { shell, out } = testShell(TREE)
    await out('cd /dir/sub')
    for (const [source, target] of [
      ['.', '/x'],
      ['..', '/x'],
      ['../.', '/x'],
      ['./', '/x'],
    ]) {
      expect(await shell.execute(`mv ${source} ${target}`)).toMatchObject({
        code: 1,
        stderr: `mv: cannot move '${source}' to '${target}': Device or resource busy\n`,
      })
    }
    await out('mv /dir /moved')
    expect(await out('cat /moved/sub/c')).toBe('gamma')
  })

  it('refuses to put a file in its own place, or a link in that of what it leads to', async () => {
    const { shell, out } = testShell(TREE)
    await out('cd /; ln -s a.txt link')
    for (const [source, target] of [
      ['a.txt', 'a.txt'],
      ['a.txt', './a.txt'],
      ['link', 'a.txt'],
    ]) {
      expect(await shell.execute(`mv ${source} ${target}`)).toMatchObject({
        code: 1,
        stderr: `mv: '${source}' and '${target}' are the same file\n`,
      })
    }
    expect(await out('cat a.txt')).toBe('alpha\n')
  })

  it('replaces nothing with -n, replaces with -f, says with -v what was moved', async () => {
    const { out } = testShell(TREE)
    await out('cd /; mv -n a.txt dir/b.txt')
    expect(await out('cat a.txt dir/b.txt')).toBe('alpha\nbeta\n')
    expect(await out('mv -fv a.txt dir/b.txt')).toBe("renamed 'a.txt' -> 'dir/b.txt'\n")
    expect(await out('mv -v dir/b.txt dir/sub')).toBe("renamed 'dir/b.txt' -> 'dir/sub/b.txt'\n")
    expect(await out('cat dir/sub/b.txt')).toBe('alpha\n')
  })
})

describe('mv -n', () => {
  it('replaces nothing that another tab makes at the same moment, alone or together with others', async () => {
    const { out, kernel } = testShell({ ...TREE, '/x': 'x', '/y': 'y' })
    kernel.intercept = (_call, args) => {
      const { op } = args as { op?: string }
      if (op === 'move') for (const path of ['/to', '/dir/x']) kernel.put(path, 'of another tab')
    }
    expect(await out('mv -nv /a.txt /to')).toBe('')
    kernel.entries.delete('/dir/x')
    expect(await out('mv -nv /x /y /dir')).toBe("renamed '/y' -> '/dir/y'\n")
    expect(['/to', '/a.txt', '/dir/x', '/x', '/dir/y'].map((path) => kernel.text(path))).toEqual([
      ...['of another tab', 'alpha\n', 'of another tab', 'x', 'y'],
    ])
  })
})

describe('mv of several', () => {
  it('moves what is named together in one change, or one by one where that fails', async () => {
    const { shell, out, kernel } = testShell({ ...TREE, '/x': 'x', '/y': 'y', '/z/sub/w': 'w' })
    const moves = () => kernel.calls.filter(({ args }) => (args as { op?: string }).op === 'move').length
    expect(await out('mv -v /x /y /a.txt /dir')).toBe(
      "renamed '/x' -> '/dir/x'\nrenamed '/y' -> '/dir/y'\nrenamed '/a.txt' -> '/dir/a.txt'\n",
    )
    expect(moves()).toBe(1)
    expect(await shell.execute('mv -v /dir/x /none /dir/sub /dir/y /z')).toEqual({
      code: 1,
      stdout: "renamed '/dir/x' -> '/z/x'\nrenamed '/dir/sub' -> '/z/sub'\nrenamed '/dir/y' -> '/z/y'\n",
      stderr: "mv: cannot move '/none': No such file or directory\n",
    })
    expect(moves()).toBe(2)
  })

  it('takes as many together as one change may have', async () => {
    const names = Array.from({ length: 1030 }, (_, i) => `/many/f${i}`)
    const { shell, kernel } = testShell({ ...Object.fromEntries(names.map((name) => [name, ''])), '/to/x': '' })
    expect(await shell.execute(`mv ${names.join(' ')} /to`)).toMatchObject({ code: 0, stderr: '' })
    const counts = kernel.calls.flatMap(({ args }) => (args as { also?: unknown[] }).also?.length ?? [])
    expect(counts).toEqual([1023, 5])
    expect(kernel.entries.has('/many/f1029')).toBe(false)
  })
})

describe.each(['mv', 'cp'])('%s of several of one name', (program) => {
  it('does not overwrite what it has just put there, whose content nobody would have any more', async () => {
    const { shell, kernel } = testShell({ '/a/f': 'one', '/b/f': 'two', '/to/g': '' })
    expect(await shell.execute(`${program} /a/f /b/f /to`)).toEqual({
      code: 1,
      stdout: '',
      stderr: `${program}: will not overwrite just-created '/to/f' with '/b/f'\n`,
    })
    expect(kernel.text('/to/f')).toBe('one')
    expect(kernel.text('/b/f')).toBe('two')
  })

  it('says that the same was named twice', async () => {
    const { shell, kernel } = testShell({ '/a/f': 'one', '/to/g': '' })
    expect(await shell.execute(`${program} /a/f /a/f /to`)).toEqual({
      code: 0,
      stdout: '',
      stderr: `${program}: warning: source file '/a/f' specified more than once\n`,
    })
    expect(kernel.text('/to/f')).toBe('one')
  })

  it('replaces with -n nothing that it has just put there, without a word', async () => {
    const { out, kernel } = testShell({ '/a/f': 'one', '/b/f': 'two', '/to/g': '' })
    expect(await out(`${program} -n /a/f /b/f /to`)).toBe('')
    expect(kernel.text('/to/f')).toBe('one')
    expect(kernel.text('/b/f')).toBe('two')
  })
})

describe('cp', () => {
  it('copies links as links with -r, and what they lead to without', async () => {
    const { shell, out } = testShell(TREE)
    await out('cd /; ln -s a.txt link; ln -s /none dead; ln -s loop loop; ln -s dir to-dir')
    await out('cp -r link l; cp -r dead d; cp -r loop o; cp -r to-dir t; cp link file; cp -r link dead loop dir')
    expect(await out('ls -l l d o t dir')).toMatch(/ l -> a\.txt\n.* o -> loop\n.* t -> dir\n/)
    expect(await out('stat d dir/dead dir/loop dir/link')).toMatch(/-> \/none\n.*-> \/none\n.*-> loop\n.*-> a\.txt\n/s)
    expect(await out('stat file')).toContain('Type:     file\n')
    expect(await shell.execute('cp dead x')).toMatchObject({
      stderr: "cp: cannot copy 'dead': No such file or directory\n",
    })
    expect(await shell.execute('cp loop x')).toMatchObject({
      stderr: "cp: cannot copy 'loop': Too many levels of symbolic links\n",
    })
  })

  it('refuses to put a file in its own place, or a link in that of what it leads to', async () => {
    const { shell, out } = testShell(TREE)
    await out('cd /; ln -s a.txt link')
    for (const line of ['cp a.txt a.txt', 'cp a.txt ./a.txt', 'cp link a.txt', 'cp -r link a.txt', 'cp -r link link']) {
      const [, source, target] = /(\S+) (\S+)$/.exec(line) ?? []
      expect(await shell.execute(line), line).toMatchObject({
        code: 1,
        stderr: `cp: '${source}' and '${target}' are the same file\n`,
      })
    }
  })

  it('copies what is in a directory that is named . into another', async () => {
    const { out, shell, kernel } = testShell(TREE)
    await out('cd /; mkdir x y; cp -r dir/. x; cd dir; cp -r . /y')
    for (const path of ['/x/b.txt', '/x/sub/c', '/y/b.txt', '/y/sub/c'])
      expect(kernel.entries.has(path), path).toBe(true)
    expect(await shell.execute('cp -r . sub')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('into itself'),
    })
  })

  it('keeps mode and time with -p and -a', async () => {
    const { out, kernel } = testShell(TREE)
    kernel.attributes.set('/dir/b.txt', { mode: 0o600, mtimeMs: 5_000 })
    kernel.attributes.set('/dir', { mode: 0o700, mtimeMs: 6_000 })
    await out('cd /; cp -p dir/b.txt p; mkdir /into; mkdir /into/dir; cp -a dir into')
    const kept = { mode: 0o600, mtimeMs: 5_000 }
    expect(JSON.parse(await out('stat --json p into/dir/b.txt into/dir'))).toMatchObject([
      kept,
      kept,
      { mode: 0o700, mtimeMs: 6_000 },
    ])
  })

  it('replaces nothing with -n, says with -v what was copied, takes -R for -r', async () => {
    const { out } = testShell(TREE)
    await out('cd /; cp -n a.txt dir/b.txt; mkdir -p x/dir; echo old > x/dir/b.txt; cp -Rn dir x')
    expect(await out('cat dir/b.txt x/dir/b.txt x/dir/sub/c')).toBe('beta\nold\ngamma')
    expect(await out('cp -v a.txt dir')).toBe("'a.txt' -> 'dir/a.txt'\n")
    await out('cp -f a.txt dir/b.txt')
    expect(await out('cat dir/b.txt')).toBe('alpha\n')
  })

  it('goes on where something in a directory cannot be copied, and names it', async () => {
    const { shell, kernel } = testShell({ ...TREE, '/to/dir/b.txt/x': 'in the way', '/file': 'stays' })
    expect(await shell.execute('cp -rv /dir /to')).toEqual({
      code: 1,
      stdout: "'/dir' -> '/to/dir'\n",
      stderr: "cp: cannot copy '/dir/b.txt': Is a directory\n",
    })
    expect(kernel.text('/to/dir/sub/c')).toBe('gamma')
    expect(await shell.execute('mkdir /empty; cp -r /empty /file')).toMatchObject({
      code: 1,
      stderr: "cp: cannot copy '/empty': Not a directory\n",
    })
    expect(kernel.text('/file')).toBe('stays')
  })

  it('goes into a directory that another tab makes at the same moment', async () => {
    const { out, kernel } = testShell(TREE)
    let done = false
    kernel.intercept = (_call, args) => {
      const { op, to } = args as { op?: string; to?: string }
      if (done || op !== 'copy' || to !== '/to') return
      done = true
      kernel.put('/to/mine', 'of another tab')
      throw new OsError('ENOTEMPTY', '/to is not empty')
    }
    await out('cp -r /dir /to')
    expect(await out('cat /to/mine /to/b.txt /to/sub/c')).toBe('of another tabbeta\ngamma')
  })

  it('replaces with -n nothing that another tab makes at the same moment', async () => {
    const { out, kernel } = testShell(TREE)
    kernel.intercept = (_call, args) => {
      const { op, to } = args as { op?: string; to?: string }
      if (op === 'copy' && to === '/to') kernel.put('/to', 'of another tab')
    }
    expect(await out('cp -nv /a.txt /to')).toBe('')
    expect(kernel.text('/to')).toBe('of another tab')
  })

  it('replaces with -f what must not be written', async () => {
    const { shell, out, kernel } = testShell(TREE)
    kernel.attributes.set('/dir/b.txt', { mode: 0o444, mtimeMs: 0 })
    kernel.intercept = (_call, args) => {
      const { op, to } = args as { op?: string; to?: string }
      if (op === 'copy' && to && kernel.entries.has(to)) throw new OsError('EACCES', `${to} must not be written`)
    }
    expect(await shell.execute('cp /a.txt /dir/b.txt')).toMatchObject({
      code: 1,
      stderr: "cp: cannot copy '/a.txt': Permission denied\n",
    })
    await out('cp -f /a.txt /dir/b.txt')
    expect(kernel.text('/dir/b.txt')).toBe('alpha\n')
  })
})

describe('cp and mv', () => {
  it('name the target that is no directory', async () => {
    const { shell, out, kernel } = testShell(TREE)
    const gone = "target 'nope/': No such file or directory\n"
    const refused: [string, string][] = [
      ['cp a.txt nope/', `cp: ${gone}`],
      ['mv a.txt nope/', `mv: ${gone}`],
      ['cp a.txt dir/b.txt nope', "cp: target 'nope': No such file or directory\n"],
      ['mv dir/b.txt dir/sub a.txt', "mv: target 'a.txt': Not a directory\n"],
      ['cp dir/b.txt a.txt/', "cp: target 'a.txt/': Not a directory\n"],
    ]
    await out('cd /')
    for (const [line, stderr] of refused) expect(await shell.execute(line), line).toMatchObject({ code: 1, stderr })
    await out('cp -r dir new/; mv new/ newer/')
    expect(kernel.text('/newer/b.txt')).toBe('beta\n')
  })
})
