import { describe, expect, it } from 'vitest'
import { testShell } from './test-shell.ts'

describe('lists', () => {
  it('runs commands one after the other', async () => {
    const { out } = testShell()
    expect(await out('echo a; echo b\necho c # and a comment')).toBe('a\nb\nc\n')
  })

  it('runs && and || by the status before them', async () => {
    const { out } = testShell()
    expect(await out('true && echo yes || echo no')).toBe('yes\n')
    expect(await out('false && echo yes || echo no')).toBe('no\n')
    expect(await out('false || false || echo third; ! false && echo negated')).toBe('third\nnegated\n')
  })

  it('keeps the last status in $?', async () => {
    const { shell, out } = testShell()
    expect((await shell.execute('false')).code).toBe(1)
    expect(await out('echo $?')).toBe('1\n')
    expect(await out('echo $?')).toBe('0\n')
  })

  it('says when there is no such command and exits with 127', async () => {
    const { shell } = testShell()
    expect(await shell.execute('frobnicate -x')).toEqual({
      stdout: '',
      stderr: 'frobnicate: command not found\n',
      code: 127,
    })
  })

  it('names what it does not support before anything runs', async () => {
    const { shell } = testShell()
    for (const [text, named] of [
      ['echo a; for i in 1; do echo $i; done', 'for loops'],
      ['echo $(ls)', 'command substitution'],
      ['(echo a)', 'subshells'],
      ['sleep 1 &', 'background jobs'],
      ['echo {a,b}', 'brace expansion'],
      ['cat <<E\nx\nE', 'here-documents'],
      ['echo a 3> b', 'file descriptor 3'],
      ['a=(1 2)', 'arrays'],
      ['echo $((1+1))', 'arithmetic'],
      ['if true; then echo a; fi', 'if'],
      [`echo ${'$'}{A:-b}`, `${'$'}{A:-b}`],
    ] as const) {
      const { stdout, stderr, code } = await shell.execute(text)
      expect({ text, stdout, code }).toEqual({ text, stdout: '', code: 2 })
      expect(stderr).toMatch(/^sh: not supported: /)
      expect(stderr).toContain(named)
    }
  })

  it('refuses a syntax error with exit code 2', async () => {
    const { shell } = testShell()
    for (const text of ['echo a )', '&& a', 'echo >', 'echo "open', 'echo a |', 'echo (', 'true; echo ( # a']) {
      const { stderr, code } = await shell.execute(text)
      expect({ text, code }).toEqual({ text, code: 2 })
      expect(stderr).toMatch(/^sh: syntax error: /)
    }
  })
})

describe('variables', () => {
  it('sets, expands and exports them', async () => {
    const { out } = testShell()
    expect(await out('A="x  y"; B=$A; echo "$B" $B; export C="$A"; env')).toBe(
      'x  y x y\nC=x  y\nHOME=/home/guest\nPWD=/\nUSER=guest\n',
    )
  })

  it('gives NAME=value before a command to that command alone', async () => {
    const { out } = testShell()
    expect(await out('A=1 env; echo "[$A]"')).toBe('A=1\nHOME=/home/guest\nPWD=/\nUSER=guest\n[]\n')
  })
})

describe('redirection', () => {
  it('writes, appends and reads files', async () => {
    const { out, kernel } = testShell()
    await out('echo one > /a; echo two >> /a; cat < /a > /b')
    expect(kernel.text('/b')).toBe('one\ntwo\n')
  })

  it('joins and splits stdout and stderr in the order written', async () => {
    const { shell, kernel } = testShell()
    await shell.execute('cat /none > /both 2>&1; cat /none 2>&1 > /only; cat /none &> /amp; cat /none 2>> /amp')
    const missing = 'cat: /none: No such file or directory\n'
    expect(kernel.text('/both')).toBe(missing)
    expect(kernel.text('/only')).toBe('')
    expect(kernel.text('/amp')).toBe(missing + missing)
  })

  it('knows /dev/null', async () => {
    const { shell } = testShell()
    expect(await shell.execute('cat /none 2> /dev/null; cat < /dev/null')).toEqual({ stdout: '', stderr: '', code: 0 })
  })

  it('does not run a command whose file cannot be opened', async () => {
    const { shell } = testShell()
    expect(await shell.execute('echo a > /no/such/file; echo after')).toEqual({
      stdout: 'after\n',
      stderr: 'sh: /no/such/file: No such file or directory\n',
      code: 0,
    })
    expect((await shell.execute('cat < /none')).code).toBe(1)
  })

  it('reports a file that cannot be committed', async () => {
    const { shell, kernel } = testShell()
    const { OsError } = await import('../base/errors.ts')
    kernel.intercept = (call) => {
      if (call === 'close') throw new OsError('ENOSPC', 'quota')
    }
    expect(await shell.execute('echo a > /a')).toMatchObject({ stderr: 'sh: /a: No space left on device\n', code: 1 })
  })
})

