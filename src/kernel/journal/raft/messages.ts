// What members of one group say to each other, and how it is checked. The names are those of the Raft paper
// (Ongaro and Ousterhout 2014) where it has one.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { MAX_APPEND_BYTES, MAX_APPEND_ENTRIES } from '../../limits.ts'
import { type GroupConfig, groupConfig } from './config.ts'

export interface Entry {
  term: number
  /** `empty`: a new leader's first; `config`: `bytes` hold a GroupConfig; `data`: the owner's. */
  kind: 'empty' | 'config' | 'data'
  bytes: Uint8Array
}

export interface Snapshot {
  /** Last entry that it covers, and that entry's term. */
  index: number
  term: number
  config: GroupConfig
  data: Uint8Array
}

export type RaftMessage =
  /** `pre`: would you vote for me in that term? Changes nothing at the receiver. `transfer`: the leader asked for it. */
  | { t: 'vote'; term: number; pre: boolean; transfer: boolean; lastIndex: number; lastTerm: number }
  | { t: 'voted'; term: number; pre: boolean; granted: boolean }
  | {
      t: 'append'
      term: number
      prevIndex: number
      prevTerm: number
      entries: Entry[]
      commit: number
      /** Echoed: tells the leader when it was still the leader. */
      round: number
    }
  /** To a witness: how far the leader's journal goes. */
  | { t: 'witness'; term: number; index: number; lastTerm: number; round: number }
  | { t: 'snapshot'; term: number; snapshot: Snapshot; round: number }
  /** `index`: what is known to agree; after a refusal, the last index that may. */
  | { t: 'appended'; term: number; ok: boolean; index: number; round: number }
  /** To a leader: there is no room for what it sent. */
  | { t: 'full'; term: number }
  /** The leader hands over: campaign now. */
  | { t: 'transfer'; term: number }
  /** To a witness: the journal does not count on it any more. */
  | { t: 'released'; term: number }
  /** To a leader, while somebody else wants to be elected: do you still lead? One that does says so with an append. */
  | { t: 'check'; term: number }
  /** It does not. */
  | { t: 'resigned'; term: number }

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
const entry = v.pipe(
  v.strictObject({ term: number, kind: v.picklist(['empty', 'config', 'data']), bytes }),
  v.check((value) => value.kind !== 'config' || isConfig(value.bytes), 'no configuration'),
)
const snapshot = v.strictObject({ index: number, term: number, config: groupConfig, data: bytes })

function isConfig(encoded: Uint8Array): boolean {
  try {
    return v.is(groupConfig, decode(encoded))
  } catch {
    return false // not CBOR
  }
}

const entries = v.pipe(
  v.array(entry),
  v.maxLength(MAX_APPEND_ENTRIES),
  v.check((list) => list.reduce((sum, each) => sum + each.bytes.byteLength, 0) <= MAX_APPEND_BYTES, 'too many bytes'),
)

export const raftMessage: v.GenericSchema<unknown, RaftMessage> = v.variant('t', [
  v.strictObject({
    t: v.literal('vote'),
    term: number,
    pre: v.boolean(),
    transfer: v.boolean(),
    lastIndex: number,
    lastTerm: number,
  }),
  v.strictObject({ t: v.literal('voted'), term: number, pre: v.boolean(), granted: v.boolean() }),
  v.strictObject({
    t: v.literal('append'),
    term: number,
    prevIndex: number,
    prevTerm: number,
    entries,
    commit: number,
    round: number,
  }),
  v.strictObject({ t: v.literal('witness'), term: number, index: number, lastTerm: number, round: number }),
  v.strictObject({ t: v.literal('snapshot'), term: number, snapshot, round: number }),
  v.strictObject({ t: v.literal('appended'), term: number, ok: v.boolean(), index: number, round: number }),
  v.strictObject({ t: v.literal('full'), term: number }),
  v.strictObject({ t: v.literal('transfer'), term: number }),
  v.strictObject({ t: v.literal('released'), term: number }),
  v.strictObject({ t: v.literal('check'), term: number }),
  v.strictObject({ t: v.literal('resigned'), term: number }),
])

/** What passes between a member and a witness: a message about one journal, or that the journal has ended. */
export type WitnessFrame = { group: string; message: RaftMessage } | { group: string; retired: true }

/** Names of journals: what kind of thing it is, and which. */
export const groupName = v.pipe(v.string(), v.regex(/^[a-z]{1,16}\/[A-Za-z0-9-]{1,80}$/))
const witnessFrame = v.union([
  v.strictObject({ group: groupName, message: raftMessage }),
  v.strictObject({ group: groupName, retired: v.literal(true) }),
])

export function encodeWitnessFrame(frame: WitnessFrame): Uint8Array {
  return encode(frame)
}

/** @throws {Error} for anything else. */
export function decodeWitnessFrame(bytes: Uint8Array): WitnessFrame {
  return v.parse(witnessFrame, decode(bytes))
}
