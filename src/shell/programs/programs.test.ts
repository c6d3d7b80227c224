import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { HostFile } from '../host.ts'
import { testShell } from '../test-shell.ts'
import { ackText } from '../transfer.ts'
import { programs } from './index.ts'

const TREE = { '/a.txt': 'alpha\n', '/dir/b.txt': 'beta\n', '/dir/sub/c': 'gamma', '/dir/.hidden': '' }
const KID = /^K-[0-9a-f]{64}$/

describe('every program', () => {
  it('explains itself with --help and refuses an unknown option with exit code 2', async () => {
    const { shell } = testShell()
    for (const { name, help } of programs) {
      expect(await shell.execute(`${name} --help`)).toEqual({ stdout: help, stderr: '', code: 0 })
      expect(help).toMatch(new RegExp(`^Usage: ${name}[ \\n]`))
      if (name === 'echo') continue // prints what it does not know, as everywhere
      const { stderr, code } = await shell.execute(`${name} --no-such-option`)
      expect({ name, stderr, code }).toEqual({
        name,
        stderr: `${name}: unrecognized option '--no-such-option'\nTry '${name} --help' for more information.\n`,
        code: 2,
      })
    }
  })

  it('prints pure JSON where it lists something', async () => {
    const { out } = testShell(TREE)
    for (const line of [
      'help',
      'peers',
      'ps',
      'df',
      'ls',
      'ls -a /dir',
      'env',
      'export',
      'history',
      'uname',
      'invite',
      'kid /a.txt',
      'dmesg',
    ]) {
      JSON.parse(await out(`${line} --json`))
    }
  })

  it('is described in docs/shell.md', () => {
    const text = readFileSync(new URL('../../../docs/shell.md', import.meta.url), 'utf8')
    const described = [...text.matchAll(/^### `([a-z]+)/gm)].map((match) => match[1])
    expect(described.toSorted()).toEqual(programs.map(({ name }) => name).toSorted())
    for (const { name, help } of programs) {
      for (const [, option] of help.matchAll(/^ {2}(?:-.,| {3}) --([a-z-]+)/gm)) {
        if (option === 'help') continue
        const section = text.slice(text.indexOf(`### \`${name}`)).split('\n### ')[0]
        expect(section, `${name} --${option}`).toContain(`--${option}`)
      }
    }
  })
})

describe('ls', () => {
  it('lists names one per line when nobody looks', async () => {
    const { out } = testShell(TREE)
    expect(await out('ls /dir')).toBe('b.txt\nsub\n')
    expect(await out('ls -a /dir')).toBe('.\n..\n.hidden\nb.txt\nsub\n')
    expect(await out('ls /dir /a.txt')).toBe('/a.txt\n\n/dir:\nb.txt\nsub\n')
    expect(await out('cd /dir; ls -l')).toMatch(/^-rw-r--r-- {2}5 .* b\.txt\ndrwxr-xr-x {2}0 .* sub\n$/)
  })

  it('gives rows with a path in JSON', async () => {
    const { out } = testShell(TREE)
    const row = { name: 'b.txt', path: '/dir/b.txt', kind: 'file', size: 5, mtimeMs: 0, mode: 0o644 }
    expect(JSON.parse(await out('ls --json /dir'))[0]).toEqual(row)
  })

  it('goes on after a path that is not there and exits with 2', async () => {
    const { shell } = testShell(TREE)
    expect(await shell.execute('ls /none /a.txt')).toEqual({
      stdout: '/a.txt\n',
      stderr: "ls: cannot access '/none': No such file or directory\n",
      code: 2,
    })
  })

  it('reads directories of any length', async () => {
    const { out } = testShell(
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`/f${String(i).padStart(2, '0')}`, ''])),
    )
    expect((await out('ls')).split('\n')).toHaveLength(21)
  })
})

describe('cat', () => {
  it('prints files and goes on after one that fails', async () => {
    const { shell } = testShell(TREE)
    expect(await shell.execute('cat a.txt none dir dir/b.txt')).toEqual({
      stdout: 'alpha\nbeta\n',
      stderr: 'cat: none: No such file or directory\ncat: dir: Is a directory\n',
      code: 1,
    })
  })
})

