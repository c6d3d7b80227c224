// What counts against a silent member, and when: silence alone is no evidence (docs/decisions/0008). Pure.
// Above: membership.ts.
import { HEARTBEAT_MS, HINT_SILENCE_MS, OWN_STALL_MS } from '../limits.ts'
import type { Member } from './member.ts'

/** In how many ms what is known against it will count, unless it is heard before; infinite: nothing is. */
export function countsInMs(member: Member, nowMs: number): number {
  const { detector, hintGoneMs } = member
  const missed = detector.promised && detector.silentMs(nowMs) > HEARTBEAT_MS + OWN_STALL_MS
  const evidence = !member.reachable || member.accused || missed
  const silence = evidence ? detector.countsInMs(nowMs) : Number.POSITIVE_INFINITY
  const hint = hintCounts(member) ? (hintGoneMs as number) + HINT_SILENCE_MS - nowMs : silence
  return Math.max(0, Math.min(silence, hint))
}

/** A frozen tab loses its connection to the relay as well; its network stack tells whether it is there. */
export function hintCounts({ hintGoneMs, hintStale, announced, reachable }: Member): boolean {
  return hintGoneMs !== undefined && announced !== 'frozen' && !(hintStale && reachable)
}
