import { expect, test } from 'vitest'
import { Metrics } from './metrics.ts'

test('metrics are rendered in the Prometheus text format, escaped', () => {
  const metrics = new Metrics()
  const counter = metrics.counter('hits_total', 'Hits\nby \\ reason.', [{ reason: 'none' }])
  counter.add({ reason: 'a "quoted"\\\n' }, 2)
  counter.add({ reason: 'a "quoted"\\\n' })
  metrics.gauge('open', 'Open now.', () => 3)
  metrics.gauge('sizes', 'Sizes.', () => [{ labels: { kind: 'x', of: 'y' }, value: Number.POSITIVE_INFINITY }])
  expect(metrics.render()).toBe(`# HELP hits_total Hits\\nby \\\\ reason.
# TYPE hits_total counter
hits_total{reason="none"} 0
hits_total{reason="a \\"quoted\\"\\\\\\n"} 3
# HELP open Open now.
# TYPE open gauge
open 3
# HELP sizes Sizes.
# TYPE sizes gauge
sizes{kind="x",of="y"} +Inf
`)
  expect(counter.value({ reason: 'none' })).toBe(0)
})