describe('pipelines', () => {
  it('hands the output of a stage to the next', async () => {
    const { out } = testShell({ '/f': 'hello\n' })
    expect(await out('cat /f | cat | cat -')).toBe('hello\n')
  })

  it('exits with the status of the last stage, negated by !', async () => {
    const { shell } = testShell()
    expect((await shell.execute('false | true')).code).toBe(0)
    expect((await shell.execute('true | false')).code).toBe(1)
    expect((await shell.execute('! true | false')).code).toBe(0)
  })

  it('ends a writer whose reader has gone', async () => {
    const { shell } = testShell({ '/big': new Uint8Array(4_000_000) })
    expect(await shell.execute('cat /big | true')).toEqual({ stdout: '', stderr: '', code: 0 })
  })

  it('runs every stage in a session of its own', async () => {
    const { out } = testShell({ '/d/f': '' })
    expect(await out('cd /d | cat; pwd; cd /d; pwd')).toBe('/\n/d\n')
  })

  it('sends stderr along with |&', async () => {
    const { out } = testShell()
    expect(await out('cat /none |& cat')).toBe('cat: /none: No such file or directory\n')
  })
})

describe('cancelling', () => {
  it('ends what runs and what would follow, with code 130', async () => {
    const { shell, kernel } = testShell({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ stdout, killed }) => {
      stdout('started')
      return killed.then(() => 0)
    })
    const controller = new AbortController()
    const onStdout = () => controller.abort()
    const result = await shell.execute('/p.js; echo never', { signal: controller.signal, onStdout })
    expect(result).toEqual({ stdout: 'started', stderr: '', code: 130 })
    expect(kernel.rows[0]?.state).toBe('killed')
  })

  it('ends a read of standard input that never comes', async () => {
    const { shell } = testShell()
    const controller = new AbortController()
    async function* never() {
      controller.abort()
      await new Promise(() => undefined)
      yield new Uint8Array(0)
    }
    expect((await shell.execute('cat', { stdin: never(), signal: controller.signal })).code).toBe(130)
  })
})

describe('execute', () => {
  it('takes standard input as text, bytes or pieces', async () => {
    const { shell } = testShell()
    expect((await shell.execute('cat', { stdin: 'text' })).stdout).toBe('text')
    expect((await shell.execute('cat', { stdin: new Uint8Array([65, 66]) })).stdout).toBe('AB')
    expect((await shell.execute('cat', { stdin: [new Uint8Array([67]), new Uint8Array([68])] })).stdout).toBe('CD')
    const { stderr } = await shell.execute('cat', { stdin: ['EF'] as never })
    expect(stderr).toContain('expected pieces of bytes')
  })

  it('streams text without cutting characters', async () => {
    const { shell } = testShell()
    const heard: string[] = []
    const bytes = new TextEncoder().encode('a✦b')
    const stdin = [bytes.subarray(0, 2), bytes.subarray(2)]
    const { stdout } = await shell.execute('cat', { stdin, onStdout: (text) => heard.push(text) })
    expect(heard.join('')).toBe('a✦b')
    expect(heard.every((text) => !text.includes('\ufffd'))).toBe(true)
    expect(stdout).toBe('a✦b')
  })

  it('keeps 64 MiB of output and says what it dropped', async () => {
    const { shell } = testShell()
    const piece = new Uint8Array(1024 * 1024).fill(97)
    function* much() {
      for (let i = 0; i < 65; i++) yield piece
    }
    const { stdout, stderr, code } = await shell.execute('cat', { stdin: much() })
    expect(stdout.length).toBe(64 * 1024 * 1024)
    expect(stderr).toContain('1048576 bytes of output beyond 67108864 were not kept')
    expect(code).toBe(0)
  })
})
