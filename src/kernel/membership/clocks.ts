// Whether the wall clock here is wrong, by what others said of theirs when they were met. Above: kernel.ts.
// Below: membership.ts, which has what they said.
import type { DeviceId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { PeerRow } from '../../syscalls/types.ts'
import { CLOCKS_COMPARED_MS } from '../limits.ts'
import type { Membership } from './membership.ts'

/** Clocks that nobody looks after are some minutes off; what is signed with one that is off by more is refused before long. */
const OFF_MS = 5 * 60_000
const MINUTE_MS = 60_000

export interface ClockTrouble {
  /** The clock here is before those of the others, or behind them; or it is that of the only other device that is wrong. */
  side: 'ahead' | 'behind' | 'either'
  /** For people. */
  text: string
}

/** What the device's owner should know; undefined when most of the others, device by device, have about the same time. */
export function clockTrouble(
  rows: readonly Pick<PeerRow, 'device' | 'clockMs'>[],
  own: DeviceId,
): ClockTrouble | undefined {
  // Of a device with several tabs all have to say so: anybody could call itself one of them.
  const others = new Map<string, number>()
  for (const { device, clockMs } of rows) {
    if (clockMs === null || device === own) continue
    const before = others.get(device)
    const milder = before === undefined || Math.abs(clockMs) < Math.abs(before) ? clockMs : before
    others.set(device, before !== undefined && Math.sign(before) !== Math.sign(clockMs) ? 0 : milder)
  }
  const off = [...others.values()].filter((ms) => Math.abs(ms) > OFF_MS)
  const behind = off.filter((ms) => ms > 0).sort((a, b) => a - b)
  const ahead = off.filter((ms) => ms < 0).sort((a, b) => a - b)
  const [most, side] = behind.length > ahead.length ? [behind, 'behind' as const] : [ahead, 'ahead' as const]
  if (2 * most.length <= others.size) return undefined
  const how = `${lengthOf(Math.abs(most[most.length >> 1] as number))} ${side === 'ahead' ? 'ahead of' : 'behind'}`
  if (others.size === 1) {
    const text = `the clock of this device is ${how} that of the other one: one of them is wrong and has to be set`
    return { side: 'either', text }
  }
  const whose = `those of ${most.length} of ${others.size} other devices`
  return {
    side,
    text: `the clock of this device is ${how} ${whose}: set it; from a quarter of an hour on they refuse what this one publishes`,
  }
}

interface ClockWatchOptions {
  membership: Membership
  device: DeviceId
  clock: Clock
  onTrouble(text: string): void
}

/** Looks whenever somebody has come, and tells of each trouble once. */
export class ClockWatch {
  readonly #options: ClockWatchOptions
  #timer: Timer | undefined
  readonly #told = new Set<ClockTrouble['side']>()

  constructor(options: ClockWatchOptions) {
    this.#options = options
    options.membership.events.on(({ type }) => {
      if (type === 'joined') this.#timer ??= options.clock.setTimer(() => this.#compare(), CLOCKS_COMPARED_MS, 'clocks')
    })
  }

  close(): void {
    this.#timer?.cancel()
  }

  #compare(): void {
    this.#timer = undefined
    const { membership, device, onTrouble } = this.#options
    const trouble = clockTrouble(membership.rows(), device)
    if (!trouble || this.#told.has(trouble.side)) return
    this.#told.add(trouble.side)
    onTrouble(trouble.text)
  }
}

/** As people say it. */
function lengthOf(ms: number): string {
  const minutes = Math.round(ms / MINUTE_MS)
  if (minutes < 120) return `${minutes} minutes`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`
}
