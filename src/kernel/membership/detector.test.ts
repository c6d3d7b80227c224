import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEARTBEAT_MS, MAX_SUSPECT_MS, MIN_SUSPECT_MS } from '../limits.ts'
import { SilenceDetector } from './detector.ts'

/** Heard at these gaps. @returns the detector and the time. */
function heardAt(gaps: readonly number[]): { detector: SilenceDetector; nowMs: number } {
  let nowMs = 0
  const detector = new SilenceDetector(nowMs)
  for (const gap of gaps) {
    nowMs += gap
    detector.heard(nowMs)
  }
  return { detector, nowMs }
}

describe('silence', () => {
  it('of a peer that was heard in its rhythm is suspicious after two or three heartbeats', () => {
    const { detector, nowMs } = heardAt(Array(50).fill(HEARTBEAT_MS))
    expect(detector.suspicious(nowMs + MIN_SUSPECT_MS)).toBe(false)
    expect(detector.suspicious(nowMs + MIN_SUSPECT_MS + 1)).toBe(true)
  })

  it('of a peer that was heard irregularly is tolerated longer, but not for ever', () => {
    const { detector, nowMs } = heardAt([1_200, 4_000, 900, 5_000, 1_300, 4_500, 1_200, 5_000])
    expect(detector.suspicious(nowMs + MIN_SUSPECT_MS + 1_000)).toBe(false)
    expect(detector.suspicious(nowMs + MAX_SUSPECT_MS + 1)).toBe(true)
  })

  it('is judged strictly again once a peer’s rhythm has steadied', () => {
    const { detector } = heardAt([5_000, 900, 5_000, 900, ...Array(60).fill(HEARTBEAT_MS)])
    expect(detector.suspectAfterMs()).toBe(MIN_SUSPECT_MS)
  })

  it('is judged by heartbeats, not by bursts of calls in between', () => {
    const { detector } = heardAt(Array(5_000).fill(1))
    expect(detector.suspectAfterMs()).toBeGreaterThanOrEqual(MIN_SUSPECT_MS)
  })

  it('during our own stall is not the peer’s', () => {
    const { detector, nowMs } = heardAt(Array(10).fill(HEARTBEAT_MS))
    const wokeMs = nowMs + 60_000
    expect(detector.suspicious(wokeMs)).toBe(true)
    detector.discount(60_000, wokeMs)
    expect(detector.suspicious(wokeMs)).toBe(false)
    expect(detector.silentMs(wokeMs)).toBe(0)
    expect(detector.suspicious(wokeMs + MIN_SUSPECT_MS + 1)).toBe(true)
  })

  it('is bounded in what it tolerates, whatever was heard when', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100_000), { maxLength: 60 }), (gaps) => {
        const { detector, nowMs } = heardAt(gaps)
        expect(detector.suspectAfterMs()).toBeGreaterThanOrEqual(MIN_SUSPECT_MS)
        expect(detector.suspectAfterMs()).toBeLessThanOrEqual(MAX_SUSPECT_MS)
        expect(detector.suspicious(nowMs)).toBe(false)
        expect(detector.suspicious(nowMs + MAX_SUSPECT_MS + 1)).toBe(true)
      }),
    )
  })
})
