import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ANSWER_MS, HEARTBEAT_MS, MAX_SUSPECT_MS, MIN_SUSPECT_MS } from '../limits.ts'
import { SilenceDetector } from './detector.ts'

/** Heard at these gaps. @returns the detector and the time. */
function heardAt(gaps: readonly number[]): { detector: SilenceDetector; nowMs: number } {
  let nowMs = 0
  const detector = new SilenceDetector(nowMs)
  detector.promise(true)
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

describe('silence of a peer that promised nothing', () => {
  it('says nothing, until it leaves a question unanswered', () => {
    const detector = new SilenceDetector(0)
    expect(detector.suspicious(3_600_000)).toBe(false)
    detector.asked(3_600_000)
    expect(detector.suspicious(3_600_000 + MIN_SUSPECT_MS)).toBe(false)
    expect(detector.suspicious(3_600_000 + MIN_SUSPECT_MS + 1)).toBe(true)
    detector.heard(3_600_000 + MIN_SUSPECT_MS + 2)
    expect(detector.suspicious(7_200_000)).toBe(false)
  })

  it('counts beside other evidence as soon as an answer is overdue', () => {
    const detector = new SilenceDetector(0)
    expect(detector.countsInMs(5_000)).toBe(Number.POSITIVE_INFINITY)
    detector.asked(5_000)
    detector.asked(5_500) // the first question is the one that counts
    expect(detector.countsInMs(5_000)).toBe(ANSWER_MS + 1)
    expect(detector.countsInMs(5_000 + ANSWER_MS + 1)).toBe(0)
  })

  it('is not held against it while we stood still', () => {
    const detector = new SilenceDetector(0)
    detector.asked(1_000)
    detector.discount(60_000, 61_500)
    expect(detector.countsInMs(61_500)).toBe(ANSWER_MS - 500 + 1)
  })
})
