import { describe, expect, it, vi } from 'vitest'
import { OsError } from '../base/errors.ts'
import { FakeKernel } from '../shell/fake-kernel.ts'
import { FakeHost } from '../shell/test-shell.ts'
import { boot } from './os.ts'

function start(files: Record<string, string> = {}, booted: Promise<unknown> = Promise.resolve()) {
  const kernel = new FakeKernel(files)
  const users = { name: () => undefined, remember: () => undefined }
  const os = boot({ kernel: { client: kernel.client, booted: booted as never }, host: new FakeHost(), users })
  return { kernel, os }
}

describe('os', () => {
  it('knows its node once it is ready, and follows changes', async () => {
    const { kernel, os } = start()
    expect(() => os.node).toThrow(OsError)
    await os.ready
    expect(os.node.id).toBe(kernel.node.id)
    kernel.node = { ...kernel.node, nodes: 2 }
    kernel.raise({ type: 'peer-joined', peer: 'x' })
    await expect.poll(() => os.node.nodes).toBe(2)
    kernel.node = { ...kernel.node, treeHome: 'x' }
    kernel.raise({ type: 'tree', version: 3, home: 'x' })
    await expect.poll(() => os.node.treeHome).toBe('x')
  })

  it('rejects ready when the kernel cannot start, and nobody has to listen', async () => {
    const failure = new OsError('ENOTSUP', 'no Web Locks')
    const { os } = start({}, Promise.reject(failure))
    await expect(os.ready).rejects.toBe(failure)
  })

  it('runs command lines in one shell of its own', async () => {
    const { os } = start({ '/d/f': 'text' })
    await os.sh('cd /d; NAME=value')
    expect(await os.sh('pwd; echo $NAME; cat f; cat')).toEqual({ stdout: '/d\nvalue\ntext', stderr: '', code: 0 })
    expect(await os.sh('cat', { stdin: 'in' })).toMatchObject({ stdout: 'in' })
    expect(await os.sh('nope')).toMatchObject({ code: 127 })
  })

  it('has files as node does', async () => {
    const { os } = start()
    await os.fs.writeFile('/x', 'hello')
    expect(await os.fs.readFile('/x', 'utf8')).toBe('hello')
    expect((await os.fs.stat('/x')).isFile()).toBe(true)
  })

  it('runs programs and gives their output, end and a way to kill them', async () => {
    const { kernel, os } = start({ '/p.js': '' })
    kernel.programs.set('/p.js', async ({ args, stdout, stderr, killed }) => {
      stdout(`got ${args}`)
      stderr('hm')
      if (args[0] === 'stay') await killed
      return 4
    })
    const process = await os.run('/p.js', ['1', '2'])
    expect(await process.wait()).toMatchObject({ kid: process.kid, state: 'exited', code: 4 })
    expect(await process.stdout.text()).toBe('got 1,2')
    expect(await process.stderr.text()).toBe('hm')
    expect(await process.kill()).toBe(false)
    const staying = await os.run('/p.js', ['stay'])
    for await (const piece of staying.stdout) {
      expect(new TextDecoder().decode(piece)).toBe('got stay')
      expect(await staying.kill()).toBe(true)
    }
    expect(await staying.wait()).toMatchObject({ state: 'killed', code: 130 })
    await expect(os.run('/none.js')).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('refuses arguments of a wrong type at the call, with the name of what is wrong', async () => {
    const os = start({ '/p.js': '' }).os as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
    const wrong: [name: string, args: unknown[], message: string][] = [
      ['sh', [], 'os.sh: line: expected a text, not undefined'],
      ['sh', [null], 'os.sh: line: expected a text, not null'],
      ['sh', [5], 'os.sh: line: expected a text, not 5'],
      ['sh', ['ls', null], 'os.sh: options: expected an object with options, not null'],
      ['sh', ['ls', { stdin: 5 }], 'os.sh: stdin: expected a text, bytes or an iterable of bytes, not 5'],
      ['sh', ['ls', { onStdout: 'x' }], 'os.sh: onStdout: expected a function, not "x"'],
      ['run', [5], 'os.run: program: expected a text, not 5'],
      ['run', ['/p.js', '100'], 'os.run: args: expected an array of texts, not "100"'],
      ['run', ['/p.js', 5], 'os.run: args: expected an array of texts, not 5'],
      ['run', ['/p.js', ['1', 2]], 'os.run: args: expected an array of texts'],
      ['run', ['/p.js', [], { cwd: 5 }], 'os.run: cwd: expected a text, not 5'],
      ['run', ['/p.js', [], { signal: {} }], 'os.run: signal: expected an AbortSignal'],
    ]
    for (const [name, args, message] of wrong) {
      await expect(os[name]?.(...args), message).rejects.toMatchObject({ code: 'EINVAL', message })
    }
    const event = 'os.on: event: expected one of peer-joined, peer-left, peer-changed, relay, process, tree, notice'
    expect(() => os['on']?.('nonsense', () => undefined)).toThrow(`${event}, not "nonsense"`)
    expect(() => os['on']?.()).toThrow(`${event}, not undefined`)
    expect(() => os['on']?.('peer-joined', 5)).toThrow('os.on: listener: expected a function, not 5')
  })

  it('refuses them in os.keg too', async () => {
    const keg = start().os.keg as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
    const wrong: [name: string, args: unknown[], message: string][] = [
      ['log', [5], 'options: expected an object with options, not 5'],
      ['log', [{ limit: '5' }], 'limit: expected a number, not "5"'],
      ['diff', [], 'from: expected a text, not undefined'],
      ['checkout', [5], 'version: expected a text, not 5'],
      ['snapshot', ['x', 'HEAD', { path: 5 }], 'path: expected a text, not 5'],
      ['unname', [5], 'name: expected a text, not 5'],
      ['gc', [], 'options: expected an object with options, not undefined'],
      ['gc', [{ keep: 1 }], 'forMs: expected a number, not undefined'],
      ['copies', ['/x'], 'options: expected an object with options, not "/x"'],
      ['setCopies', ['3'], 'count: expected a number, not "3"'],
      ['chunks', ['/x', 5], 'how: expected a text, not 5'],
      ['list', [5], 'options: expected an object with options, not 5'],
      ['create', [], 'path: expected a text, not undefined'],
      ['mount', ['K-1'], 'path: expected a text, not undefined'],
      ['umount', [null], 'path: expected a text, not null'],
    ]
    for (const [name, args, message] of wrong) {
      const expected = { code: 'EINVAL', message: `os.keg.${name}: ${message}` }
      await expect(keg[name]?.(...args), name).rejects.toMatchObject(expected)
    }
  })

  it('leaves a listener’s exception to the page, and tells the others', async () => {
    const reported = vi.fn()
    vi.stubGlobal('reportError', reported)
    const { kernel, os } = start()
    await os.ready
    const failure = new Error('a bug of the listener')
    os.on('peer-joined', () => {
      throw failure
    })
    const second = vi.fn()
    os.on('peer-joined', second)
    kernel.raise({ type: 'peer-joined', peer: 'a' })
    await expect.poll(() => second.mock.calls.length).toBe(1)
    expect(reported.mock.calls).toEqual([[failure]])
    vi.unstubAllGlobals()
  })

  it('tells kernel events to listeners of their type until they leave, over one poll', async () => {
    const { kernel, os } = start()
    await os.ready
    const joined = vi.fn()
    const left = vi.fn()
    const off = os.on('peer-joined', joined)
    os.on('peer-left', left)
    kernel.raise({ type: 'peer-joined', peer: 'a' })
    await expect.poll(() => joined.mock.calls).toEqual([[{ type: 'peer-joined', peer: 'a' }]])
    off()
    kernel.raise({ type: 'peer-joined', peer: 'b' })
    kernel.raise({ type: 'peer-left', peer: 'b', reason: 'goodbye' })
    await expect.poll(() => left.mock.calls.length).toBe(1)
    expect(joined).toHaveBeenCalledTimes(1)
    const polls = kernel.calls.filter(({ call }) => call === 'wait')
    expect(polls.map(({ args }) => (args as { since: number }).since)).toEqual([
      ...new Set(polls.map(({ args }) => (args as { since: number }).since)),
    ])
  })
})
