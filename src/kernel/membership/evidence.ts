// What counts against a silent member, and when: silence alone is no evidence (docs/decisions/0008). Pure.
// Above: membership.ts.
import { HINT_SILENCE_MS } from '../limits.ts'
import type { Member } from './member.ts'

/** In how many ms what is known against it will count, unless it is heard before; infinite: nothing is. */
export function countsInMs(member: Member, nowMs: number): number {
  const { detector, hintGoneMs } = member
  const evidence = !member.reachable || member.accused || detector.lateInMs(nowMs) < 0
  const silence = evidence ? detector.countsInMs(nowMs) : Number.POSITIVE_INFINITY
  const hint = hintCounts(member) ? (hintGoneMs as number) + HINT_SILENCE_MS - nowMs : silence
  return Math.max(0, Math.min(silence, hint))
}

/** In how many ms it is silent for so long that nobody who is there would be; infinite: nobody says that it is. */
export function silentInMs({ detector, accused }: Member, nowMs: number): number {
  return accused ? 0 : detector.suspiciousInMs(nowMs)
}

/** A frozen tab loses its connection to the relay as well; its network stack tells whether it is there. */
export function hintCounts({ hintGoneMs, hintStale, announced, reachable }: Member): boolean {
  return hintGoneMs !== undefined && announced !== 'frozen' && !(hintStale && reachable)
}
