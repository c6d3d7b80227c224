// What a measurement reports, and how it is shown: one row per number, with what it stands beside in the same run.

/** A bound on the value, or on the ratio to what stands beside it. */
export interface Target {
  of: 'value' | 'ratio'
  most?: number
  least?: number
}

export interface Row {
  name: string
  value: number
  unit: string
  /** Smallest and largest repetition. */
  spread?: [least: number, most: number]
  /** Repetitions that the value stands for. */
  runs: number
  /** The platform's limit or a peer, measured in the same run, in the same unit. */
  beside?: { what: string; value: number }
  /** value / beside */
  ratio?: number
  target?: Target
  ok?: boolean
  note?: string
}

export interface RowInit {
  name: string
  unit: string
  samples: readonly number[]
  /** Which quantile of the samples is the value; the median unless told. */
  quantile?: number
  beside?: { what: string; samples: readonly number[] }
  target?: Target
  note?: string | undefined
}

export function row({ name, unit, samples, quantile: q = 0.5, beside, target, note }: RowInit): Row {
  const value = quantile(samples, q)
  const made: Row = { name, value, unit, runs: samples.length }
  if (samples.length > 1) made.spread = [Math.min(...samples), Math.max(...samples)]
  if (beside && beside.samples.length > 0) {
    made.beside = { what: beside.what, value: quantile(beside.samples, q) }
    made.ratio = value / made.beside.value
  }
  if (target) {
    const judged = target.of === 'value' ? value : (made.ratio ?? Number.NaN)
    made.target = target
    made.ok =
      judged >= (target.least ?? Number.NEGATIVE_INFINITY) && judged <= (target.most ?? Number.POSITIVE_INFINITY)
  }
  if (note !== undefined) made.note = note
  return made
}

/** Nearest rank; the median of an even number of samples is the mean of the middle two. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const middle = sorted.length / 2
  if (q === 0.5 && Number.isInteger(middle)) return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

const TITLES = ['measurement', 'value', 'unit', 'spread', 'n', 'beside', 'ratio', 'target', '']

export function formatRows(rows: readonly Row[]): string {
  const lines = rows.map((each) => [
    each.name,
    number(each.value),
    each.unit,
    each.spread ? `${number(each.spread[0])}…${number(each.spread[1])}` : '',
    String(each.runs),
    each.beside ? `${number(each.beside.value)} ${each.beside.what}` : '',
    each.ratio === undefined ? '' : `× ${number(each.ratio)}`,
    each.target ? targetText(each.target) : '',
    `${each.ok === undefined ? '' : each.ok ? 'ok' : 'MISS'}${each.note ? ` (${each.note})` : ''}`,
  ])
  const all = [TITLES, ...lines]
  const widths = TITLES.map((_, i) => Math.max(...all.map((line) => line[i]?.length ?? 0)))
  const right = new Set([1, 4, 6])
  return all
    .map((line) =>
      line
        .map((cell, i) => (right.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function targetText({ of, most, least }: Target): string {
  const bound = most !== undefined ? `≤ ${number(most)}` : `≥ ${number(least ?? 0)}`
  return of === 'ratio' ? `ratio ${bound}` : bound
}

/** Three digits that count. */
function number(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3)
}
