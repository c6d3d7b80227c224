import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { BlockMissing } from '../blocks/blocks.ts'
import { decodeCompletion } from './completion.ts'
import { encodeData } from './data.ts'
import { LeaseRun, type LeaseRunOptions } from './lease-run.ts'
import type { Outcome } from './task-host.ts'

/** Runs one event whose task reads files at once, which fail as told, and does with the first error what the test says. */
async function run(failures: readonly Error[], task: (error: unknown) => Outcome) {
  const items: unknown[] = []
  const host = {
    run: async (_event: unknown, { dispatch }: { dispatch: (...args: unknown[]) => Promise<unknown> }) => {
      const reads = failures.map((_failure, i) => dispatch('read', i, new AbortController().signal))
      const [first] = await Promise.allSettled(reads)
      return task((first as PromiseRejectedResult).reason)
    },
  }
  const event = { id: '0', task: 'start', token: 1, input: encodeData(null) }
  const context = {
    peer: 'home',
    signal: new AbortController().signal,
    item: async (item: unknown) => void items.push(item),
  }
  const options = {
    lease: { kid: 'K-1', program: '/p.js', cwd: '/', eventMs: 1000, events: [event] },
    context,
    clock: { nowMs: () => 0, setTimer: () => ({ cancel: () => undefined }) },
    pools: { borrow: async () => ({ host, release: () => undefined }) },
    dispatchFor: () => (_call: string, i: number) => Promise.reject(failures[i]),
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
const missing = (block: string, certain = false) =>
  new BlockMissing(`block ${block} cannot be had now: a node does not answer`, { certain })

describe('an event whose task ends with what it could not have', () => {
  it('has not failed by itself where nodes do not answer', async () => {
    const away = { ok: false, kind: 'away', message: expect.stringMatching(/^\/p\.js:3:1: E/) }
    expect(await run([missing('a')], threw)).toMatchObject(away)
    expect(await run([missing('a'), missing('b'), missing('c')], threw)).toMatchObject(away)
    expect(await run([new OsError('EHOSTUNREACH', 'the nodes that keep / are away or busy')], threw)).toMatchObject(
      away,
    )
  })

  it('has failed where nobody has it', async () => {
    expect(await run([missing('a', true)], threw)).toMatchObject({ ok: false, kind: 'threw' })
    expect(await run([new OsError('ENOENT', 'no such file'), missing('b')], threw)).toMatchObject({ kind: 'threw' })
  })

  it('is what the task makes of it where it goes on, or ends with something else', async () => {
    expect(await run([missing('a')], () => ({ ok: true, result: 7, ms: 1 }))).toMatchObject({ ok: true })
    const other = await run([missing('a')], () => ({ ok: false, kind: 'threw', message: '/p.js: TypeError: no' }))
    expect(other).toMatchObject({ ok: false, kind: 'threw', message: '/p.js: TypeError: no' })
    const killed: Outcome = { ok: false, kind: 'killed', message: missing('a').message }
    expect(await run([missing('a')], () => killed)).toMatchObject({ kind: 'killed' })
  })
})
