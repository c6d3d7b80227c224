// Entries that wait for others: the rule, and a process whose events take too long to be leased together.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Ack } from '../../syscalls/types.ts'
import { bootSleepers, endSleepers } from '../cluster.contract.ts'
import { Led } from '../journal/led.ts'
import { ENTRY_WAIT_MS, MAX_WAITING_ENTRIES, MAX_WAITING_ENTRY_BYTES } from '../limits.ts'
import { EntryQueue } from './entry-queue.ts'

function setUp() {
  const clock = new VirtualClock()
  const appends: string[][] = []
  let fails: OsError | undefined
  const append = async (entries: readonly Uint8Array[]): Promise<Ack> => {
    appends.push(entries.map((entry) => fromUtf8(entry)))
    if (fails) throw fails
    return { level: 'majority', devices: 2 }
  }
  const queue = new EntryQueue({ append }, clock)
  const fail = (error: OsError) => {
    fails = error
  }
  return { clock, queue, appends, fail }
}

const soon = { soon: true }

describe('entries on their way into a journal', () => {
  it('go in the order in which they came, those that may wait with the next that may not', async () => {
    const { queue, appends, clock } = setUp()
    const all = [queue.add(utf8('a'), soon), queue.add(utf8('b'), soon), queue.add(utf8('c')), queue.add(utf8('d'))]
    await Promise.all(all)
    expect(appends).toEqual([['a', 'b', 'c'], ['d']])
    expect(clock.step(60_000)).toBe(false)
  })

  it('wait for a moment at most', async () => {
    const { queue, appends, clock } = setUp()
    const first = queue.add(utf8('a'), soon)
    expect(clock.step(ENTRY_WAIT_MS - 1)).toBe(false)
    const second = queue.add(utf8('b'), soon)
    expect(appends).toEqual([])
    clock.step(ENTRY_WAIT_MS)
    await Promise.all([first, second])
    expect(appends).toEqual([['a', 'b']])
  })

  it('wait for no more when there are many, or much', async () => {
    const { queue, appends } = setUp()
    await Promise.all(Array.from({ length: MAX_WAITING_ENTRIES }, () => queue.add(utf8('a'), soon)))
    await queue.add(new Uint8Array(MAX_WAITING_ENTRY_BYTES), soon)
    expect(appends.map(({ length }) => length)).toEqual([MAX_WAITING_ENTRIES, 1])
  })

  it('are all told that they could not be written', async () => {
    const { queue, fail } = setUp()
    fail(new OsError('ENOSPC', 'the disk is full'))
    const settled = await Promise.allSettled([queue.add(utf8('a'), soon), queue.add(utf8('b'))])
    expect(settled).toEqual(
      settled.map(() => ({ status: 'rejected', reason: expect.objectContaining({ code: 'ENOSPC' }) })),
    )
  })

  it('are not written any more once it is closed', async () => {
    const { queue, appends, clock } = setUp()
    const waiting = queue.add(utf8('a'), soon)
    queue.close(new OsError('ECONNRESET', 'it goes on elsewhere'))
    await expect(waiting).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(queue.add(utf8('b'))).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(clock.step(60_000)).toBe(false)
    expect(appends).toEqual([])
  })
})

describe('a process of many events', () => {
  afterEach(() => {
    endSleepers()
    vi.restoreAllMocks()
  })
  const EVENTS = 100
  const SOURCE = `
    export async function start(event, os) {
      const ids = []
      for (let i = 0; i < ${EVENTS}; i++) ids.push(await os.emit('one', i))
      await os.gather(ids, 'sum')
    }
    export async function one({ data }) { await testSleep(300); return data }
    export const sum = ({ data: { results } }, os) => os.print(results.reduce((a, b) => a + b, 0))`

  it('writes less often than events are leased and completed, and is soon done', async () => {
    const { cluster, nodes } = await bootSleepers(2, 91)
    const [first] = nodes as [(typeof nodes)[0]]
    await cluster.run(first.fs.writeFile('/p.js', SOURCE))
    const append = vi.spyOn(Led.prototype, 'append')
    const beganMs = cluster.clock.nowMs()
    const { kid } = await cluster.run(first.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    const { exits } = await cluster.run(first.os.call('wait', { for: 'exit', kids: [kid] }), 60_000)
    expect(exits).toMatchObject([{ state: 'exited', code: 0 }])
    const entries = append.mock.calls.reduce((sum, [each]) => sum + each.length, 0)
    expect(entries).toBeGreaterThan(2 * EVENTS)
    expect(append.mock.calls.length).toBeLessThan(0.6 * entries)
    // Four slots: nobody has waited for what was being written.
    expect(cluster.clock.nowMs() - beganMs).toBeLessThan((300 * EVENTS) / 4 + 1_000)
  })
})
