import { expect, it } from 'vitest'
import type { NodeId } from '../../../base/ids.ts'
import { RAFT_EAGER_RETRIES, RAFT_GIVE_WAY_MS, RAFT_RETRY_MAX_MS, RAFT_RETRY_MS } from '../../limits.ts'
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

it('whoever asks for votes in vain asks less and less often', () => {
  const { raft, sentTo } = leader()
  raft.campaign(0)
  const askedMs: number[] = []
  for (let nowMs = 0; nowMs <= 120_000; nowMs += 100) {
    raft.tick(nowMs)
    if (sentTo(B, nowMs).some(({ t }) => t === 'vote')) askedMs.push(nowMs)
  }
  const pausesMs = askedMs.slice(1).map((ms, i) => ms - (askedMs[i] as number))
  expect(pausesMs.slice(0, RAFT_EAGER_RETRIES - 1)).toEqual(Array(RAFT_EAGER_RETRIES - 1).fill(RAFT_RETRY_MS))
  expect(pausesMs.at(-1)).toBe(RAFT_RETRY_MAX_MS)
  // Somebody comes: it may be the one that was missing.
  raft.up(C, 120_000)
  raft.tick(120_000 + RAFT_RETRY_MS)
  expect(sentTo(B, 120_000 + RAFT_RETRY_MS)).toMatchObject([{ t: 'vote' }])
})

it('whoever lost sight of its leader, and asks for votes, hears of it', () => {
  const { raft, sentTo } = leader()
  raft.found(0)
  sentTo(B, 0)
  raft.step(B, { t: 'appended', term: 1, ok: true, index: 2, round: 1 }, 10)
  raft.step(C, { t: 'appended', term: 1, ok: true, index: 2, round: 1 }, 10)
  sentTo(B, 10)
  const lastTerm = 1
  raft.step(B, { t: 'vote', term: 2, pre: true, lastIndex: 2, lastTerm, transfer: false }, 20)
  expect(sentTo(B, 20)).toEqual([
    expect.objectContaining({ t: 'append', term: 1 }),
    { t: 'voted', term: 1, pre: true, granted: false },
  ])
})

it('whoever leads what most have no room for makes way, and leaves it to them to be elected', () => {
  const { raft, sentTo } = leader()
  raft.found(0)
  const stored = (from: NodeId, index: number) =>
    raft.step(from, { t: 'appended', term: 1, ok: true, index, round: 1 }, 10)
  stored(B, 2)
  stored(C, 2)
  raft.propose([new Uint8Array([3])], 20)
  sentTo(B, 20)
  raft.step(B, { t: 'full', term: 1 }, 30)
  expect(raft.role).toBe('leader') // C may have room
  raft.step(C, { t: 'full', term: 1 }, 40)
  expect(raft.role).toBe('follower')
  expect(sentTo(B, 40)).toContainEqual({ t: 'resigned', term: 1 })
  raft.campaign(50)
  expect(raft.role).toBe('follower')
  raft.campaign(40 + RAFT_GIVE_WAY_MS)
  expect(raft.role).toBe('precandidate')
})

it('whoever is said to be full, and stores it all the same, is no longer', () => {
  const { raft, sentTo } = leader()
  raft.found(0)
  raft.propose([new Uint8Array([3])], 20)
  sentTo(B, 20)
  raft.step(B, { t: 'full', term: 1 }, 30)
  raft.step(B, { t: 'appended', term: 1, ok: true, index: 3, round: 1 }, 40)
  expect(raft.commit).toBe(3)
  raft.propose([new Uint8Array([4])], 50)
  sentTo(B, 50)
  raft.step(C, { t: 'full', term: 1 }, 60)
  expect(raft.role).toBe('leader')
  // What is stored by all who are asked is in nobody's way.
  raft.step(B, { t: 'appended', term: 1, ok: true, index: 4, round: 2 }, 70)
  raft.step(B, { t: 'full', term: 1 }, 80)
  expect(raft.role).toBe('leader')
})
