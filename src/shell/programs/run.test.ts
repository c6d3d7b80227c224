import { describe, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { HistoryRow, ProcessRow } from '../../syscalls/types.ts'
import { terminalWriter } from '../progress.ts'
import { emptyReader } from '../streams.ts'
import { testShell } from '../test-shell.ts'

/** Runs a line as on a terminal. @returns what the terminal got */
function onTerminal(test: ReturnType<typeof testShell>, line: string, signal = new AbortController().signal) {
  let screen = ''
  const decoder = new TextDecoder()
  const writer = terminalWriter((bytes) => {
    screen += decoder.decode(bytes, { stream: true })
  })
  const done = test.shell.run(line, { stdin: emptyReader, stdout: writer, stderr: writer }, signal)
  return { done, screen: () => screen }
}

describe('run', () => {
  it('shows the output of both streams and exits as the program did', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ args, cwd, stdout, stderr }) => {
      stdout(`args ${args.join('|')} in ${cwd}\n`)
      stderr('careful\n')
      return 3
    })
    expect(await shell.execute('run p.js -x --help "a b"')).toEqual({
      stdout: 'args -x|--help|a b in /\n',
      stderr: 'careful\n',
      code: 3,
    })
  })

  it('starts a program that is named by its path', async () => {
    const { shell, kernel } = testShell({ '/bin/p.js': '', '/bin/text': '', '/q.js': '' })
    kernel.programs.set('/bin/p.js', ({ args, stdout }) => {
      stdout(args.join(' '))
      return 0
    })
    expect(await shell.execute('cd /bin; ./p.js --json 1')).toMatchObject({ stdout: '--json 1', code: 0 })
    expect(await shell.execute('/bin/text')).toMatchObject({ code: 126 })
    expect(await shell.execute('/bin')).toEqual({ stdout: '', stderr: 'sh: /bin: Is a directory\n', code: 126 })
    expect(await shell.execute('/none')).toMatchObject({ code: 127 })
    expect(await shell.execute('/none.js')).toEqual({
      stdout: '',
      stderr: '/none.js: No such file or directory\n',
      code: 127,
    })
  })

  it('delivers output as it is produced, redirected or piped', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    let release: () => void = () => undefined
    const heard = new Promise<void>((resolve) => {
      release = resolve
    })
    kernel.programs.set('/p.js', async ({ stdout }) => {
      stdout('first\n')
      await heard
      stdout('second\n')
      return 0
    })
    const result = await shell.execute('/p.js | cat', { onStdout: release })
    expect(result).toEqual({ stdout: 'first\nsecond\n', stderr: '', code: 0 })
    await shell.execute('/p.js > /out')
    expect(kernel.text('/out')).toBe('first\nsecond\n')
  })

  it('tells why a program failed', async () => {
    const { shell, kernel } = testShell({ '/p.js': '', '/text': '' })
    kernel.programs.set('/p.js', () => {
      throw new OsError('ETASK', 'TypeError: no (p.js:3:1)')
    })
    expect(await shell.execute('run p.js')).toEqual({
      stdout: '',
      stderr: 'run: p.js: TypeError: no (p.js:3:1)\n',
      code: 1,
    })
    expect(await shell.execute('run text')).toMatchObject({ code: 126 })
    expect(await shell.execute('run none')).toMatchObject({
      code: 127,
      stderr: 'run: none: No such file or directory\n',
    })
    expect(await shell.execute('run')).toMatchObject({ code: 2 })
  })

  it('kills a process whose output nobody reads any more', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', async ({ stdout, killed }) => {
      for (let i = 0; i < 10; i++) stdout('y\n')
      await killed
      return 0
    })
    expect((await shell.execute('/p.js | true')).code).toBe(0)
    expect(kernel.rows[0]?.state).toBe('killed')
  })

  it('gives it the bounds that it was told', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', () => 0)
    const line = 'run --tabs 4 --events=1000 --cpu 1.5 --memory 64M --output 10K p.js --tabs 9'
    expect((await shell.execute(line)).code).toBe(0)
    const call = kernel.calls.find((each) => each.call === 'run')
    const limits = { nodes: 4, events: 1000, cpuMs: 1500, memoryBytes: 64 * 2 ** 20, outputBytes: 10_240 }
    expect(call?.args).toMatchObject({ args: ['--tabs', '9'], limits })
    expect(await shell.execute('run --tabs 0 p.js')).toMatchObject({ code: 2 })
  })

  it('kills it when its time is over', async () => {
    const { shell, kernel, host } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ stdout, killed }) => {
      stdout('on and on\n')
      return killed.then(() => 0)
    })
    const result = await shell.execute('run --timeout 2.5 p.js', { onStdout: () => host.advance(2500) })
    expect(result).toEqual({ stdout: 'on and on\n', stderr: 'run: p.js: killed after 2.5 s\n', code: 124 })
    expect(kernel.calls.find(({ call }) => call === 'run')?.args).toMatchObject({ limits: { eventMs: 2500 } })
  })

  it('starts in the background with --detach; wait and kill reach it by its KID', async () => {
    const { shell, out, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ killed, args }) => (args[0] ? Number(args[0]) : killed.then(() => 0)))
    const kid = (await out('run --detach p.js')).trim()
    expect(JSON.parse(await out('ps --json'))).toMatchObject([
      { kid, program: '/p.js', state: 'running', done: 0, total: 1 },
    ])
    expect(await out('ps')).toContain(kid.slice(0, 10))
    await out(`kill ${kid.slice(0, 12)}`)
    expect(await shell.execute(`wait ${kid}`)).toMatchObject({ code: 130 })
    expect(await shell.execute(`kill ${kid}`)).toMatchObject({
      code: 1,
      stderr: `kill: ${kid}: No such process, or the tab that is its home is away\n`,
    })
    expect(await shell.execute('kill 17')).toMatchObject({ code: 1, stderr: expect.stringContaining('K-0123abcd') })
    expect((await shell.execute('run -d p.js 7; run -d p.js 8; wait')).code).toBe(0)
    expect(await shell.execute('wait')).toEqual({ stdout: '', stderr: '', code: 0 })
  })
})

