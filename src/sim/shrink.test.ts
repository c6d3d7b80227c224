import { expect, it } from 'vitest'
import { generate } from './generate.ts'
import { countSteps, parseSchedule, type Schedule } from './schedule.ts'
import { shrink } from './shrink.ts'

const PROFILE = { seats: 5, rounds: 3, roundMs: 20_000 }

/** Fails where a write of seat 2 comes after a crash, in any round. */
const fails = async ({ rounds }: Schedule): Promise<string | undefined> => {
  const bad = rounds.some(({ steps }) => {
    const crash = steps.find((step) => step.do === 'crash')
    return crash && steps.some((step) => step.do === 'write' && step.seat === 2 && step.atMs > crash.atMs)
  })
  return bad ? 'a write after a crash' : undefined
}

async function failing(): Promise<Schedule> {
  for (let seed = 1; ; seed++) {
    const schedule = generate(seed, PROFILE)
    if (await fails(schedule)) return schedule
  }
}

it('a failing schedule is shrunk to the steps that it needs', async () => {
  const schedule = await failing()
  const { schedule: small, message, runs } = await shrink(schedule, 'first', fails)
  expect(countSteps(schedule)).toBeGreaterThan(10)
  expect(small.rounds.flatMap(({ steps }) => steps.map((step) => step.do)).sort()).toEqual(['crash', 'write'])
  expect(small.rounds).toHaveLength(1)
  expect(message).toBe('a write after a crash')
  expect(runs).toBeLessThan(150)
  const crash = small.rounds[0]?.steps.find((step) => step.do === 'crash')
  expect(crash && 'forMs' in crash && crash.forMs).toBeLessThan(1_000)
})

it('shrinking stops after as many runs as it may take', async () => {
  const { runs } = await shrink(await failing(), 'first', fails, 7)
  expect(runs).toBe(7)
})

it('a schedule is the same for the same seed, and survives being written to a file', () => {
  const schedule = generate(7, PROFILE)
  expect(generate(7, PROFILE)).toEqual(schedule)
  expect(generate(8, PROFILE)).not.toEqual(schedule)
  expect(parseSchedule(JSON.stringify(schedule))).toEqual(schedule)
  expect(() => parseSchedule('{}')).toThrow(TypeError)
})

it('a disk is lost only where nothing else keeps the journals from filling up again', () => {
  for (let seed = 1; seed <= 300; seed++) {
    for (const { steps } of generate(seed, PROFILE).rounds) {
      const losses = steps.filter((step) => step.do === 'lose-disk')
      expect(losses.length).toBeLessThanOrEqual(1)
      const [loss] = losses
      if (!loss) continue
      const others = steps.filter((step) =>
        ['crash', 'outage', 'tear', 'close', 'freeze', 'quota', 'cut'].includes(step.do),
      )
      for (const other of others) expect(other.atMs - loss.atMs).toBeGreaterThanOrEqual(20_000)
    }
  }
})
