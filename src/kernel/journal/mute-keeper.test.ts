// A keeper that is there and stores nothing more: its disk is full, or its tab hangs.
import { expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { SimWitness } from '../../sim/witness.ts'
import { JournalLab, type JournalNode, LIST } from './groups.contract.ts'

const never = () => new Promise<void>(() => undefined)

async function timeOf(lab: JournalLab, work: Promise<unknown>): Promise<number> {
  const beganMs = lab.clock.nowMs()
  await lab.run(work, 60_000)
  return lab.clock.nowMs() - beganMs
}

it('stops nobody where there are two and a witness, learns from then on, and votes again when it stores', async () => {
  const lab = new JournalLab()
  const witness = new SimWitness(lab.clock)
  lab.hub.witness = witness
  const [a, b] = (await lab.boot('ab')) as [JournalNode, JournalNode]
  await lab.run(a.groups.create(LIST, utf8('x')))
  const both = [a.id, b.id, witness.id].sort()
  await lab.until(() => lab.members(a).join() === both.join(), 20_000)
  const { hold } = b.owner
  b.owner.hold = never
  expect(await timeOf(lab, a.owner.add('1'))).toBeLessThan(10_000)
  for (const text of ['2', '3']) expect(await timeOf(lab, a.owner.add(text))).toBeLessThan(1_000)
  expect(await timeOf(lab, a.groups.group(LIST).confirm())).toBeLessThan(1_000)
  await lab.until(() => lab.members(a).includes(`${b.id}?`), 100_000)
  b.owner.hold = hold as never
  await lab.until(() => lab.members(a).join() === both.join(), 60_000)
  await lab.run(a.owner.add('4', 'all'))
  // What was written meanwhile survives whoever wrote it.
  a.crash()
  const heir = await lab.leader(30_000)
  expect(heir.owner.texts).toEqual(['1', '2', '3', '4'])
})

it('is replaced where there are others', async () => {
  const lab = new JournalLab()
  const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
  await lab.run(a.groups.create(LIST, utf8('x')))
  const [d] = (await lab.boot('d')) as [JournalNode]
  c.owner.hold = never
  for (const text of ['1', '2']) expect(await timeOf(lab, a.owner.add(text))).toBeLessThan(1_000)
  await lab.until(() => lab.members(a).join() === [a.id, b.id, d.id].sort().join(), 100_000)
})