describe('ps --tree', () => {
  it('shows under each process the tabs that work for it, and what they are running', async () => {
    const { shell, out, kernel } = testShell({ '/p.js': '' })
    expect(await out('ps --tree')).toBe('no processes\n')
    kernel.programs.set('/p.js', ({ killed }) => killed.then(() => 0))
    const kid = (await out('run --detach p.js a\u001bb')).trim()
    const row = kernel.rows[0] as ProcessRow
    const other = '12D3KooWnodebbbb'
    row.working = [
      { event: '0.1', task: 'count', node: other },
      { event: '0.2', task: 'count', node: row.home },
      { event: '0.3', task: 'count', node: other },
    ]
    expect(await out('ps --tree')).toBe(
      [
        `${kid.slice(0, 10)}  running  0/1  /p.js a?b`,
        `├─ nodebbbb  count 0.1, count 0.3`,
        `└─ ${row.home.slice(-8)} (home)  count 0.2`,
        '',
      ].join('\n'),
    )
    row.working = []
    expect(await out('ps -t')).toContain(`└─ ${row.home.slice(-8)} (home)\n`)
    await out(`kill ${kid}`)
    expect(await shell.execute('ps -t')).toMatchObject({ stdout: expect.stringContaining('killed (130)') })
  })
})

describe('kill', () => {
  it('stops a process and lets it go on', async () => {
    const { shell, out, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ killed }) => killed.then(() => 0))
    const kid = (await out('run --detach p.js')).trim()
    await out(`kill -STOP ${kid}`)
    expect(await out('ps')).toContain('stopped')
    expect(await shell.execute(`kill -STOP ${kid}`)).toMatchObject({ code: 1, stderr: expect.stringContaining('is stopped already') }) // biome-ignore format: one line
    await out(`kill -CONT ${kid}`)
    expect(JSON.parse(await out('ps --json'))).toMatchObject([{ state: 'running' }])
    expect(await shell.execute(`kill --signal=HUP ${kid}`)).toMatchObject({ code: 2 })
    await out(`kill -s KILL ${kid}`)
    expect(await shell.execute(`wait ${kid}`)).toMatchObject({ code: 130 })
  })
})

