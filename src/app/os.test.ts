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
