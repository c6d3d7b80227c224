import { expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import { nodeId } from '../harness.contract.ts'
import { JournalLab, type JournalNode, LIST } from './groups.contract.ts'
import { RaftLog } from './raft/log.ts'
import { Raft } from './raft/raft.ts'

it.each([
  ['nothing', undefined],
  ['the term of now', 1],
  ['a term that cannot be', Number.MAX_SAFE_INTEGER],
])('a node that a stranger has told %s can still be made a member', async (_what, term) => {
  const lab = new JournalLab()
  const nodes = await lab.boot('abcde')
  await lab.run((nodes[0] as JournalNode).groups.create(LIST, utf8('x')))
  const leader = await lab.leader()
  await lab.advance(5_000)
  const [victim, evil] = nodes.filter((node) => !lab.members(leader).includes(node.id)) as [JournalNode, JournalNode]
  // As the owner of a tree does while it fetches what nobody has.
  victim.owner.hold = (_kind, _bytes, from) => (from === evil.id ? new Promise<void>(() => undefined) : undefined)
  if (term !== undefined) {
    const { config } = leader.groups.group(LIST)
    const snapshot = { index: 5, term: 1, config, data: utf8('y') }
    evil.rpc.note(victim.id, 'journal.step', {
      group: LIST,
      message: { t: 'snapshot', term: 1, snapshot, round: 1 } as never,
    })
    await lab.advance(100)
    evil.rpc.note(victim.id, 'journal.dismissed', { group: LIST, term, index: 9 })
    await lab.advance(100)
  }
  evil.crash()
  const gone = nodes.find((node) => node !== leader && lab.members(leader).includes(node.id)) as JournalNode
  gone.crash()
  await lab.advance(120_000)
  const leads = await lab.leader(60_000)
  await lab.run(leads.owner.add('t'))
  await lab.advance(10_000)
  const group = victim.groups.find(LIST)
  expect({
    members: lab.members(leads).includes(victim.id),
    has: group?.lastIndex,
    term: leads.groups.group(LIST).term < 100,
  }).toEqual({
    members: true,
    has: leads.groups.group(LIST).lastIndex,
    term: true,
  })
})

it('who was dismissed and is called back in the same term has stored that term before it acknowledges', async () => {
  const lab = new JournalLab()
  const nodes = await lab.boot('abcd')
  await lab.run((nodes[0] as JournalNode).groups.create(LIST, utf8('x')))
  const leader = await lab.leader()
  await lab.advance(5_000)
  const others = () => nodes.filter((node) => node.up && node !== leader)
  const isIn = (node: JournalNode) => lab.members(leader).includes(node.id)
  const [gone, stays] = others().filter(isIn) as [JournalNode, JournalNode]
  // One is away for a moment, is replaced, comes back, and is told that it is no member any more.
  await lab.run(gone.close())
  await lab.advance(60_000)
  const third = nodes.find((node) => node !== leader && node !== stays && node !== gone) as JournalNode
  expect(isIn(third)).toBe(true)
  await lab.run(gone.boot())
  await lab.advance(60_000)
  expect(isIn(gone)).toBe(false)
  expect(gone.groups.find(LIST)).toBeUndefined()
  // The other goes, and it is called back.
  third.crash()
  await lab.advance(60_000)
  expect(isIn(gone)).toBe(true)
  expect(leader.owner.journal).toBeDefined()
  for (let i = 0; i < 3; i++) await lab.run(leader.owner.add(`t${i}`, 'all'))
  const { term } = leader.groups.group(LIST)
  const before = gone.groups.group(LIST)
  expect(before.term).toBe(term)
  // It has acknowledged that, and is alone when it comes back.
  gone.crash()
  for (const node of nodes) if (node !== gone) lab.hub.setPartition(gone.id, node.id, true)
  await lab.run(gone.boot())
  const after = gone.groups.group(LIST)
  expect({ entries: after.lastIndex, term: after.term }).toEqual({ entries: before.lastIndex, term })
})

it('what that leads to: entries of a later term, which it has acknowledged, give way to a former leader', () => {
  const [self, former, present] = ['s', 'f', 'p'].map(nodeId) as [NodeId, NodeId, NodeId]
  const voters = [self, former, present].map((id) => ({ id, device: id.padEnd(32, 'x').slice(0, 32), witness: false }))
  const start = { index: 1, term: 0, config: { voters, learners: [] } as never, data: new Uint8Array(0) }
  const bytes = utf8('x')
  // As it is after the reload of the test above: entries of term 5, and a term of 0.
  const log = new RaftLog(start, [{ term: 5, kind: 'data', bytes }])
  const raft = new Raft({ self, hard: { term: 0, vote: null }, log, alive: () => true })
  const entries = [{ term: 3, kind: 'data' as const, bytes }]
  raft.step(former, { t: 'append', term: 3, prevIndex: 1, prevTerm: 0, entries, commit: 1, round: 1 } as never, 0)
  expect(log.termAt(2)).toBe(5)
})
