import { describe, expect, it } from 'vitest'
import { OsError } from '../base/errors.ts'
import type { OnProgress } from '../syscalls/types.ts'
import { PROGRESS_INTERVAL_MS } from './limits.ts'
import type { ProgramContext } from './program.ts'
import { showing, terminalWriter } from './progress.ts'
import { FakeHost } from './test-shell.ts'

/** A program on a terminal of 80 columns, or on none. */
function program({ terminal }: { terminal: boolean }) {
  const screen: string[] = []
  const host = new FakeHost()
  const writer = terminalWriter((bytes) => void screen.push(new TextDecoder().decode(bytes)))
  const stderr = terminal ? writer : { write: writer.write, close: writer.close, isTerminal: false }
  const cancel = { signal: new AbortController().signal }
  return { screen, host, context: { host, stderr, cancel } as unknown as ProgramContext }
}
/** A call that is under way: it tells how far it is, and ends, when the test says so. */
function begin(context: ProgramContext) {
  const call = Promise.withResolvers<string>()
  let tell: OnProgress = () => undefined
  const answer = showing(context, 'checking', ({ onProgress }) => {
    tell = onProgress as OnProgress
    return call.promise
  })
  return { answer, tell, end: call.resolve }
}
const settled = () => new Promise((resolve) => setImmediate(resolve))
const ERASED = '\r\x1b[K'

describe('a call that takes long', () => {
  it('shows how far it is once it takes long, and leaves nothing behind', async () => {
    const { screen, host, context } = program({ terminal: true })
    const { answer, tell, end } = begin(context)
    tell({ done: 1, unit: 'files' })
    tell({ done: 2, unit: 'files' })
    await settled()
    expect(screen).toEqual([])
    host.advance(PROGRESS_INTERVAL_MS)
    await settled()
    expect(screen).toEqual([`${ERASED}checking  2 files`])
    tell({ done: 3, total: 4, unit: 'blocks' }) // too soon after the last to be read
    host.advance(PROGRESS_INTERVAL_MS)
    tell({ done: 2 ** 20, total: 2 ** 21, unit: 'bytes' })
    await settled()
    expect(screen.slice(1)).toEqual([`${ERASED}checking  [############------------] 1.0 MiB of 2.0 MiB`])
    end('well')
    expect(await answer).toBe('well')
    expect(screen.slice(2)).toEqual([ERASED])
  })

  it('has its answer also when the terminal is gone', async () => {
    const { host, context } = program({ terminal: true })
    const { stderr } = context
    const { answer, tell, end } = begin(context)
    tell({ done: 1, unit: 'files' })
    host.advance(PROGRESS_INTERVAL_MS)
    await settled()
    stderr.status = () => Promise.reject(new Error('closed'))
    host.advance(PROGRESS_INTERVAL_MS)
    tell({ done: 2, unit: 'files' })
    await settled()
    end('well')
    expect(await answer).toBe('well')
  })

  it('shows nothing of one that is done at once, or fails, or has no terminal', async () => {
    const quick = program({ terminal: true })
    await showing(quick.context, 'checking', async ({ onProgress }) => onProgress?.({ done: 1, unit: 'files' }))
    const failing = showing(quick.context, 'checking', () => Promise.reject(new OsError('ENOENT', 'nothing there')))
    await expect(failing).rejects.toMatchObject({ code: 'ENOENT' })
    quick.host.advance(PROGRESS_INTERVAL_MS)
    await settled()
    expect(quick.screen).toEqual([])
    const piped = program({ terminal: false })
    await showing(piped.context, 'checking', async ({ onProgress }) => expect(onProgress).toBeUndefined())
  })
})
