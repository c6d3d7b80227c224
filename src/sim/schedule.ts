// What happens to a run from outside, as data: made from a seed (generate.ts), printed as JSON, shrunk (shrink.ts),
// replayed. Whatever goes wrong ends by itself: each fault says for how long, so that any step can be left out.

/** The tabs are seats: whoever sits there may lose its disk, and then somebody else takes the seat. */
export type Seat = number

/** Times in ms of virtual time; `atMs` counts from the beginning of the round. */
export type Fault =
  /** The tab is killed, and opened again. `keep`: share of the writes under way that reach its disk. */
  | { do: 'crash'; seat: Seat; keep: number; forMs: number }
  /** The same to several at once: a power cut, the end of a lesson. */
  | { do: 'outage'; seats: Seat[]; keep: number; forMs: number }
  /** The same to one in the middle of its next write. */
  | { do: 'tear'; seat: Seat; keep: number; forMs: number }
  /** The tab is closed, and opened again. */
  | { do: 'close'; seat: Seat; forMs: number }
  /**
   * The tab is killed and its browser profile deleted. A node's key is on its disk: whoever opens the tab again is
   * another node, which has promised nothing.
   */
  | { do: 'lose-disk'; seat: Seat; forMs: number }
  /** The browser freezes the tab. `told`: the tab hears of it before and says so. */
  | { do: 'freeze'; seat: Seat; told: boolean; forMs: number }
  /** Its disk has room for so many bytes more. The tab is reloaded afterwards, as one has to be whose journals stopped. */
  | { do: 'quota'; seat: Seat; spareBytes: number; forMs: number }
  /** Its monotonic clock jumps ahead (a device that slept); its wall clock is set, ahead or back. */
  | { do: 'clock'; seat: Seat; aheadMs: number; wallMs: number }
  /** A partition: those seats on one side. `way`: what passes no more; nobody is told. */
  | { do: 'cut'; seats: Seat[]; way: 'both' | 'in' | 'out'; forMs: number }
  /** The link between two breaks and loses what was under way. */
  | { do: 'break'; seats: [Seat, Seat] }
  /** All links of a seat: slow, and narrow. */
  | { do: 'slow'; seat: Seat; factor: number; bytesPerMs: number; forMs: number }
  /** Packets are lost on all wires: chunks come late. */
  | { do: 'loss'; rate: number; forMs: number }
  /** The relay is away, for everybody or for one. */
  | { do: 'relay'; seat: Seat | null; forMs: number }

export type Work =
  /** Writes a whole file. */
  | { do: 'write'; seat: Seat; path: string; bytes: number }
  /** Appends a line to a file that only this seat appends to. */
  | { do: 'append'; seat: Seat; path: string }
  /** Writes a file of a folder, then makes that folder what it was so many versions ago. */
  | { do: 'restore'; seat: Seat; back: number }
  /** Starts a process: `events` lines of output, some of them long, and a file from each. */
  | { do: 'run'; seat: Seat; events: number }

export type Step = { atMs: number } & (Fault | Work)

export interface Round {
  steps: Step[]
  /** Then all faults end, and everything has to be repaired before the next round begins. */
  ms: number
}

export interface Schedule {
  /** For what the steps leave open: latencies, ids, elections. */
  seed: number
  /** The device of each seat: two seats may be tabs of one browser. */
  devices: number[]
  rounds: Round[]
  /** What is written in whole files is in a keg of its own. */
  keg?: boolean
}

/** @throws {TypeError} for what is no schedule: enough to catch a wrong file. */
export function parseSchedule(text: string): Schedule {
  const value = JSON.parse(text) as Partial<Schedule> | null
  const whole = value && typeof value.seed === 'number' && Array.isArray(value.devices) && Array.isArray(value.rounds)
  if (!whole) throw new TypeError('not a schedule: it has seed, devices and rounds')
  for (const round of value.rounds as Round[]) {
    if (typeof round.ms !== 'number' || !Array.isArray(round.steps)) throw new TypeError('a round has ms and steps')
  }
  return value as Schedule
}

export function countSteps({ rounds }: Schedule): number {
  return rounds.reduce((sum, { steps }) => sum + steps.length, 0)
}
