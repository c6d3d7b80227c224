// Nodes that stay, and keep journals from beginning.
import { it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
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
