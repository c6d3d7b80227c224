// Nodes that stay, and keep journals from beginning.
import { expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { beginning } from './beginnings.ts'
import { JournalLab, type JournalNode, LIST } from './groups.contract.ts'

it('a journal begins although somebody who is here makes up names all the time', async () => {
  const lab = new JournalLab()
  const [a, b, c, evil] = (await lab.boot('abcd')) as [JournalNode, JournalNode, JournalNode, JournalNode]
  evil.owner.hold = () => new Promise<void>(() => undefined)
  for (const victim of [a, b, c]) {
    for (let i = 0; i < 400; i++) {
      const message = { t: 'vote', term: 1, pre: false, transfer: false, lastIndex: 0, lastTerm: 0 } as const
      evil.rpc.note(victim.id, 'journal.step', { group: `test/made-up-${i}`, message })
    }
  }
  await lab.advance(2_000)
  for (let i = 0; i < 5; i++) await lab.run(a.groups.create(`${LIST}-${i}`, utf8('x')), 1_000)
})

it('a journal begins without those who are here and store nothing, and the next at once', async () => {
  const lab = new JournalLab()
  const [a, b, ...mute] = (await lab.boot('abcd')) as [JournalNode, JournalNode, JournalNode, JournalNode]
  for (const { owner } of mute) owner.hold = () => new Promise<void>(() => undefined)
  const tookMs: number[] = []
  for (let i = 0; i < 12; i++) {
    const beganMs = lab.clock.nowMs()
    // As for a process: each attempt has a name of its own.
    let attempt = 0
    await lab.run(
      beginning(lab.clock, (options) => a.groups.create(`${LIST}-${i}-${attempt++}`, utf8('x'), options)),
      60_000,
    )
    tookMs.push(lab.clock.nowMs() - beganMs)
  }
  expect(Math.max(...tookMs)).toBeLessThan(15_000)
  expect(tookMs.filter((ms) => ms > 1_000).length).toBeLessThanOrEqual(1)
  await lab.until(() => b.groups.names('test/').length > 0, 10_000)
})

it('nodes that are asked to keep a journal and store nothing of it keep no others from doing so', async () => {
  const lab = new JournalLab()
  const [a] = (await lab.boot('a')) as [JournalNode]
  await lab.run(a.groups.create(LIST, utf8('x')))
  const mute = (await lab.boot('bc')) as JournalNode[]
  for (const { owner } of mute) owner.hold = () => new Promise<void>(() => undefined)
  await lab.run(a.owner.add('1', 'local'))
  await lab.advance(5_000)
  const honest = await lab.boot('de')
  await lab.advance(5_000)
  expect(lab.members(a)).toEqual([a.id, ...mute.map(({ id }) => `${id}?`)].sort()) // there is no room for others yet
  const kept = () => honest.every(({ id }) => lab.members(a).includes(id))
  await lab.until(kept, 120_000)
  await lab.run(a.owner.add('2'))
  a.crash()
  const heir = await lab.leader(30_000)
  expect(honest).toContain(heir)
  expect(heir.owner.texts).toEqual(['1', '2'])
})
