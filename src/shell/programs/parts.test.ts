// head and tail: how counts are written, and headings.
import { describe, expect, it } from 'vitest'
import { testShell } from '../test-shell.ts'

const LINES = 'one\ntwo\nthree\nfour\n'
const TREE = { '/lines': LINES, '/cut': 'one\ntwo\nthr', '/big': 'x'.repeat(3000) }

describe('tail', () => {
  it('begins at a byte or a line after a +', async () => {
    const { out } = testShell(TREE)
    expect(await out('tail -c +5 /lines')).toBe('two\nthree\nfour\n')
    expect(await out('tail -c +0 /lines; tail --bytes=+1 /lines')).toBe(LINES + LINES)
    expect(await out('tail -c +100 /lines')).toBe('')
    expect(await out('tail -n +3 /lines')).toBe('three\nfour\n')
    expect(await out('tail -n +1 /lines; tail -n +0 /cut')).toBe(`${LINES}one\ntwo\nthr`)
    expect(await out('cat /lines | tail -n +4')).toBe('four\n')
    expect(await out('tail -n +3 /cut; tail -n +4 /cut')).toBe('thr')
    expect(await out('tail -c -5 /lines; tail -n -1 /lines')).toBe('four\nfour\n')
  })

  it('goes on from there with -f', async () => {
    const { shell, kernel } = testShell(TREE)
    const stop = new AbortController()
    let seen = ''
    const append = async () => {
      const { ref } = await kernel.client.call('open', { path: '/lines', mode: 'a' })
      await kernel.client.call('write', { ref, bytes: new TextEncoder().encode('five\n') })
      await kernel.client.call('close', { ref })
    }
    const onStdout = (text: string) => {
      seen += text
      if (seen === 'four\n') void append()
      else stop.abort()
    }
    expect(await shell.execute('tail -n +4 -f /lines', { signal: stop.signal, onStdout })).toMatchObject({ code: 130 })
    expect(seen).toBe('four\nfive\n')
  })
})

describe('head', () => {
  it('leaves out the end after a -', async () => {
    const { out } = testShell(TREE)
    expect(await out('head -n -1 /lines')).toBe('one\ntwo\nthree\n')
    expect(await out('head -n -3 /cut')).toBe('')
    expect(await out('head -n -0 /cut')).toBe('one\ntwo\nthr')
    expect(await out('head -c -5 /lines')).toBe('one\ntwo\nthree\n')
    expect(await out('cat /lines | head -n -3')).toBe('one\n')
    expect(await out('head -n -99 /lines')).toBe('')
  })
})

describe('head and tail', () => {
  it('take K and M', async () => {
    const { out, shell } = testShell(TREE)
    expect((await out('head -c 1K /big')).length).toBe(1024)
    expect((await out('tail -c 2K /big')).length).toBe(2048)
    expect((await out('tail -c 1M /big')).length).toBe(3000)
    expect(await shell.execute('tail -c 1Q /big')).toMatchObject({
      code: 2,
      stderr: "tail: invalid number of bytes: '1Q'\nTry 'tail --help' for more information.\n",
    })
  })

  it('print no headings with -q, always with -v', async () => {
    const { out } = testShell(TREE)
    expect(await out('head -q -n 1 /lines /cut')).toBe('one\none\n')
    expect(await out('tail -v -n 1 /lines')).toBe('==> /lines <==\nfour\n')
    expect(await out('tail -q -n 1 /lines /lines')).toBe('four\nfour\n')
  })
})
