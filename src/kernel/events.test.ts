import { expect, it } from 'vitest'
import { EventLog } from './events.ts'

const signal = new AbortController().signal

it('a listener gets events in order, each once, and waits while there are none', async () => {
  const log = new EventLog<number>()
  const first = log.after(0, signal)
  log.push(1)
  log.push(2)
  const got = await first
  expect(got).toEqual({ events: [1, 2], next: 2 })
  const next = log.after(got.next, signal)
  log.push(3)
  expect(await next).toEqual({ events: [3], next: 3 })
})

it('a listener that comes back late gets what is kept, and is told where it stands', async () => {
  const log = new EventLog<number>()
  for (let i = 1; i <= 1_000; i++) log.push(i)
  const { events, next } = await log.after(10, signal)
  expect([events.length, events[0], events.at(-1), next]).toEqual([512, 489, 1_000, 1_000])
})

it('a listener from before a restart, with a number too high, waits for what comes next', async () => {
  const log = new EventLog<string>()
  log.push('old')
  const pending = log.after(99, signal)
  log.push('new')
  expect(await pending).toEqual({ events: ['new'], next: 2 })
})

it('a listener that gives up is told so, and leaves nothing behind', async () => {
  const log = new EventLog<number>()
  const controller = new AbortController()
  const pending = log.after(0, controller.signal)
  controller.abort()
  await expect(pending).rejects.toMatchObject({ code: 'ECANCELED' })
  await expect(log.after(0, controller.signal)).rejects.toBeTruthy()
  log.push(1)
})
