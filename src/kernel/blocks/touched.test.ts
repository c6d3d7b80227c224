import { beforeEach, describe, expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { MAX_TOUCHED, TOUCHED_MS } from '../limits.ts'
import { Touched } from './touched.ts'

let clock: VirtualClock
let touched: Touched
beforeEach(() => {
  clock = new VirtualClock()
  clock.jump(1_000)
  touched = new Touched(clock)
})

describe('a block that was touched', () => {
  it('counts from the mark on, and for a while before it', () => {
    touched.add(['before'])
    clock.jump(TOUCHED_MS - 1)
    const mark = touched.mark()
    touched.add(['after'])
    expect(['before', 'after', 'never'].map((cid) => touched.since(cid, mark))).toEqual([true, true, false])
    expect(['before', 'after', 'never'].map((cid) => touched.lately(cid, mark))).toEqual([true, false, false])
    clock.jump(TOUCHED_MS)
    expect(['before', 'after'].map((cid) => touched.since(cid, mark))).toEqual([false, true])
  })

  it('counts as long as whoever was at work when it was is, and for who asks meanwhile', () => {
    const release = touched.pin()
    touched.add(['long ago'])
    clock.jump(100 * TOUCHED_MS)
    const mark = touched.mark()
    release()
    release()
    expect(touched.since('long ago', mark)).toBe(false) // forgotten with the last who was at work
    const other = touched.pin()
    touched.add(['x'])
    clock.jump(100 * TOUCHED_MS)
    const later = touched.mark()
    const own = touched.pin()
    other()
    expect(touched.since('x', later)).toBe(true)
    own()
  })

  it('is one of all, where there are more than can be remembered, until that is over', () => {
    const mark = touched.mark()
    touched.add(Array.from({ length: MAX_TOUCHED + 1 }, (_, i) => `${i}`))
    expect(touched.since('never', mark)).toBe(true)
    expect(touched.lately('never', mark)).toBe(true)
    clock.jump(TOUCHED_MS + 1)
    touched.add(['y'])
    expect(touched.since('never', touched.mark())).toBe(false)
  })
})
