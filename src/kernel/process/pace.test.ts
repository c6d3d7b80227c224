import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { MAX_EMITS_PER_EVENT, QUEUE_EVENTS } from '../../syscalls/limits.ts'
import { EMIT_STEP, QUEUE_PATIENCE_MS } from '../limits.ts'
import { Pace } from './pace.ts'
import { QueueRoom } from './queue-room.ts'

const took = (ms: number) => ({ inAllMs: ms, ranMs: ms / 10 })

describe('the pace of a process', () => {
  it('says nothing about a task of which few events are done', () => {
    const pace = new Pace()
    pace.completed('count', took(100))
    pace.completed('count', took(100))
    expect(pace.lateAfterMs('count')).toBeUndefined()
    pace.completed('sum', took(100))
    expect(pace.lateAfterMs('count')).toBeUndefined()
  })

  it('calls late what takes three times as long as most others, and at least a second', () => {
    const pace = new Pace()
    for (const ms of [100, 120, 90]) pace.completed('short', took(ms))
    for (const ms of [2_000, 3_000, 2_500, 60_000]) pace.completed('long', took(ms))
    expect(pace.lateAfterMs('short')).toBe(1_000)
    expect(pace.lateAfterMs('long')).toBe(180_000)
    for (let i = 0; i < 32; i++) pace.completed('long', took(2_000))
    expect(pace.lateAfterMs('long')).toBe(6_000)
  })

  it('tells how long most events of a task run, whatever they waited', () => {
    const pace = new Pace()
    for (const ms of [10, 20]) pace.completed('short', took(ms))
    expect(pace.runsMs('short')).toBeUndefined()
    for (const ms of [20, 900]) pace.completed('short', took(ms))
    expect(pace.runsMs('short')).toBe(90)
    for (let i = 0; i < 8; i++) pace.completed('short', took(20))
    // Most take 2, and one of twelve 90.
    expect(pace.runsMs('short')).toBe((10 + 20 + 20 + 900 + 8 * 20) / 10 / 12)
    for (let i = 0; i < 32; i++) pace.completed('short', took(20))
    expect(pace.runsMs('short')).toBe(2)
  })
})

describe('the queue of a process', () => {
  const clock = new VirtualClock()
  let pending = 0
  let busy = true
  const room = new QueueRoom(clock, { pending: () => pending, othersBusy: () => busy })
  const never = new AbortController().signal
  const settle = () => new Promise((resolve) => setImmediate(resolve))

  it('shares its room among the tasks that run', () => {
    pending = QUEUE_EVENTS / 2
    expect(room.share(1)).toBe(QUEUE_EVENTS / 2)
    expect(room.share(4)).toBe(QUEUE_EVENTS / 8)
    pending = 0
    expect(room.share(1)).toBe(Math.min(MAX_EMITS_PER_EVENT, QUEUE_EVENTS))
    pending = QUEUE_EVENTS + 5
    expect(room.share(1)).toBe(0)
  })

  it('lets whoever emits wait until others have made room', async () => {
    pending = QUEUE_EVENTS
    let granted = 0
    const asked = room.more(never).then((more) => {
      granted = more
    })
    await settle()
    room.changed()
    await settle()
    expect(granted).toBe(0)
    pending = QUEUE_EVENTS - EMIT_STEP
    room.changed()
    await asked
    expect(granted).toBe(EMIT_STEP)
  })

  it('lets all go on a little when nothing else moves: whoever waits may hold the last slot', async () => {
    pending = QUEUE_EVENTS
    const asked = [room.more(never), room.more(never)]
    await settle()
    expect(clock.step(clock.nowMs() + QUEUE_PATIENCE_MS)).toBe(true)
    expect(await Promise.all(asked)).toEqual([EMIT_STEP, EMIT_STEP])
  })

  it('lets whoever is alone go on: nobody else will make room', async () => {
    pending = QUEUE_EVENTS
    busy = false
    expect(await room.more(never)).toBe(EMIT_STEP)
    busy = true
  })

  it('forgets who has gone', async () => {
    pending = QUEUE_EVENTS
    const gone = new AbortController()
    const asked = room.more(gone.signal)
    gone.abort(new Error('the tab was closed'))
    await expect(asked).rejects.toThrow('the tab was closed')
    room.close()
  })
})
