import { expect, test, vi } from 'vitest'
import { Gate } from './gate.ts'

const limits = { connectionsPerAddress: 3, connectBurstPerAddress: 4, connectPerSecondPerAddress: 2 }

function setup(maxPeers = 100) {
  let now = 0
  const gate = new Gate({ maxPeers, limits, now: () => now })
  return { gate, pass: (ms: number) => (now += ms) }
}

const leave = (result: ReturnType<Gate['enter']>) => {
  if (typeof result === 'string') throw new Error(`refused: ${result}`)
  return result
}

test('the total is capped, and a place that is given back is free again, once', () => {
  const { gate } = setup(2)
  const first = leave(gate.enter('a'))
  leave(gate.enter('b'))
  expect(gate.enter('c')).toBe('total')
  first()
  first()
  expect(gate.open).toBe(1)
  leave(gate.enter('c'))
  expect(gate.enter('d')).toBe('total')
})

test('an address is capped on its own and others are not touched', () => {
  const { gate } = setup()
  for (let i = 0; i < 3; i++) leave(gate.enter('a'))
  expect(gate.enter('a')).toBe('address')
  leave(gate.enter('b'))
})

test('an address may open a burst, then so many per second', () => {
  const { gate, pass } = setup()
  for (let i = 0; i < 4; i++) leave(gate.enter('a'))()
  expect(gate.enter('a')).toBe('rate')
  pass(500)
  leave(gate.enter('a'))()
  expect(gate.enter('a')).toBe('rate')
  pass(60_000)
  for (let i = 0; i < 4; i++) leave(gate.enter('a'))()
  expect(gate.enter('a')).toBe('rate')
})

test('pruning forgives nobody', () => {
  const { gate, pass } = setup()
  for (let i = 0; i < 4; i++) leave(gate.enter('a'))()
  gate.prune()
  expect(gate.enter('a')).toBe('rate')
  pass(10_000)
  gate.prune()
  leave(gate.enter('a'))
})

test('a clock that is set back refuses nobody', () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    const gate = new Gate({ maxPeers: 100, limits })
    leave(gate.enter('a'))()
    vi.setSystemTime(Date.now() - 3_600_000)
    leave(gate.enter('a'))()
  } finally {
    vi.useRealTimers()
  }
})
