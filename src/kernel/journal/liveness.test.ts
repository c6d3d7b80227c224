import { describe, expect, it } from 'vitest'
import { classOf } from '../blocks/storage-gauge.ts'
import { AMPLE_BYTES, FULL_BYTES, SETTLED_MS } from '../limits.ts'
import { rankOf } from './liveness.ts'

const node = { id: 'a', state: 'alive', storage: 'ample', knownMs: SETTLED_MS } as const

describe('who keeps a journal best', () => {
  it('has room that is not evicted, is looked at, and has been here for a while', () => {
    const rank = (change: Partial<Parameters<typeof rankOf>[0]>) => Math.floor(rankOf({ ...node, ...change }, 'tree/x'))
    expect(rank({ storage: 'persistent' })).toBeGreaterThan(rank({}))
    expect(rank({ storage: 'scarce' })).toBeLessThan(rank({ state: 'hidden' }))
    expect(rank({ state: 'hidden' })).toBeLessThan(rank({}))
    expect(rank({ knownMs: 1_000 })).toBeLessThan(rank({}))
    expect(rank({ storage: 'full' })).toBeLessThan(rank({ storage: 'scarce', state: 'hidden', knownMs: 0 }))
  })

  it('is another for each journal, among equals', () => {
    const ids = Array.from({ length: 10 }, (_, i) => `12D3KooW${i}`)
    const kept = new Map(ids.map((id) => [id, 0]))
    for (let i = 0; i < 1_000; i++) {
      const order = ids.toSorted(
        (a, b) => rankOf({ ...node, id: b }, `tree/K-${i}`) - rankOf({ ...node, id: a }, `tree/K-${i}`),
      )
      for (const id of order.slice(0, 3)) kept.set(id, (kept.get(id) ?? 0) + 1)
    }
    for (const count of kept.values()) {
      expect(count).toBeGreaterThan(220)
      expect(count).toBeLessThan(380)
    }
  })
})

describe('room on a disk', () => {
  it('is told in four classes', () => {
    const usage = (freeBytes: number, persisted = false) =>
      classOf({ usedBytes: 10, quotaBytes: 10 + freeBytes, persisted })
    expect([usage(FULL_BYTES - 1), usage(FULL_BYTES), usage(AMPLE_BYTES), usage(AMPLE_BYTES, true)]).toEqual([
      'full',
      'scarce',
      'ample',
      'persistent',
    ])
    expect(usage(1, true)).toBe('full')
    expect(classOf({ usedBytes: 5, quotaBytes: 0, persisted: false })).toBe('ample')
  })
})
