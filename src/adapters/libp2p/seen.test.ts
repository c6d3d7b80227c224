import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createScalableCuckooFilter } from './seen.ts'

describe('what libp2p has seen', () => {
  it('is asked for by the one name that is there', () => {
    const folder = dirname(createRequire(import.meta.url).resolve('@libp2p/utils'))
    expect(readFileSync(join(folder, 'index.js'), 'utf8')).toContain('export * from "./filters/index.js"')
  })

  it('is remembered exactly, bytes and texts, up to a bound', () => {
    const seen = createScalableCuckooFilter(2)
    const bytes = new Uint8Array([1, 2, 300])
    seen.add(bytes)
    seen.add('a')
    expect([seen.has(new Uint8Array([1, 2, 44])), seen.has('a'), seen.has('b')]).toEqual([true, true, false])
    expect([seen.remove('a'), seen.remove('a'), seen.has('a')]).toEqual([true, false, false])
    for (let i = 0; i < 100; i++) seen.add(`${i}`)
    expect(Array.from({ length: 100 }, (_, i) => seen.has(`${i}`)).filter(Boolean).length).toBeLessThanOrEqual(16)
    expect(seen.has('99')).toBe(true)
  })
})
