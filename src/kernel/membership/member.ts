// What membership knows about one peer. Above: membership.ts, which alone changes it.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { type PeerRow, type PeerState, type StorageClass, storageClasses } from '../../syscalls/types.ts'
import type { Hello, Pulse } from '../rpc/frames.ts'
import { SilenceDetector } from './detector.ts'

export interface Member {
  id: NodeId
  device: DeviceId
  session: string
  /** SHA-256 of what its page says when it is closed, if it has one. */
  goodbye: string | undefined
  slots: number
  /** Its wall clock less our monotonic one, in ms, when its link came up; null: it did not say. */
  wallAheadMs: number | null
  detector: SilenceDetector
  announced: Pulse['state']
  running: number
  storage: StorageClass
  /** Since when it is known without a break. */
  sinceMs: number
  rttMs: number | null
  rttSamples: number
  pingSentMs: number
  pingNumber: number
  shown: PeerState
  linked: boolean
  /** It was told to expect our heartbeats. */
  watching: boolean
  /** A watcher says that it is silent; heard later means alive. */
  accused: boolean
  /** When one last said so. */
  accusedMs: number
  /** We, its watcher, have told the others that it is silent. */
  reported: boolean
  /** False: the transport no longer hears the peer's network stack. */
  reachable: boolean
  /** When the relay last said that the peer's own connection closed; heard later means alive. */
  hintGoneMs: number | undefined
  /** When the relay last said that it is there, and not since that its connection closed. */
  foundMs: number
  /** That word may be older than it seems: it counts only beside other evidence. */
  hintStale: boolean
  graceTimer: Timer | undefined
  /** After evidence against it: when its silence will count. */
  evidenceTimer: Timer | undefined
  /** When its next heartbeat will be late. */
  missTimer: Timer | undefined
}

/** @param wallAheadMs its wall clock less our monotonic one. */
export function newMember(peer: NodeId, hello: Hello, nowMs: number, wallAheadMs: number | null): Member {
  return {
    id: peer,
    device: hello.device as DeviceId,
    session: hello.session,
    goodbye: hello.goodbye,
    slots: hello.slots,
    wallAheadMs,
    detector: new SilenceDetector(nowMs),
    announced: 'alive',
    running: 0,
    storage: storageClasses[hello.storage],
    sinceMs: nowMs,
    rttMs: null,
    rttSamples: 0,
    pingSentMs: 0,
    pingNumber: -1,
    shown: 'alive',
    linked: true,
    watching: false,
    accused: false,
    accusedMs: Number.NEGATIVE_INFINITY,
    reported: false,
    reachable: true,
    hintGoneMs: undefined,
    foundMs: Number.NEGATIVE_INFINITY,
    hintStale: false,
    graceTimer: undefined,
    evidenceTimer: undefined,
    missTimer: undefined,
  }
}

/** Its link is up again: what was held against it is forgotten. */
export function relink(member: Member, nowMs: number, wallAheadMs: number | null): void {
  member.wallAheadMs = wallAheadMs
  member.linked = true
  member.watching = false
  member.accused = false
  member.reported = false
  member.reachable = true
  member.hintGoneMs = undefined
  member.foundMs = Number.NEGATIVE_INFINITY
  member.detector = new SilenceDetector(nowMs)
}

export function rowOf(member: Member, clock: Clock): PeerRow {
  const nowMs = clock.nowMs()
  return {
    id: member.id,
    device: member.device,
    state: member.shown,
    direct: member.linked,
    rttMs: member.rttMs === null ? null : Math.round(member.rttMs * 100) / 100,
    slots: member.slots,
    running: member.running,
    storage: member.storage,
    clockMs: member.wallAheadMs === null ? null : Math.round(member.wallAheadMs + nowMs - clock.wallMs()),
    knownMs: Math.round(nowMs - member.sinceMs),
  }
}

/** It does nothing, and nobody can tell when it goes on. */
export function unfit(state: PeerState): state is 'frozen' | 'stalled' {
  return state === 'frozen' || state === 'stalled'
}