describe('cp, mv, rm and mkdir', () => {
  it('copy files, into directories and as new names', async () => {
    const { out, kernel } = testShell(TREE)
    await out('cp a.txt copy; cp a.txt copy dir; cp -r dir dir2; cp -r dir dir2')
    expect(kernel.text('/copy')).toBe('alpha\n')
    expect(kernel.text('/dir/copy')).toBe('alpha\n')
    expect(kernel.text('/dir2/sub/c')).toBe('gamma')
    expect(kernel.text('/dir2/dir/sub/c')).toBe('gamma')
  })

  it('refuse what makes no sense', async () => {
    const { shell } = testShell(TREE)
    const refused: [string, string][] = [
      ['cp dir x', "cp: cannot copy 'dir': Is a directory\n"],
      ['cp a.txt a.txt', 'same file'],
      ['cp -r dir dir/sub/x', 'into itself'],
      ['cp a.txt dir/b.txt none', "cp: target 'none': No such file or directory\n"],
      ['mv none x', "mv: cannot move 'none': No such file or directory\n"],
      ['rm dir', "rm: cannot remove 'dir': Is a directory\n"],
      ['rm none', "rm: cannot remove 'none': No such file or directory\n"],
      ['rm -r /', "rm: cannot remove '/': Operation not permitted\n"],
      ['mkdir dir', "mkdir: cannot create directory 'dir': File exists\n"],
      ['mkdir x/y', "mkdir: cannot create directory 'x/y': No such file or directory\n"],
      ['cp a.txt', 'cp: missing operand'],
    ]
    for (const [line, message] of refused) {
      const { stderr, code } = await shell.execute(line)
      expect(stderr, line).toContain(message)
      expect(code, line).toBe(line === 'cp a.txt' ? 2 : 1)
    }
  })

  it('move, remove and make', async () => {
    const { out, kernel } = testShell(TREE)
    await out('mv a.txt dir; mv dir moved; mkdir -p x/y x/y; rm -rf moved/sub none; rm moved/a.txt')
    expect([...kernel.entries.keys()].toSorted()).toEqual([
      '/',
      '/moved',
      '/moved/.hidden',
      '/moved/b.txt',
      '/x',
      '/x/y',
    ])
  })

  it('remove asks with -i and keeps what is not confirmed', async () => {
    const { shell, kernel, host } = testShell(TREE)
    const asked: string[] = []
    Object.assign(host, { confirm: async (question: string) => asked.push(question) === 1 })
    await shell.execute('rm -i a.txt dir/b.txt')
    expect(asked).toEqual(["rm: remove 'a.txt'?", "rm: remove 'dir/b.txt'?"])
    expect(kernel.text('/a.txt')).toBeUndefined()
    expect(kernel.text('/dir/b.txt')).toBe('beta\n')
  })
})

