// What every Clock must do; each adapter's test calls this with a factory.
import { beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'

export interface ClockHarness {
  clock: Clock
  /** Lets `ms` pass: a virtual clock advances itself, a real one waits. */
  pass(ms: number): Promise<void>
}

export function clockContract(name: string, make: () => ClockHarness | Promise<ClockHarness>): void {
  describe(`${name} keeps the clock contract`, () => {
    let harness: ClockHarness
    let clock: Clock
    beforeEach(async () => {
      harness = await make()
      clock = harness.clock
    })

    it('never goes back', async () => {
      let last = clock.nowMs()
      for (let i = 0; i < 20; i++) {
        await harness.pass(i % 3)
        expect(clock.nowMs()).toBeGreaterThanOrEqual(last)
        last = clock.nowMs()
      }
    })

    it('advances both times by what passes', async () => {
      const [now, wall] = [clock.nowMs(), clock.wallMs()]
      await harness.pass(30)
      expect(clock.nowMs() - now).toBeGreaterThanOrEqual(29)
      expect(clock.wallMs() - wall).toBeGreaterThanOrEqual(29)
    })

    it('runs a timer once, and not before its delay has passed', async () => {
      const begin = clock.nowMs()
      const fired: number[] = []
      clock.setTimer(() => fired.push(clock.nowMs() - begin), 20, 'test')
      await harness.pass(10)
      expect(fired.every((ms) => ms >= 20)).toBe(true)
      while (fired.length === 0) await harness.pass(10)
      await harness.pass(30)
      expect(fired.length).toBe(1)
      expect(fired[0]).toBeGreaterThanOrEqual(20)
    })

    it('does not run a timer inside setTimer, even without delay', async () => {
      let fired = false
      clock.setTimer(
        () => {
          fired = true
        },
        0,
        'test',
      )
      expect(fired).toBe(false)
      while (!fired) await harness.pass(1)
    })

    it('runs timers in the order of their delays', async () => {
      const order: number[] = []
      for (const delay of [40, 20, 60]) clock.setTimer(() => order.push(delay), delay, 'test')
      while (order.length < 3) await harness.pass(20)
      expect(order).toEqual([20, 40, 60])
    })

    it('never runs a cancelled timer; cancelling twice or too late is harmless', async () => {
      let fired = 0
      const cancelled = clock.setTimer(() => fired++, 5, 'test')
      const kept = clock.setTimer(() => fired++, 5, 'test')
      cancelled.cancel()
      cancelled.cancel()
      while (fired === 0) await harness.pass(5)
      kept.cancel()
      await harness.pass(10)
      expect(fired).toBe(1)
    })

    it('does not run a timer of fifty days at once', async () => {
      let fired = false
      const timer = clock.setTimer(
        () => {
          fired = true
        },
        50 * 24 * 3600 * 1000,
        'test',
      )
      await harness.pass(20)
      expect(fired).toBe(false)
      timer.cancel()
    })
  })
}
