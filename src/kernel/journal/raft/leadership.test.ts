import { expect, it } from 'vitest'
import type { NodeId } from '../../../base/ids.ts'
import { RAFT_RETRY_MS } from '../../limits.ts'
import { RaftLog } from './log.ts'
import type { RaftMessage } from './messages.ts'
import { Raft } from './raft.ts'

const [A, B, C] = ['a', 'b', 'c'] as NodeId[] as [NodeId, NodeId, NodeId]

/** A leader of three, which has stored everything, and what it sends. */
function leader() {
  const config = { voters: [A, B, C].map((id) => ({ id, witness: false })), learners: [] }
  const log = new RaftLog({ index: 1, term: 0, config, data: new Uint8Array(0) }, [])
  const raft = new Raft({ self: A, hard: { term: 0, vote: null }, log, alive: () => true })
  const sentTo = (id: NodeId, nowMs: number): RaftMessage[] => {
    const messages: RaftMessage[] = []
    for (let ready = raft.ready(); ready; ready = raft.ready()) {
      messages.push(...[...ready.early, ...ready.late].filter(({ to }) => to === id).map(({ message }) => message))
      raft.stored(nowMs)
    }
    return messages
  }
  return { raft, sentTo }
}

it('a member that took only the first of two messages gets what was in the second again', () => {
  const { raft, sentTo } = leader()
  const stored = (index: number, nowMs: number) =>
    raft.step(B, { t: 'appended', term: 1, ok: true, index, round: 1 }, nowMs)
  raft.found(0)
  sentTo(B, 0)
  stored(2, 10)
  raft.propose([new Uint8Array([3])], 20)
  expect(sentTo(B, 20)).toMatchObject([{ prevIndex: 2, entries: [{ kind: 'data' }] }])
  raft.propose([new Uint8Array([4])], 30)
  expect(sentTo(B, 30)).toEqual([])
  // Not answered for so long that it is sent again, now with both; B is busy with the first message and takes that one.
  raft.tick(RAFT_RETRY_MS + 20)
  expect(sentTo(B, RAFT_RETRY_MS + 20)).toMatchObject([{ prevIndex: 2, entries: [{}, {}] }])
  stored(3, RAFT_RETRY_MS + 30)
  expect(sentTo(B, RAFT_RETRY_MS + 30)).toMatchObject([{ prevIndex: 3, entries: [{ kind: 'data' }] }])
})
