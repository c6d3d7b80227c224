// rm, and what no program may take for a name: the empty operand, `.` and `..`.
import { describe, expect, it } from 'vitest'
import { testShell } from '../test-shell.ts'

const TREE = { '/a.txt': 'alpha\n', '/dir/b.txt': 'beta\n', '/dir/sub/c': 'gamma' }
const GONE = 'No such file or directory\n'

describe('an empty operand', () => {
  it('names nothing: not the current directory', async () => {
    const { shell, kernel } = testShell(TREE)
    await shell.execute('cd /dir')
    const before = [...kernel.entries.keys()]
    const refused: [string, string][] = [
      ['rm -r ""', `rm: cannot remove '': ${GONE}`],
      ['rm -ri ""', `rm: nobody here who could be asked (ENOTSUP)\n`],
      ['touch ""', `touch: cannot touch '': ${GONE}`],
      ['stat ""', `stat: cannot stat '': ${GONE}`],
      ['du ""', `du: cannot access '': ${GONE}`],
      ['find ""', `find: '': ${GONE}`],
      ['find "" -delete', `find: '': ${GONE}`],
      ['tree ""', `tree: '': ${GONE}`],
      ['mkdir ""', `mkdir: cannot create directory '': ${GONE}`],
      ['mkdir -p ""', `mkdir: cannot create directory '': ${GONE}`],
      ['mv "" x', `mv: cannot move '': ${GONE}`],
      ['mv b.txt ""', `mv: target '': ${GONE}`],
      ['cp -r "" /x', `cp: cannot copy '': ${GONE}`],
      ['cp b.txt ""', `cp: target '': ${GONE}`],
      ['ln -s "" x', `ln: failed to create symbolic link 'x': ${GONE}`],
      ['ln -sf b.txt ""', `ln: failed to create symbolic link '': ${GONE}`],
      ['cat ""', `cat: '': ${GONE}`],
      ['chmod 600 ""', `chmod: cannot change the mode of '': ${GONE}`],
      ['cd ""', `cd: '': ${GONE}`],
      ['echo x > ""', `sh: '': ${GONE}`],
      ['cat < ""', `sh: '': ${GONE}`],
      ['tail ""', `tail: cannot open '' for reading: ${GONE}`],
      ['wc ""', `wc: '': ${GONE}`],
      ['fsck ""', `fsck: cannot check '': ${GONE}`],
      ['keg undo ""', `keg undo: cannot undo '': ${GONE}`],
    ]
    for (const [line, stderr] of refused) {
      expect(await shell.execute(line), line).toMatchObject({ code: 1, stderr })
    }
    expect(await shell.execute('ls ""')).toMatchObject({ code: 2, stderr: `ls: cannot access '': ${GONE}` })
    expect([...kernel.entries.keys()]).toEqual(before)
  })

  it('is nothing to rm -f', async () => {
    const { shell, kernel } = testShell(TREE)
    expect(await shell.execute('cd /dir; rm -rf ""')).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(kernel.text('/dir/b.txt')).toBe('beta\n')
  })
})

describe('a path that is too long', () => {
  it('is told so', async () => {
    const { shell } = testShell(TREE)
    const long = '/x'.repeat(3000)
    expect(await shell.execute(`rm ${long}`)).toMatchObject({
      code: 1,
      stderr: `rm: cannot remove '${long}': File name too long\n`,
    })
    expect(await shell.execute(`cat < ${long}`)).toMatchObject({ code: 1, stderr: `sh: ${long}: File name too long\n` })
    expect(await shell.execute(`echo ${long}*`)).toMatchObject({ code: 0, stdout: `${long}*\n` })
  })
})

describe('rm', () => {
  it('removes no . and no .., but a directory above by its name', async () => {
    const { shell, kernel } = testShell(TREE)
    await shell.execute('cd /dir/sub')
    for (const operand of ['.', '..', './', '../..', '/dir/.', '../', '../sub/.']) {
      expect(await shell.execute(`rm -rf ${operand}`), operand).toMatchObject({
        code: 1,
        stderr: `rm: refusing to remove '.' or '..' directory: skipping '${operand}'\n`,
      })
    }
    expect(kernel.text('/dir/sub/c')).toBe('gamma')
    expect(await shell.execute('rm -r /dir')).toMatchObject({ code: 0 })
    expect(kernel.entries.has('/dir')).toBe(false)
  })

  it('says with -v what was removed; -d removes what is empty, -R what -r does', async () => {
    const { shell, out, kernel } = testShell(TREE)
    await out('mkdir /empty')
    expect(await out('rm -v /a.txt')).toBe("removed '/a.txt'\n")
    expect(await out('rm -dv /empty')).toBe("removed directory '/empty'\n")
    expect(await shell.execute('rm -d /dir')).toMatchObject({
      code: 1,
      stderr: "rm: cannot remove '/dir': Directory not empty\n",
    })
    await out('rm -Rf /dir')
    expect([...kernel.entries.keys()]).toEqual(['/'])
  })

  it('removes what is named together in one change, or one by one where that fails', async () => {
    const { shell, out, kernel } = testShell({ ...TREE, '/x': '', '/y': '', '/z': '' })
    const removals = () => kernel.calls.filter(({ args }) => (args as { op?: string }).op === 'remove').length
    expect(await out('rm -rv /dir /x')).toBe("removed directory '/dir'\nremoved '/x'\n")
    expect(removals()).toBe(1)
    expect(await shell.execute('rm -v /y /none /y /a.txt')).toEqual({
      code: 1,
      stdout: "removed '/y'\nremoved '/a.txt'\n",
      stderr: `rm: cannot remove '/none': ${GONE}rm: cannot remove '/y': ${GONE}`,
    })
    expect([...kernel.entries.keys()]).toEqual(['/', '/z'])
  })

  it('takes as many together as one change may have', async () => {
    const names = Array.from({ length: 1030 }, (_, i) => `/many/f${i}`)
    const { shell, kernel } = testShell(Object.fromEntries(names.map((name) => [name, ''])))
    expect(await shell.execute(`rm ${names.join(' ')}`)).toMatchObject({ code: 0, stderr: '' })
    const counts = kernel.calls.flatMap(({ args }) => (args as { also?: string[] }).also?.length ?? [])
    expect(counts).toEqual([1023, 5])
    expect([...kernel.entries.keys()]).toEqual(['/', '/many'])
  })
})