describe('log and why', () => {
  const [A, B] = ['12D3KooWnodeaaaa', '12D3KooWnodebbbb']
  const row = (n: number, what: HistoryRow['what'], rest: Partial<HistoryRow>): HistoryRow => {
    return { n, what, atMs: 1_000 + n * 250, event: null, task: null, node: null, detail: '', ...rest }
  }
  const history = [
    row(0, 'spawned', { node: A, detail: '/p.js x' }),
    row(0.5, 'home', { node: A, detail: 'it begins here' }),
    row(1, 'assigned', { event: '0', task: 'start', node: B, detail: 'least loaded: 0 leased' }),
    row(2, 'lost', { event: '0', task: 'start', node: B, detail: 'ECONNRESET: \u001b[31mthe link closed' }),
    row(4, 'home', { node: B, detail: 'the node that was its home is away' }),
    row(5, 'assigned', { event: '0', task: 'start', node: A, detail: 'least loaded: 0 leased' }),
    row(6, 'completed', { event: '0', task: 'start', node: A, detail: '12 ms, 0 events emitted' }),
    row(8, 'ended', { detail: 'exited (0)' }),
  ]
  const prepared = async () => {
    const test = testShell({ '/p.js': '' })
    test.kernel.programs.set('/p.js', () => 0)
    const kid = (await test.out('run --detach p.js')).trim()
    test.kernel.history = history
    return { ...test, kid }
  }

  it('show every entry, page by page, with what a terminal would obey taken out', async () => {
    const { out, kid } = await prepared()
    const lines = (await out(`log ${kid}`)).trimEnd().split('\n')
    expect(lines).toHaveLength(history.length)
    expect(lines[3]).toMatch(/^ +0\.50 {2}lost +0 start +nodebbbb {2}ECONNRESET: \?\[31mthe link closed$/)
    expect(JSON.parse(await out(`log --json ${kid}`))).toEqual(history)
  })

  it('sum up where events ran and why, what ran again, and who took over', async () => {
    const { shell, out, kid } = await prepared()
    const text = await out(`why ${kid}`)
    expect(text).toContain('/p.js x: exited (0)\n1 events completed, 2 leases given\nhome: nodeaaaa\n')
    expect(text).not.toContain('begins here')
    expect(text).toContain('home after 1.0 s: nodebbbb, because the node that was its home is away')
    expect(text).toMatch(/nodebbbb +0 +1 {2}least loaded\n/)
    expect(text).toContain('again: 0 start was lost on nodebbbb: ECONNRESET')
    expect(JSON.parse(await out(`why --json ${kid}`))).toMatchObject({
      completed: 1,
      assigned: 2,
      rerun: [{ event: '0' }],
    })
    expect(text).not.toContain('running:')
    expect(await shell.execute('why 17')).toMatchObject({ code: 1 })
    expect(await shell.execute('log K-00000000')).toMatchObject({ code: 1 })
  })

  it('tell what a process runs that does not end', async () => {
    const { kernel, out, kid } = await prepared()
    kernel.history = [
      ...history.slice(0, -2),
      row(6, 'assigned', { event: '0.1', task: 'work', node: B, detail: 'least loaded', atMs: 9_500 }),
      row(7, 'assigned', { event: '0.2', task: 'work', node: B, detail: 'least loaded' }),
      row(8, 'assigned', { event: '0.2', task: 'work', node: A, detail: 'suspiciously late' }),
      row(9, 'completed', { event: '0.2', task: 'work', node: A, detail: '12 ms, 0 events emitted' }),
    ]
    const running = (await out(`why ${kid}`)).split('\n').filter((line) => line.startsWith('running: '))
    expect(running).toHaveLength(2)
    expect(running[0]).toMatch(/^running: 0 start on nodeaaaa, given to it/)
    expect(running[1]).toBe('running: 0.1 work on nodebbbb, given to it after 8.5 s')
    const { running: rows } = JSON.parse(await out(`why --json ${kid}`))
    expect(rows).toMatchObject([{ event: '0' }, { event: '0.1', task: 'work', node: B }])
  })
})

describe('run on a terminal', () => {
  it('draws progress below the output and takes it away at the end', async () => {
    const test = testShell({ '/p.js': '' })
    const { kernel, host } = test
    kernel.programs.set('/p.js', async ({ stdout, progress, killed }) => {
      stdout('one\n')
      await expect.poll(screen).toBe('one\n')
      progress(3, 12)
      await Promise.race([killed, drawn])
      stdout('two\n')
      return 0
    })
    let release: () => void = () => undefined
    const drawn = new Promise<void>((resolve) => {
      release = resolve
    })
    host.nowMs = 1000
    const { done, screen } = onTerminal(test, '/p.js')
    const bar = '[######------------------]  25%  3/12  1 tab'
    await expect.poll(screen).toContain(bar)
    release()
    expect(await done).toBe(0)
    expect(screen()).toBe(`one\n\r\x1b[K${bar}\r\x1b[Ktwo\n`)
  })

  it('takes progress away when another program of the pipeline writes', async () => {
    const test = testShell({ '/p.js': '' })
    test.host.nowMs = 1000
    let goOn: () => void = () => undefined
    const drawn = new Promise<void>((resolve) => {
      goOn = resolve
    })
    test.kernel.programs.set('/p.js', async ({ stdout, progress, killed }) => {
      progress(3, 12)
      await Promise.race([killed, drawn])
      stdout('one\ntwo\n')
      return 0
    })
    const { done, screen } = onTerminal(test, '/p.js | cat')
    await expect.poll(screen).toContain(' 25% ')
    goOn()
    expect(await done).toBe(0)
    expect(screen().endsWith('1 tab\r\x1b[Kone\ntwo\n')).toBe(true)
  })

  it('is ended by Ctrl-C with exit code 130', async () => {
    const test = testShell({ '/p.js': '' })
    test.kernel.programs.set('/p.js', ({ killed, stdout }) => {
      stdout('running\n')
      return killed.then(() => 0)
    })
    const controller = new AbortController()
    const { done, screen } = onTerminal(test, '/p.js; echo never', controller.signal)
    await expect.poll(screen).toBe('running\n')
    controller.abort()
    expect(await done).toBe(130)
    expect(test.kernel.rows[0]?.state).toBe('killed')
    expect(screen()).not.toContain('never')
  })

  it('never draws into a line that is not finished', async () => {
    const test = testShell({ '/p.js': '' })
    test.kernel.programs.set('/p.js', async ({ stdout, progress }) => {
      stdout('no newline')
      progress(1, 2)
      return 0
    })
    const { done, screen } = onTerminal(test, '/p.js')
    expect(await done).toBe(0)
    expect(screen()).toBe('no newline')
    expect(utf8(screen()).byteLength).toBe(10)
  })
})

describe('attach', () => {
  it('shows a process from its first line on, and exits as it did', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    kernel.programs.set('/p.js', async ({ stdout }) => {
      stdout('first\n')
      await held
      stdout('last\n')
      return 4
    })
    const kid = (await shell.execute('run --detach /p.js')).stdout.trim()
    const attached = shell.execute(`attach ${kid.slice(0, 12)}`)
    release()
    expect(await attached).toEqual({ stdout: 'first\nlast\n', stderr: '', code: 4 })
    expect(await shell.execute(`attach ${kid}`)).toMatchObject({ stdout: 'first\nlast\n', code: 4 })
  })

  it('leaves the process running when it is interrupted', async () => {
    const test = testShell({ '/p.js': '' })
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    test.kernel.programs.set('/p.js', async ({ stdout }) => {
      stdout('begun\n')
      await held
      return 0
    })
    const kid = (await test.shell.execute('run --detach /p.js')).stdout.trim()
    const controller = new AbortController()
    const { done, screen } = onTerminal(test, `attach ${kid}`, controller.signal)
    await expect.poll(screen).toContain('begun')
    controller.abort()
    expect(await done).not.toBe(0)
    expect((await test.shell.execute('ps --json')).stdout).toContain('"state": "running"')
    release()
    expect(await test.shell.execute(`wait ${kid}`)).toMatchObject({ code: 0 })
  })

  it('says what it cannot find or understand', async () => {
    const { shell } = testShell({})
    expect(await shell.execute('attach K-0123abcd')).toMatchObject({ code: 1 })
    expect((await shell.execute('attach 12')).stderr).toContain('K-0123abcd')
    expect(await shell.execute('attach')).toMatchObject({ code: 2 })
  })
})
