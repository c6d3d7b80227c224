import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { measures } from './main.ts'
import { formatRows, median, quantile, row } from './report.ts'

describe('a row', () => {
  it('shows the median, its spread, the ratio to what stands beside it, and judges the target', () => {
    const made = row({
      name: 'speed',
      unit: 'MiB/s',
      samples: [30, 10, 20],
      beside: { what: 'raw', samples: [20, 30] },
      target: { of: 'ratio', least: 0.8 },
    })
    expect(made).toMatchObject({ value: 20, spread: [10, 30], runs: 3, beside: { what: 'raw', value: 25 }, ratio: 0.8 })
    expect(made.ok).toBe(true)
    expect(formatRows([made])).toContain('20.0  MiB/s  10.0…30.0  3  25.0 raw  × 0.80  ratio ≥ 0.80  ok')
    expect(row({ name: 'late', unit: 'ms', samples: [51], target: { of: 'value', most: 50 } }).ok).toBe(false)
  })

  it('that could not be measured misses its target', () => {
    expect(row({ name: 'x', unit: 'ms', samples: [], target: { of: 'value', most: 50 } }).ok).toBe(false)
    expect(row({ name: 'x', unit: 'ms', samples: [1], target: { of: 'ratio', most: 1 } }).ok).toBe(false)
  })

  it('has quantiles by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1)
    expect([median(hundred), quantile(hundred, 0.99), quantile(hundred, 0), quantile([7], 0.99)]).toEqual([
      50.5, 99, 1, 7,
    ])
  })
})

it('docs/bench.md tells of every measurement, and of no other', () => {
  const text = readFileSync(join(import.meta.dirname, '../docs/bench.md'), 'utf8')
  const told = [...text.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1])
  expect(told).toEqual(Object.keys(measures))
})