describe('put and get', () => {
  const file = (path: string, ...pieces: string[]): HostFile => ({
    path,
    size: pieces.join('').length,
    async *read() {
      for (const piece of pieces) yield new TextEncoder().encode(piece)
    },
  })

  it('store chosen files under their names, or one under a new name', async () => {
    const { shell, kernel, host } = testShell(TREE)
    let files = [file('one', 'a', 'b'), file('folder/two', 'c'), file('../../evil', 'd')]
    Object.assign(host, { pickFiles: async () => files })
    expect((await shell.execute('cd dir; put')).stdout).toBe(
      ['/dir/one  2 B', '/dir/folder/two  1 B', '/dir/evil  1 B']
        .map((line) => `${line}  kept by one tab only\n`)
        .join(''),
    )
    files = [file('x', 'y')]
    await shell.execute('put /renamed; put /dir; put /new/')
    expect(['/renamed', '/dir/x', '/new/x'].map((path) => kernel.text(path))).toEqual(['y', 'y', 'y'])
  })

  it('say how safe a file is, and fail when it is less safe than asked', async () => {
    const { shell, host } = testShell(TREE)
    Object.assign(host, { pickFiles: async () => [file('one', 'a')] })
    expect(await shell.execute('put --ack=local')).toMatchObject({ code: 0 })
    const refused = await shell.execute('put --ack=majority')
    expect(refused).toMatchObject({ stdout: '', code: 1 })
    expect(refused.stderr).toMatch(/^put: one: .*\(ENOQUORUM\)\n$/)
    expect(await shell.execute('put --ack=three')).toMatchObject({ code: 2 })
    expect(ackText({ level: 'majority', devices: 1 })).toBe('kept by several tabs of one device')
    expect(ackText({ level: 'all', devices: 3 })).toBe('kept on 3 devices')
  })

  it('say how much of a file was here already', async () => {
    const { shell, host, kernel } = testShell(TREE)
    Object.assign(host, { pickFiles: async () => [file('one', 'a')] })
    kernel.alreadyHere = 312 * 1024 * 1024
    expect((await shell.execute('put')).stdout).toBe('/one  1 B  312 MiB were here already  kept by one tab only\n')
    kernel.alreadyHere = 1000
    expect((await shell.execute('put')).stdout).toBe('/one  1 B  kept by one tab only\n')
  })

  it('leave nothing of a file that fails half way', async () => {
    const { shell, kernel, host } = testShell()
    const broken: HostFile = {
      path: 'broken',
      size: 2,
      async *read() {
        yield new Uint8Array(1)
        throw new OsError('EIO', 'the disk is gone')
      },
    }
    Object.assign(host, { pickFiles: async () => [broken, file('fine', 'z')] })
    expect(await shell.execute('put')).toEqual({
      stdout: '/fine  1 B  kept by one tab only\n',
      stderr: 'put: broken: the disk is gone (EIO)\n',
      code: 1,
    })
    expect(kernel.entries.has('/broken')).toBe(false)
  })

  it('store small files several at a time, and tell of them in order', async () => {
    const { shell, host, kernel } = testShell()
    let begun = 0
    const all = Promise.withResolvers<void>()
    const waiting = (path: string): HostFile => ({
      ...file(path),
      async *read() {
        if (++begun === 3) all.resolve()
        await all.promise
        if (path === 'b') throw new OsError('EIO', 'the disk is gone')
        yield utf8(path)
      },
    })
    // The last has the name of the first, and comes after it.
    const files = [waiting('a'), waiting('b'), waiting('d/c'), file('a', 'again')]
    Object.assign(host, { pickFiles: async () => files })
    expect(await shell.execute('put')).toEqual({
      stdout: ['/a  1 B', '/d/c  3 B', '/a  5 B'].map((line) => `${line}  kept by one tab only\n`).join(''),
      stderr: 'put: b: the disk is gone (EIO)\n',
      code: 1,
    })
    expect(kernel.text('/a')).toBe('again')
  })

  it('tell of what was stored, also where the disk is full for one, or whoever gives them fails', async () => {
    const { shell, host, kernel } = testShell()
    const full: HostFile = {
      ...file('b'),
      async *read() {
        yield utf8('x')
        throw new OsError('ENOSPC', 'full')
      },
    }
    Object.assign(host, { pickFiles: async () => [file('a', 'x'), full, file('c', 'x')] })
    const said = await shell.execute('put')
    expect(said).toMatchObject({ code: 1, stdout: expect.stringMatching(/^\/a .*\n\/c .*\n$/) })
    expect(said.stderr).toBe('put: b: No space left on device\n')
    async function* broken() {
      yield file('d', 'x')
      throw new OsError('EIO', 'a folder that cannot be read')
    }
    Object.assign(host, { pickFiles: async () => Object.assign(broken(), { length: 2 }) })
    expect(await shell.execute('put')).toMatchObject({ code: 1, stdout: expect.stringMatching(/^\/d .*\n$/) })
    expect(kernel.text('/d')).toBe('x')
  })

  it('hand a file to the host', async () => {
    const { shell, host } = testShell(TREE)
    const taken: string[] = []
    const download = async (name: string, content: AsyncIterable<Uint8Array>) => {
      for await (const piece of content) taken.push(name, new TextDecoder().decode(piece))
    }
    Object.assign(host, { download })
    expect((await shell.execute('get dir/b.txt nothing')).stderr).toBe('get: nothing: No such file or directory\n')
    expect(taken).toEqual(['b.txt', 'beta\n'])
  })

  it('hand a folder to the host as an archive', async () => {
    const { shell, host, kernel } = testShell(TREE)
    const folder = mkdtempSync(join(tmpdir(), 'brittlestar-get-'))
    const download = async (name: string, content: AsyncIterable<Uint8Array>) => {
      const parts: Uint8Array[] = []
      for await (const piece of content) parts.push(piece)
      writeFileSync(join(folder, name), concat(parts))
      execFileSync('tar', ['-xf', name], { cwd: folder })
    }
    Object.assign(host, { download })
    try {
      await shell.execute('ln -s b.txt /dir/link; mkdir /dir/empty')
      expect(await shell.execute('get dir')).toEqual({ stdout: '', stderr: '', code: 0 })
      const files = [...kernel.entries.keys()].filter((path) => path.startsWith('/dir/'))
      for (const path of files) expect(existsSync(join(folder, path)), path).toBe(true)
      expect(readFileSync(join(folder, 'dir/link'), 'utf8')).toBe('beta\n')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('ask for a folder when told', async () => {
    const { shell, host } = testShell(TREE)
    const asked: unknown[] = []
    const pickFiles = async (_signal: AbortSignal, options: unknown) => {
      asked.push(options)
      return [file('folder/a/x', 'y')]
    }
    Object.assign(host, { pickFiles })
    expect((await shell.execute('put -r /up')).stdout).toContain('/up/folder/a/x  1 B')
    await shell.execute('put')
    expect(asked).toEqual([{ folder: true }, { folder: false }])
  })

  it('say what the host lacks', async () => {
    const { shell } = testShell(TREE)
    for (const [line, words] of [
      ['put', 'put: no file picker here'],
      ['get a.txt', 'get: no downloads here'],
      ['clear', 'clear: no screen here'],
      ['rm -i a.txt', 'rm: nobody here'],
      ['invite --open', 'invite: no browser here'],
    ]) {
      expect(await shell.execute(line ?? '')).toMatchObject({ code: 1, stderr: expect.stringContaining(words ?? '') })
    }
  })
})

describe('the cluster', () => {
  it('is listed as the kernel describes it', async () => {
    const { shell, out, kernel } = testShell()
    const peer = {
      id: 'node-abcdefgh',
      device: 'd'.repeat(32),
      state: 'alive',
      direct: true,
      rttMs: 1.5,
      slots: 2,
      running: 0,
      storage: 'ample',
      clockMs: null,
      knownMs: 7,
    } as const
    kernel.peers = [peer]
    kernel.storage = [
      {
        node: 'node-abcdefgh',
        device: 'd',
        usedBytes: 1536,
        quotaBytes: 3072,
        blocks: 2,
        persisted: true,
        storage: 'ample',
      },
    ]
    expect(JSON.parse(await out('peers --json'))).toEqual([peer])
    expect(JSON.parse(await out('df --json'))).toEqual(kernel.storage)
    expect(await out('peers')).toBe(
      'NODE      DEVICE    STATE  DIRECT     RTT  RUNNING\nabcdefgh  dddddddd  alive  yes     1.5 ms      0/2\n',
    )
    expect(await out('df')).toContain('1.5 KiB  3.0 KiB   50%')
    kernel.storage = kernel.storage.map((row) => ({ ...row, storage: 'exhausted' }))
    expect(await out('df')).toContain('1.5 KiB  3.0 KiB  full')
    kernel.peers = [peer, { ...peer, id: 'node-12345678', state: 'frozen' }]
    expect(await shell.execute('df --json')).toEqual({
      code: 0,
      stdout: await out('df --json 2> /dev/null'),
      stderr: 'df: 12345678 (frozen) did not answer: its storage is not shown\n',
    })
    expect(await out('uname; uname -n; uname -r')).toBe(`Brittlestar\n${kernel.node.id}\n0.1.0\n`)
    expect(await out('uname -a')).toBe(`Brittlestar ${kernel.node.id} 0.1.0 test slot 0 device ${kernel.node.device}\n`)
  })

  it('invites with a link and a QR code, or says why not', async () => {
    const { shell, out, kernel } = testShell()
    const shown = await out('invite')
    expect(shown.split('\n')[0]).toBe('https://192.0.2.1:8443/')
    expect(shown).toMatch(/[▀▄█]{10}/)
    kernel.node = { ...kernel.node, inviteUrl: null }
    expect(await shell.execute('invite')).toMatchObject({ code: 1, stderr: expect.stringContaining('no relay') })
  })
})

describe('lookup and dmesg', () => {
  it('show a record of the directory, also by the path of a file', async () => {
    const { out, shell, kernel } = testShell({ '/a.txt': 'a' })
    const record = { nodes: ['node-one', 'node-two'], seq: 7, ms: 1.5 }
    kernel.records.set('peer/node-one', record)
    expect(JSON.parse(await out('lookup --json peer node-one'))).toEqual(record)
    expect(await out('lookup peer node-one')).toBe('node-one\nnode-two\n')
    kernel.records.set(`provider/${(await out('kid --cid /a.txt')).trim()}`, record)
    expect(await out('lookup provider /a.txt')).toBe('node-one\nnode-two\n')
    expect(await shell.execute('lookup peer nobody')).toMatchObject({ code: 1, stdout: '' })
    expect(await shell.execute('lookup planet earth')).toMatchObject({ code: 2 })
  })

  it('show messages from the level asked for', async () => {
    const { out, shell, kernel } = testShell()
    const line = { atMs: 0, area: 'rpc', fields: {} }
    kernel.log = [
      { ...line, level: 'debug', message: 'small' },
      { ...line, level: 'warn', message: 'grave', fields: { peer: 'x' } },
    ]
    expect(JSON.parse(await out('dmesg --json'))).toEqual(kernel.log)
    expect((await out('dmesg')).split('\n')).toHaveLength(3)
    expect(await out('dmesg --level info')).toMatch(/^\S+ \S+ warn +rpc: grave \{"peer":"x"\}\n$/)
    expect(await shell.execute('dmesg --level loud')).toMatchObject({ code: 2 })
  })
})

describe('kid', () => {
  it('prints KIDs and CIDs', async () => {
    const { out } = testShell(TREE)
    expect((await out('kid /a.txt')).trim()).toMatch(KID)
    expect(await out('kid --cid /a.txt')).toBe('bafkrei06\n')
    expect((await out('kid /a.txt dir/b.txt')).split('\n')[1]).toMatch(/^K-[0-9a-f]{64} {2}dir\/b\.txt$/)
  })
})

describe('login', () => {
  it('takes a name and its directory, which the device remembers', async () => {
    let name: string | undefined
    const users = {
      name: () => name,
      remember: (user: string) => {
        name = user
      },
    }
    const { out, kernel } = testShell({}, { users })
    expect(await out('whoami; echo ~; login ann; whoami; pwd; echo hi > ~/note')).toBe(
      'guest\n/home/guest\nann\n/home/ann\n',
    )
    expect(await testShell({}, { users }).out('whoami; cd; pwd')).toBe('ann\n/home/ann\n')
    expect(kernel.entries.get('/home/ann/note')).toEqual(utf8('hi\n'))
    expect(await out('login ben | cat; whoami; login guest; login ann; cat note')).toBe('ann\nhi\n')
  })

  it('refuses what is no name, and changes nothing where there can be no directory', async () => {
    const { shell, out, kernel } = testShell()
    for (const bad of ['../x', 'Ann', '', 'a/b', '-a', 'x'.repeat(33), '1a']) {
      expect(await shell.execute(`login -- '${bad}'`)).toMatchObject({ code: 2, stdout: '' })
    }
    kernel.intercept = (call) => {
      if (call === 'change') throw new OsError('ENOTDIR', '/home is not a directory')
    }
    expect(await shell.execute('login ann')).toMatchObject({
      code: 1,
      stderr: "login: cannot make '/home/ann': Not a directory\n",
    })
    expect(await out('whoami; pwd')).toBe('guest\n/\n')
  })

  it('asks for no change where the directory is there', async () => {
    const { out, kernel } = testShell({ '/home/ann/x': '', '/home/guest/y': '' })
    kernel.intercept = (call) => {
      if (call === 'change') throw new OsError('EHOSTUNREACH', 'nobody leads')
    }
    expect(await out('cd; pwd; login ann; pwd')).toBe('/home/guest\n/home/ann\n')
  })

  it('begins as a guest where somebody else wrote what is remembered', async () => {
    const users = { name: () => '../../etc', remember: () => undefined }
    expect(await testShell({}, { users }).out('whoami; echo ~')).toBe('guest\n/home/guest\n')
  })
})

describe('cd, history and help', () => {
  it('changes the directory, back and home', async () => {
    const { shell, out } = testShell({ ...TREE, '/home/x': '' })
    expect(await out('cd dir/sub; pwd; cd ..; pwd; cd -; cd; pwd')).toBe('/dir/sub\n/dir\n/dir/sub\n/home/guest\n')
    expect(await shell.execute('cd /a.txt')).toMatchObject({ stderr: 'cd: /a.txt: Not a directory\n', code: 1 })
    expect(await shell.execute('cd /none')).toMatchObject({ stderr: 'cd: /none: No such file or directory\n', code: 1 })
  })

  it('explains a command or says that there is none', async () => {
    const { shell, out } = testShell()
    expect(await out('help ls')).toBe(programs.find(({ name }) => name === 'ls')?.help)
    expect(await shell.execute('help nothing')).toMatchObject({
      code: 1,
      stderr: "help: no command is called 'nothing'\n",
    })
  })
})
