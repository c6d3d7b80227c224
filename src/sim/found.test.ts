// Schedules that failed once, as the simulator had shrunk them: what was found stays found.
import { expect, it } from 'vitest'
import type { Schedule } from './schedule.ts'
import { runStorm } from './storm.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const found: [what: string, schedule: Schedule][] = [
  [
    'a former leader that took no word of the new one, and began a branch that nobody told of its tree',
    {
      seed: 51,
      devices: [0, 1, 2, 2, 4],
      rounds: [{ ms: 60_000, steps: [{ atMs: 6_053, do: 'cut', seats: [1, 2, 3], way: 'in', forMs: 6_712 }] }],
    },
  ],
  [
    'a member that was replaced while it was cut off, and refused the word of the new leader for the sake of the old one',
    {
      seed: 120,
      devices: [0, 0, 2, 3, 4],
      rounds: [{ ms: 60_000, steps: [{ atMs: 14_495, do: 'cut', seats: [0, 1], way: 'in', forMs: 34_904 }] }],
    },
  ],
  [
    'a claim that was given up while its listener was frozen, and a branch that a clock made older than its tree',
    {
      seed: 120,
      devices: [0, 0, 2, 3, 4],
      rounds: [
        {
          ms: 80_000,
          steps: [
            { atMs: 9795, do: 'freeze', seat: 2, told: false, forMs: 45000 },
            { atMs: 14495, do: 'cut', seats: [0, 1], way: 'in', forMs: 34904 },
            { atMs: 17717, do: 'clock', seat: 3, aheadMs: 8178, wallMs: -1833410 },
            { atMs: 20413, do: 'write', seat: 3, path: '/work/shared-2', bytes: 2033 },
          ],
        },
      ],
    },
  ],
]

it.each(found)('%s', async (_what, schedule) => {
  await expect(runStorm({ schedule, settle })).resolves.toMatchObject({ seed: schedule.seed })
})
