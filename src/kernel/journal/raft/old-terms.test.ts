import { afterEach, expect, it } from 'vitest'
import { utf8 } from '../../../base/bytes.ts'
import type { NodeId } from '../../../base/ids.ts'
import { mutate } from '../../mutations.ts'
import { RaftLog } from './log.ts'
import { Raft } from './raft.ts'

const [A, B, C] = ['a', 'b', 'c'] as [NodeId, NodeId, NodeId]

let heal: (() => void) | undefined
afterEach(() => heal?.())

/** The leader of term 4, with an entry of term 2 before its own first one, both stored. */
function leader(): Raft {
  const config = { voters: [A, B, C].map((id) => ({ id, witness: false })), learners: [] }
  const snapshot = { index: 1, term: 1, config, data: new Uint8Array(0) }
  const log = new RaftLog(snapshot, [{ term: 2, kind: 'data', bytes: utf8('x') }])
  const raft = new Raft({ self: A, hard: { term: 3, vote: null }, log, alive: () => true })
  raft.campaign(0)
  for (const pre of [true, false]) {
    raft.ready()
    raft.stored(0)
    raft.step(B, { t: 'voted', term: 4, pre, granted: true }, 0)
  }
  raft.ready()
  raft.stored(0)
  return raft
}

/** @returns how far it has committed when another has the old entry, and when it has the new one too. */
function commits(raft: Raft): number[] {
  return [2, 3].map((index) => {
    raft.step(B, { t: 'appended', term: 4, ok: true, index, round: 0 }, 0)
    return raft.commit
  })
}

it('an entry of an earlier term is committed with one of the leader’s own, however many have it (paper, figure 8)', () => {
  expect(commits(leader())).toEqual([1, 3])
})

it('a leader that counted copies of it would be found here', () => {
  heal = mutate('commit-old-terms')
  expect(commits(leader())).toEqual([2, 3])
})
