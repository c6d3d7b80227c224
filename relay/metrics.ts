// The numbers behind /metrics, in Prometheus' text format 0.0.4. Knows no library and none of the relay's parts:
// they register gauges that are read at scrape time, and count with counters.

export interface Counter {
  add(labels?: Labels, by?: number): void
  value(labels?: Labels): number
}

export type Labels = Readonly<Record<string, string>>
export type Sample = { labels?: Labels; value: number }

interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  samples(): Iterable<Sample>
}

export class Metrics {
  readonly #families = new Map<string, Family>()

  /** @param name by convention ends in `_total`. */
  counter(name: string, help: string, initial: readonly Labels[] = []): Counter {
    const samples = new Map<string, { labels: Labels; value: number }>()
    const entry = (labels: Labels) => {
      const key = labelText(labels)
      const found = samples.get(key) ?? { labels, value: 0 }
      samples.set(key, found)
      return found
    }
    for (const labels of initial) entry(labels)
    this.#register({ name, help, type: 'counter', samples: () => samples.values() })
    return {
      add: (labels = {}, by = 1) => {
        entry(labels).value += by
      },
      value: (labels = {}) => samples.get(labelText(labels))?.value ?? 0,
    }
  }

  /** @param read called at each scrape. */
  gauge(name: string, help: string, read: () => number | Iterable<Sample>): void {
    this.#readAtScrape({ name, help, type: 'gauge', read })
  }

  /** A counter that something else keeps. */
  observedCounter(name: string, help: string, read: () => number | Iterable<Sample>): void {
    this.#readAtScrape({ name, help, type: 'counter', read })
  }

  render(): string {
    let text = ''
    for (const { name, help, type, samples } of this.#families.values()) {
      text += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`
      for (const { labels = {}, value } of samples()) text += `${name}${labelText(labels)} ${numberText(value)}\n`
    }
    return text
  }

  #readAtScrape({ name, help, type, read }: Omit<Family, 'samples'> & { read: () => number | Iterable<Sample> }): void {
    const samples = () => {
      const value = read()
      return typeof value === 'number' ? [{ value }] : value
    }
    this.#register({ name, help, type, samples })
  }

  #register(family: Family): void {
    this.#families.set(family.name, family)
  }
}

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  return String(value)
}
