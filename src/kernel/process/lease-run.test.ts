import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { BlockMissing } from '../blocks/blocks.ts'
import { decodeCompletion } from './completion.ts'
import { encodeData } from './data.ts'
import { LeaseRun, type LeaseRunOptions } from './lease-run.ts'
import type { Outcome } from './task-host.ts'

/** Runs one event whose task reads a file, which fails as told, and does with that what the test says. */
async function run(failure: Error, task: (error: unknown) => Outcome) {
  const items: unknown[] = []
  const host = {
    run: (_event: unknown, { dispatch }: { dispatch: (...args: unknown[]) => Promise<unknown> }) =>
      dispatch('read', {}, new AbortController().signal).then(
        () => undefined,
        (error: unknown) => task(error),
      ),
  }
  const options = {
    lease: {
      kid: 'K-1',
      program: '/p.js',
      cwd: '/',
      eventMs: 1000,
      events: [{ id: '0', task: 'start', token: 1, input: encodeData(null) }],
    },
    context: {
      peer: 'home',
      signal: new AbortController().signal,
      item: async (item: unknown) => void items.push(item),
    },
    clock: { nowMs: () => 0, setTimer: () => ({ cancel: () => undefined }) },
    pools: { borrow: async () => ({ host, release: () => undefined }) },
    dispatchFor: () => () => Promise.reject(failure),
  } as unknown as LeaseRunOptions
  await new LeaseRun(options).run()
  const [[, , completion]] = items as [[string, number, Uint8Array]]
  return decodeCompletion(completion)
}

const threw = (error: unknown): Outcome => ({
  ok: false,
  kind: 'threw',
  message: `/p.js:3:1: ${(error as OsError).code}: ${(error as Error).message}`,
})
const away = new BlockMissing('block b cannot be had now: a node does not answer', { certain: false })

describe('an event whose task fails with what it could not have', () => {
  it('is this node’s trouble where the holders do not answer: it runs again', async () => {
    await expect(run(away, threw)).rejects.toBe(away)
    const unreachable = new OsError('EHOSTUNREACH', 'the nodes that keep / are away or busy')
    await expect(run(unreachable, threw)).rejects.toBe(unreachable)
  })

  it('is the task’s failure where nobody has it', async () => {
    const lost = new BlockMissing('block b is held by none', { certain: true })
    expect(await run(lost, threw)).toMatchObject({ ok: false, kind: 'threw' })
  })

  it('is what the task makes of it where it goes on, or fails with something else', async () => {
    expect(await run(away, () => ({ ok: true, result: 7, ms: 1 }))).toMatchObject({ ok: true })
    const other = await run(away, () => ({ ok: false, kind: 'threw', message: '/p.js: TypeError: no' }))
    expect(other).toMatchObject({ ok: false, message: '/p.js: TypeError: no' })
  })
})
