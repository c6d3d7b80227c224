// How long a journal is without a leader, where that is not decided at once.
import { expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import { JournalLab, type JournalNode, LIST } from './groups.contract.ts'
import { decodeWitnessFrame, encodeWitnessFrame } from './raft/messages.ts'
import { NEW_WITNESS, Witness } from './raft/witness.ts'

for (const [latencyMs, limitMs] of [
  [[100, 300], 10_000],
  [[200, 400], 30_000],
  [[400, 900], 60_000],
] as const)
  it(`two of three elect one of them where a message takes ${latencyMs.join(' to ')} ms`, async () => {
    const took: number[] = []
    for (let seed = 1; seed <= 10; seed++) {
      const lab = new JournalLab({ seed, latencyMs })
      const nodes = await lab.boot('abc')
      await lab.run((nodes[0] as JournalNode).groups.create(LIST, new Uint8Array(0)))
      await lab.advance(20_000)
      const leader = await lab.leader(60_000)
      leader.crash()
      took.push(Math.round(await lab.until(() => lab.leaders().length === 1, 300_000).catch(() => 300_000)))
    }
    expect(took.filter((ms) => ms > limitMs)).toEqual([])
  }, 120_000)

for (const deadMs of [8_000, 17_000, 19_000, 21_000, 24_000, 30_000, 45_000])
  it(`of two: goes on when the relay sees, after ${deadMs} ms, that the leader's device is off`, async () => {
    const lab = new JournalLab({ seed: 1 })
    // One machine a journal, as in relay/witness.ts: it remembers who leads while it runs.
    const id = '12D3KooWre1ayre1ayre1ay' as NodeId
    let alive: (id: NodeId) => boolean = () => false
    let dead: NodeId | undefined
    let untilMs = 0
    const machine = new Witness(NEW_WITNESS, (who) => (who === dead ? lab.clock.nowMs() < untilMs : alive(who)))
    lab.hub.witness = {
      id,
      receive: (from, frame, isAlive) => {
        alive = isAlive
        const said = decodeWitnessFrame(frame)
        if (!('message' in said)) return []
        const answers = machine.step(from, said.message, lab.clock.nowMs())
        return answers.map(({ to, message }) => ({ to, frame: encodeWitnessFrame({ group: said.group, message }) }))
      },
    }
    const nodes = await lab.boot('ab')
    await lab.run((nodes[0] as JournalNode).groups.create(LIST, utf8('')))
    await lab.advance(3_000)
    const leader = await lab.leader()
    const other = nodes.find((n) => n !== leader) as JournalNode
    expect(lab.members(leader)).toContain(id)
    // The other is reloaded, and meanwhile somebody writes.
    await lab.run(other.close())
    await lab.advance(1_000)
    await lab.run(leader.owner.add('meanwhile'))
    await lab.run(other.boot())
    await lab.advance(10_000)
    expect(lab.members(leader)).toEqual([leader.id, other.id, id].sort())
    // The leader's device loses its power: the relay's connection to it ends when keep-alive has given it up.
    dead = leader.id
    untilMs = lab.clock.nowMs() + deadMs
    leader.crash()
    await lab.advance(deadMs)
    const ms = await lab.until(() => other.owner.journal !== undefined, 60_000)
    expect(ms).toBeLessThan(2_500)
  })
