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
  [
    'voters of which the one that asked lacked an entry, and the others did not ask',
    {
      seed: 1042,
      devices: [0, 0, 0, 3, 4],
      rounds: [
        {
          ms: 13191,
          steps: [
            { atMs: 1652, do: 'freeze', seat: 2, told: false, forMs: 1059 },
            { atMs: 2273, do: 'close', seat: 0, forMs: 11472 },
            { atMs: 3334, do: 'close', seat: 1, forMs: 2589 },
            { atMs: 4205, do: 'quota', seat: 4, spareBytes: 1449, forMs: 1444 },
            { atMs: 8248, do: 'write', seat: 4, path: '/work/0-0', bytes: 218 },
            { atMs: 9798, do: 'write', seat: 1, path: '/work/0-2', bytes: 1592 },
            { atMs: 9811, do: 'close', seat: 3, forMs: 2602 },
          ],
        },
      ],
    },
  ],
  [
    'a journal that was being removed when its member was called back',
    {
      seed: 1223,
      devices: [0, 1, 2, 3, 3],
      rounds: [
        {
          ms: 37324,
          steps: [
            { atMs: 5713, do: 'write', seat: 1, path: '/work/0-5', bytes: 1963 },
            { atMs: 9824, do: 'lose-disk', seat: 4, forMs: 2177 },
            { atMs: 14600, do: 'run', seat: 3, events: 22 },
            { atMs: 15867, do: 'write', seat: 3, path: '/work/0-1', bytes: 437 },
            { atMs: 27388, do: 'restore', seat: 0, back: 4 },
          ],
        },
        {
          ms: 23082,
          steps: [
            { atMs: 2650, do: 'write', seat: 2, path: '/work/shared-0', bytes: 429 },
            { atMs: 5162, do: 'run', seat: 0, events: 10 },
            { atMs: 8113, do: 'relay', seat: 2, forMs: 12838 },
            { atMs: 9402, do: 'write', seat: 0, path: '/work/1-6', bytes: 530 },
            { atMs: 10575, do: 'outage', seats: [0, 2, 3], keep: 1, forMs: 5400 },
            { atMs: 18239, do: 'tear', seat: 0, keep: 0, forMs: 4777 },
            { atMs: 18651, do: 'append', seat: 4, path: '/log/4' },
            { atMs: 19508, do: 'write', seat: 3, path: '/work/1-2', bytes: 2967 },
            { atMs: 19791, do: 'write', seat: 2, path: '/work/shared-0', bytes: 310 },
          ],
        },
      ],
    },
  ],
  [
    'a learner that forgot a journal because word of its dismissal came after it was called back',
    {
      seed: 1273,
      devices: [0, 1, 2, 3, 4],
      rounds: [
        {
          steps: [
            { atMs: 5381, do: 'cut', seats: [3, 4], way: 'out', forMs: 506 },
            { atMs: 7109, do: 'freeze', seat: 1, told: true, forMs: 4192 },
            { atMs: 7356, do: 'write', seat: 0, path: '/work/shared-2', bytes: 580 },
            { atMs: 10243, do: 'cut', seats: [1, 2, 3], way: 'both', forMs: 21406 },
            { atMs: 11226, do: 'restore', seat: 4, back: 2 },
            { atMs: 11665, do: 'write', seat: 1, path: '/work/shared-0', bytes: 850 },
            { atMs: 18545, do: 'write', seat: 0, path: '/work/shared-2', bytes: 1799 },
            { atMs: 19215, do: 'write', seat: 0, path: '/work/0-2', bytes: 1426 },
            { atMs: 19399, do: 'run', seat: 3, events: 13 },
            { atMs: 24959, do: 'write', seat: 4, path: '/work/shared-0', bytes: 1448 },
          ],
          ms: 28174,
        },
      ],
    },
  ],
  [
    'a journal that began while a device was frozen, and did not take it in when it thawed',
    {
      seed: 1593,
      devices: [0, 0, 2, 3, 3],
      rounds: [
        {
          steps: [
            { atMs: 10107, do: 'freeze', seat: 2, told: false, forMs: 11250 },
            { atMs: 18680, do: 'run', seat: 3, events: 8 },
          ],
          ms: 19680,
        },
      ],
    },
  ],
  [
    'a branch that was merged just after its other member had asked whether it was',
    {
      seed: 1887,
      devices: [0, 1, 2, 3, 0],
      rounds: [
        { steps: [{ atMs: 361, do: 'lose-disk', seat: 2, forMs: 1054 }], ms: 1361 },
        {
          ms: 28576,
          steps: [
            { atMs: 9691, do: 'outage', seats: [0, 3, 4], keep: 0, forMs: 26126 },
            { atMs: 26137, do: 'crash', seat: 2, keep: 0.5, forMs: 2483 },
          ],
        },
      ],
    },
  ],
  [
    'word of a leader that was taken after it had gone, because what it refers to had to be fetched first',
    {
      seed: 2190,
      devices: [0, 1, 2, 3, 4],
      rounds: [
        {
          steps: [
            { atMs: 1783, do: 'write', seat: 3, path: '/work/1-1', bytes: 2374 },
            { atMs: 5878, do: 'append', seat: 3, path: '/log/3' },
            { atMs: 5922, do: 'lose-disk', seat: 0, forMs: 990 },
          ],
          ms: 6922,
        },
      ],
    },
  ],
  [
    'a former leader whose last other member had forgotten that somebody else leads',
    {
      seed: 3770,
      keg: true,
      devices: [0, 1, 1, 3, 4],
      rounds: [
        {
          steps: [
            { atMs: 4152, do: 'run', seat: 3, events: 9 },
            { atMs: 4843, do: 'run', seat: 0, events: 23 },
          ],
          ms: 5843,
        },
        {
          ms: 23453,
          steps: [
            { atMs: 437, do: 'cut', seats: [0, 1, 2], way: 'both', forMs: 27530 },
            { atMs: 788, do: 'slow', seat: 2, factor: 9, bytesPerMs: 4, forMs: 6466 },
            { atMs: 12433, do: 'cut', seats: [1, 2, 3, 4], way: 'both', forMs: 8361 },
          ],
        },
      ],
    },
  ],
  [
    'versions of one tree that were told while another took its place, and looked forged',
    {
      seed: 4711,
      devices: [0, 1, 2, 1, 4],
      rounds: [
        {
          steps: [
            { atMs: 3680, do: 'cut', seats: [2], way: 'both', forMs: 16886 },
            { atMs: 15500, do: 'write', seat: 2, path: '/work/shared-0', bytes: 1183 },
            { atMs: 17557, do: 'outage', seats: [0, 2, 3], keep: 0, forMs: 3100 },
            { atMs: 19093, do: 'outage', seats: [1, 3, 4], keep: 1, forMs: 1586 },
          ],
          ms: 20093,
        },
      ],
    },
  ],
  [
    'a task that met a directory whose holders did not answer, and was not run again',
    {
      seed: 4809,
      devices: [0, 1, 2, 3, 4],
      rounds: [
        {
          ms: 22338,
          steps: [
            { atMs: 1574, do: 'run', seat: 2, events: 22 },
            { atMs: 2289, do: 'cut', seats: [0, 3, 4], way: 'out', forMs: 5156 },
          ],
        },
      ],
    },
  ],
  [
    'two nodes that took each other’s lanes of before for those of now, until each held the other to be hostile',
    {
      seed: 5308,
      keg: true,
      devices: [0, 1, 2, 3, 4],
      rounds: [
        {
          ms: 14681,
          steps: [
            { atMs: 823, do: 'lose-disk', seat: 0, forMs: 2301 },
            { atMs: 1916, do: 'append', seat: 4, path: '/log/4' },
            { atMs: 3219, do: 'write', seat: 1, path: '/work/0-3', bytes: 2762 },
            { atMs: 13681, do: 'run', seat: 4, events: 7 },
          ],
        },
      ],
    },
  ],
  [
    'a closed tab that gave up to begin a journal, and removed it under the tab that went on with it',
    {
      seed: 5718,
      keg: true,
      devices: [0, 0, 2, 3, 4],
      rounds: [
        {
          ms: 8376,
          steps: [
            { atMs: 4334, do: 'close', seat: 1, forMs: 1156 },
            { atMs: 5849, do: 'freeze', seat: 0, told: false, forMs: 1841 },
            { atMs: 6798, do: 'run', seat: 3, events: 14 },
            { atMs: 6875, do: 'write', seat: 3, path: '/work/shared-1', bytes: 1619 },
            { atMs: 7029, do: 'write', seat: 2, path: '/work/shared-2', bytes: 1137 },
            { atMs: 7376, do: 'close', seat: 3, forMs: 808 },
          ],
        },
        { ms: 14824, steps: [{ atMs: 13824, do: 'lose-disk', seat: 1, forMs: 703 }] },
      ],
    },
  ],
  [
    'a member whose disk was full for a moment, and that was silent ever after',
    {
      seed: 6916,
      keg: true,
      devices: [0, 1, 2, 3, 4],
      rounds: [
        {
          ms: 13156,
          steps: [
            { atMs: 2413, do: 'quota', seat: 1, spareBytes: 2037, forMs: 11709 },
            { atMs: 5767, do: 'write', seat: 3, path: '/work/1-8', bytes: 1943 },
            { atMs: 12156, do: 'freeze', seat: 1, told: false, forMs: 1407 },
          ],
        },
      ],
    },
  ],
  [
    'what nobody wants any more, for minutes in the way of what is sent next on a slow link',
    {
      seed: 7543,
      keg: true,
      devices: [0, 0, 0, 3, 4],
      rounds: [
        {
          ms: 19762,
          steps: [
            { atMs: 317, do: 'append', seat: 2, path: '/log/2' },
            { atMs: 576, do: 'quota', seat: 0, spareBytes: 995, forMs: 11734 },
            { atMs: 2242, do: 'slow', seat: 2, factor: 18, bytesPerMs: 9, forMs: 6661 },
            { atMs: 2621, do: 'append', seat: 0, path: '/log/0' },
            { atMs: 3102, do: 'write', seat: 3, path: '/work/0-10', bytes: 1100000 },
            { atMs: 19399, do: 'close', seat: 4, forMs: 394 },
          ],
        },
      ],
    },
  ],
  [
    'a branch of a keg whose leader never heard that the keg is led again, because its clock was wrong',
    {
      seed: 7556,
      keg: true,
      devices: [0, 1, 2, 0, 4],
      rounds: [
        {
          ms: 11718,
          steps: [
            { atMs: 1663, do: 'freeze', seat: 0, told: false, forMs: 11539 },
            { atMs: 2619, do: 'write', seat: 4, path: '/work/shared-0', bytes: 537 },
            { atMs: 3230, do: 'clock', seat: 4, aheadMs: 54240, wallMs: 3554816 },
          ],
        },
      ],
    },
  ],
  [
    'a change asked again, of which more devices were said to have it than had it',
    {
      seed: 81959,
      devices: [0, 1, 2, 3, 2],
      rounds: [
        {
          ms: 16975,
          steps: [
            { atMs: 7265, do: 'write', seat: 2, path: '/work/0-6', bytes: 1100000 },
            { atMs: 7817, do: 'loss', rate: 0.08320496560074389, forMs: 2841 },
            { atMs: 8053, do: 'crash', seat: 1, keep: 1, forMs: 2380 },
            { atMs: 9588, do: 'write', seat: 2, path: '/work/shared-1', bytes: 2146 },
            { atMs: 10423, do: 'write', seat: 2, path: '/work/0-10', bytes: 1179 },
            { atMs: 10959, do: 'outage', seats: [3, 4], keep: 1, forMs: 2354 },
          ],
        },
      ],
    },
  ],
]

it.each(found)('%s', async (_what, schedule) => {
  await expect(runStorm({ schedule, settle })).resolves.toMatchObject({ seed: schedule.seed })
})
