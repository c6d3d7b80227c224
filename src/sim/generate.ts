// Makes a schedule from a seed. Each seed uses some kinds of faults only (swarm testing: Groce et al. 2012), because
// faults of all kinds at once hide what two of them do together.
//
// Faults are chosen so that what is promised can be kept:
// - A disk is lost in rounds of its own, one per round, at a time when no other node is down, frozen, cut off or out of
//   room, nor has been or will be for REPAIR_MS. Three nodes keep everything, and an acknowledgement waits for two: with
//   one disk gone, another has it; with two gone at once, nobody may. The round ends only when there are three again.
// - At most one disk is full at a time: two of three keepers that cannot write are no majority, as two that are away.
// - Anything else may hit anybody at any time, all of them at once too: what was acknowledged is on disks that come back.
import { SeededRandom } from '../adapters/memory/random.ts'
import type { Fault, Round, Schedule, Seat, Step, Work } from './schedule.ts'

export interface Profile {
  seats: number
  rounds: number
  /** Virtual time of one round. */
  roundMs: number
}

/** Time for a journal to fill up again after a member was away: noticed, replaced, copied. */
const REPAIR_MS = 20_000
const KINDS = [
  'crash', 'outage', 'tear', 'close', 'freeze', 'quota', 'clock', 'cut', 'break', 'slow', 'loss', 'relay',
] as const // biome-ignore format: a list
type Kind = (typeof KINDS)[number]

export function generate(seed: number, profile: Profile): Schedule {
  const random = new SeededRandom(seed ^ 0x5eed)
  const { seats } = profile
  // Mostly a device each; sometimes two tabs of one browser.
  const devices = Array.from({ length: seats }, (_, i) => (i > 0 && random.float() < 0.15 ? random.below(i) : i))
  const kinds = KINDS.filter(() => random.float() < 0.4)
  const rounds = Array.from({ length: profile.rounds }, (_, i) => {
    return random.float() < 0.4 ? losing(random, profile, i) : disturbed(random, profile, i, kinds)
  })
  // Every second storm has a keg beside /.
  return { seed, devices, rounds, ...(seed % 2 === 0 ? { keg: true } : {}) }
}

function disturbed(random: SeededRandom, { seats, roundMs }: Profile, index: number, kinds: readonly Kind[]): Round {
  const ms = Math.round(roundMs * (0.5 + random.float() * 1.5))
  const steps: Step[] = work(random, seats, index, ms)
  let full = false
  const count = kinds.length === 0 ? 0 : 1 + random.below(6)
  for (let i = 0; i < count; i++) {
    const kind = random.pick(kinds)
    if (kind === 'quota' && full) continue
    full ||= kind === 'quota'
    steps.push({ atMs: random.below(ms), ...fault(random, seats, kind) })
  }
  // A tab that is frozen for minutes, now and then.
  if (kinds.includes('freeze') && random.float() < 0.15) {
    steps.push({ atMs: random.below(ms), do: 'freeze', seat: random.below(seats), told: false, forMs: 180_000 })
    return { steps: inOrder(steps), ms: ms + 180_000 }
  }
  return { steps: inOrder(steps), ms }
}

/** A round in which a disk is lost, between other faults that are far enough away. */
function losing(random: SeededRandom, { seats, roundMs }: Profile, index: number): Round {
  const lossMs = Math.round(roundMs * random.float())
  const seat = random.below(seats)
  const ms = lossMs + REPAIR_MS + Math.round(roundMs * 0.5)
  const steps = work(random, seats, index, ms)
  steps.push({ atMs: lossMs, do: 'lose-disk', seat, forMs: 500 + random.below(5_000) })
  if (random.float() < 0.5)
    steps.push({ atMs: random.below(ms), ...fault(random, seats, random.pick(['clock', 'loss'])) })
  if (random.float() < 0.5)
    steps.push({ atMs: lossMs + REPAIR_MS, ...fault(random, seats, random.pick(['crash', 'close'])) })
  return { steps: inOrder(steps), ms }
}

function inOrder(steps: Step[]): Step[] {
  return steps.sort((a, b) => a.atMs - b.atMs)
}

/** Mostly short, sometimes long enough for others to take the place. */
function time(random: SeededRandom): number {
  return random.float() < 0.5 ? 200 + random.below(3_000) : 3_000 + random.below(15_000)
}

function fault(random: SeededRandom, seats: number, kind: Kind): Fault {
  const seat: Seat = random.below(seats)
  const forMs = time(random)
  switch (kind) {
    case 'crash':
    case 'tear':
      return { do: kind, seat, keep: random.pick([0, 0.5, 1]), forMs }
    case 'outage':
      return { do: 'outage', seats: some(random, seats), keep: random.pick([0, 1]), forMs: 2 * forMs }
    case 'close':
      return { do: 'close', seat, forMs }
    case 'freeze':
      return { do: 'freeze', seat, told: random.float() < 0.5, forMs }
    case 'quota':
      return { do: 'quota', seat, spareBytes: random.below(4_000), forMs }
    case 'clock': {
      const aheadMs = random.float() < 0.5 ? 0 : random.below(60_000)
      return { do: 'clock', seat, aheadMs, wallMs: random.below(7_200_000) - 3_600_000 }
    }
    case 'cut': {
      const way = random.pick(['both', 'both', 'in', 'out'] as const)
      return { do: 'cut', seats: some(random, seats), way, forMs: 2 * forMs }
    }
    case 'break':
      return { do: 'break', seats: [seat, (seat + 1 + random.below(seats - 1)) % seats] }
    case 'slow':
      return { do: 'slow', seat, factor: 2 + random.below(20), bytesPerMs: 1 + random.below(50), forMs }
    case 'loss':
      return { do: 'loss', rate: 0.02 + random.float() * 0.1, forMs }
    case 'relay':
      return { do: 'relay', seat: random.float() < 0.5 ? null : seat, forMs }
  }
}

/** One seat at least, not all of them. */
function some(random: SeededRandom, seats: number): Seat[] {
  const sure = random.below(seats)
  const spared = (sure + 1 + random.below(seats - 1)) % seats
  return Array.from({ length: seats }, (_, i) => i).filter((i) => i === sure || (i !== spared && random.float() < 0.5))
}

function work(random: SeededRandom, seats: number, index: number, ms: number): Step[] {
  const count = 4 + random.below(8)
  return Array.from({ length: count }, (_, i) => ({ atMs: random.below(ms), ...piece(random, seats, `${index}-${i}`) }))
}

/** Most stand in one small block, where the tree is; larger blocks are kept one by one; the largest are a tree of blocks. */
function length(random: SeededRandom): number {
  const dice = random.float()
  if (dice < 0.75) return random.below(3_000)
  return dice < 0.92 ? 66_000 + random.below(60_000) : 1_100_000
}

function piece(random: SeededRandom, seats: number, name: string): Work {
  const seat: Seat = random.below(seats)
  const dice = random.float()
  const bytes = length(random)
  if (dice < 0.1) return { do: 'restore', seat, back: random.below(8) }
  if (dice < 0.45) return { do: 'write', seat, path: `/work/${name}`, bytes }
  if (dice < 0.65) return { do: 'write', seat, path: `/work/shared-${random.below(3)}`, bytes: Math.min(bytes, 3_000) }
  if (dice < 0.85) return { do: 'append', seat, path: `/log/${seat}` }
  return { do: 'run', seat, events: 4 + random.below(20) }
}
