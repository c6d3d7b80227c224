import { beforeEach, describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { SimWitness } from '../../sim/witness.ts'
import { COMPACT_ENTRIES, GROUP_BEGIN_MS, MAX_ENTRY_BYTES, MAX_UNBORN_GROUPS } from '../limits.ts'
import { JournalLab, JournalNode, LIST } from './groups.contract.ts'
import type { Journal } from './journal.ts'
import { decodeWitnessFrame, type RaftMessage } from './raft/messages.ts'

let lab: JournalLab
beforeEach(() => {
  lab = new JournalLab()
})

/** A journal begun by the first node, with its members settled. */
async function begun(devices: string): Promise<JournalNode[]> {
  const nodes = await lab.boot(devices)
  await lab.run((nodes[0] as JournalNode).groups.create(LIST, new Uint8Array(0)))
  await lab.advance(10_000)
  return nodes
}

describe('a journal', () => {
  it('of a node that is alone is written at once, and says that it is kept once', async () => {
    const [a] = (await begun('a')) as [JournalNode]
    expect(await lab.run(a.owner.add('one'))).toEqual({ level: 'local', devices: 1 })
    expect(a.owner.texts).toEqual(['one'])
  })

  it('is kept by three nodes on three devices, and says so', async () => {
    const [a] = (await begun('abcde')) as [JournalNode]
    expect(lab.members(a)).toHaveLength(3)
    expect((await lab.run(a.owner.add('one'))).level).not.toBe('local')
    expect(await lab.run(a.owner.add('two', 'all'))).toEqual({ level: 'all', devices: 3 })
  })

  it('is kept by three from its first entry on', async () => {
    const [a] = (await lab.boot('abc')) as [JournalNode]
    await lab.run(a.groups.create(LIST, new Uint8Array(0)))
    expect(await lab.leader()).toBe(a)
    expect((await lab.run(a.owner.add('one'))).level).toBe('majority')
  })

  it('prefers nodes on other devices to tabs of the same', async () => {
    const [a, , , d] = (await begun('aaab')) as JournalNode[]
    expect(lab.members(a as JournalNode)).toContain((d as JournalNode).id)
    const [e] = await lab.boot('c')
    await lab.advance(10_000)
    const members = lab.members(a as JournalNode)
    expect(members).toHaveLength(3)
    expect(members).toEqual(expect.arrayContaining([(d as JournalNode).id, (e as JournalNode).id]))
  })

  it('is not begun by a tab that was closed: its disk may be another’s', async () => {
    const [a] = (await lab.boot('abc')) as [JournalNode]
    await lab.run(a.close())
    await expect(a.groups.create(LIST, new Uint8Array(0))).rejects.toMatchObject({ code: 'ECANCELED' })
    expect(a.disk.logs.has(LIST)).toBe(false)
  })

  it('goes on elsewhere within a second when its leader closes, with everything', async () => {
    const [a] = (await begun('abc')) as [JournalNode]
    for (let i = 0; i < 5; i++) await lab.run(a.owner.add(`entry ${i}`))
    const closing = a.close()
    const tookMs = await lab.until(() => lab.leaders().length === 1, 1_000)
    await lab.run(closing)
    expect(tookMs).toBeLessThan(1_000)
    expect(lab.leaders()[0]?.owner.texts).toEqual([0, 1, 2, 3, 4].map((i) => `entry ${i}`))
  })

  it('goes on elsewhere within 5 s when its leader is killed, with everything', async () => {
    const [a] = (await begun('abc')) as [JournalNode]
    for (let i = 0; i < 5; i++) await lab.run(a.owner.add(`entry ${i}`))
    a.crash()
    const tookMs = await lab.until(() => lab.leaders().length === 1, 10_000)
    expect(tookMs).toBeLessThan(5_000)
    const leader = lab.leaders()[0] as JournalNode
    expect(leader.owner.texts).toHaveLength(5)
    expect((await lab.run(leader.owner.add('more'))).level).toBe('majority')
  })

  it('recruits another node in place of one that is gone', async () => {
    const [a, ...others] = (await begun('abcd')) as [JournalNode, ...JournalNode[]]
    const victim = others.find(({ id }) => lab.members(a).includes(id)) as JournalNode
    victim.crash()
    await lab.advance(20_000)
    expect(lab.members(a)).toHaveLength(3)
    expect(lab.members(a)).not.toContain(victim.id)
  })

  it('is left to its leader when the others close one after the other', async () => {
    for (const order of [
      [1, 2],
      [2, 1],
    ]) {
      // biome-ignore format: one line
      lab = new JournalLab()
      const nodes = await begun('abc')
      await lab.run((nodes[0] as JournalNode).owner.add('one'))
      for (const i of order) {
        await lab.run((nodes[i] as JournalNode).close())
        await lab.advance(500)
      }
      const leader = await lab.leader()
      expect(nodes.filter(({ up }) => up)).toEqual([leader])
      expect(leader.owner.texts).toEqual(['one'])
      expect(await lab.run(leader.owner.add('two'))).toEqual({ level: 'local', devices: 1 })
    }
  })

  it('refuses to write where too few are here, and goes on when they return', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    await lab.run(a.owner.add('before'))
    b.crash()
    c.crash()
    await lab.until(() => a.membership.linked().length === 0, 10_000)
    await expect(lab.run(a.owner.add('lost'))).rejects.toMatchObject({ code: 'EAGAIN' })
    await lab.run(b.boot())
    const leader = await lab.leader(20_000)
    await lab.until(() => leader.groups.group(LIST).quorate)
    expect(leader.owner.texts).toEqual(['before'])
    expect((await lab.run(leader.owner.add('after'))).devices).toBe(2)
  })

  it('survives that all close and come back', async () => {
    const nodes = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    for (let i = 0; i < 20; i++) await lab.run(nodes[0].owner.add(`entry ${i}`))
    for (const node of nodes) node.crash()
    await lab.advance(60_000)
    for (const node of nodes.slice(1)) await lab.run(node.boot())
    const leader = await lab.leader(20_000)
    expect(leader.owner.texts).toHaveLength(20)
    await lab.run(leader.owner.add('again'))
    await lab.run(nodes[0].boot())
    await lab.advance(5_000)
    await lab.run(leader.owner.add('all', 'all'))
  })

  it('fences a leader that was cut off, and brings it up to date when it returns', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    await lab.run(a.owner.add('one'))
    for (const other of [b, c]) lab.hub.setPartition(a.id, other.id, true)
    await lab.until(() => a.membership.linked().length === 0, 20_000)
    const leader = await lab
      .until(() => b.owner.journal !== undefined || c.owner.journal !== undefined, 20_000)
      .then(() => (b.owner.journal ? b : c))
    await expect(lab.run(a.owner.add('never'))).rejects.toMatchObject({ code: 'EAGAIN' })
    await lab.run(leader.owner.add('two'))
    for (const other of [b, c]) lab.hub.setPartition(a.id, other.id, false)
    await lab.until(() => a.owner.journal === undefined, 120_000)
    // It was away for so long that the others went on as two: it is taken back as a newcomer is.
    const whole = () => lab.members(leader).filter((member) => !member.endsWith('?')).length === 3
    await lab.until(() => whole() && leader.membership.linked().length === 2)
    expect(await lab.run(leader.owner.add('three', 'all'))).toEqual({ level: 'all', devices: 3 })
    expect(leader.owner.texts).toEqual(['one', 'two', 'three'])
  })

  it('brings a newcomer up to date from a snapshot', async () => {
    const [a] = (await begun('a')) as [JournalNode]
    a.owner.fold = ({ entries }) => ({ snapshot: utf8(`${entries.length} texts`), bytes: 9 })
    const adding = Array.from({ length: COMPACT_ENTRIES }, (_, i) => a.owner.add(`entry ${i}`))
    await lab.run(Promise.all(adding))
    await lab.run(a.owner.add('after'))
    const [b] = (await lab.boot('b')) as [JournalNode]
    await lab.advance(10_000)
    expect(await lab.run(a.owner.add('both', 'all'))).toEqual({ level: 'all', devices: 2 })
    expect(fromUtf8(b.groups.group(LIST).committed().snapshot)).toMatch(/^40\d\d texts$/)
    expect(b.groups.group(LIST).lastIndex).toBe(a.groups.group(LIST).lastIndex)
  })

  it('is read by many at once', async () => {
    const [a] = (await begun('abc')) as [JournalNode]
    const group = a.groups.group(LIST)
    await lab.advance(2_000) // the lease has run out
    const first = group.confirm()
    await lab.advance(1)
    await lab.run(Promise.all([first, group.confirm()]))
  })

  it('is not made up by whoever invents names', async () => {
    const [a, b] = (await lab.boot('ab')) as [JournalNode, JournalNode]
    for (let i = 0; i < 1_000; i++) {
      const message = { t: 'vote', term: 1, pre: false, transfer: false, lastIndex: 0, lastTerm: 0 } as const
      a.rpc.note(b.id, 'journal.step', { group: `test/made-up-${i}`, message })
      await lab.advance(1)
    }
    expect(b.groups.names('test/').length).toBeLessThanOrEqual(MAX_UNBORN_GROUPS)
  })

  it('of which nothing is known but its name is forgotten when whoever told of it goes', async () => {
    const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
    for (const { owner } of [b, c]) owner.hold = () => new Promise<void>(() => undefined)
    a.groups.create(LIST, new Uint8Array(0)).catch(() => undefined)
    await lab.until(() => [b, c].every(({ groups }) => groups.find(LIST) !== undefined), 5_000)
    a.crash()
    await lab.advance(20_000)
    for (const { groups, disk } of [b, c]) {
      expect(groups.find(LIST)).toBeUndefined()
      expect(disk.logs.has(LIST)).toBe(false)
    }
  })

  it('survives its leader also where one of its members still waited for what it begins with', async () => {
    const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
    await lab.advance(10_000)
    c.owner.hold = () => new Promise<void>((resolve) => lab.clock.setTimer(resolve, 20_000, 'a large file'))
    await lab.run(a.groups.create(LIST, new Uint8Array(0)))
    expect((await lab.run(a.owner.add('acknowledged'))).level).toBe('majority')
    expect(c.groups.find(LIST)?.config.voters).toEqual([])
    a.crash()
    expect(await lab.leader(60_000)).toBe(b)
    expect(b.owner.texts).toEqual(['acknowledged'])
  })

  it('can be kept by others although somebody made up a thousand names, had them vote, and went', async () => {
    const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
    for (let i = 0; i < 1_000; i++) {
      const message = { t: 'vote', term: 1, pre: false, transfer: false, lastIndex: 0, lastTerm: 0 } as const
      for (const { id } of [b, c]) a.rpc.note(id, 'journal.step', { group: `test/made-up-${i}`, message })
      await lab.advance(1)
    }
    a.crash()
    await lab.advance(60_000)
    await lab.run(b.groups.create(LIST, new Uint8Array(0)), 60_000)
    await lab.advance(10_000)
    expect(c.groups.find(LIST)?.config.voters.length).toBeGreaterThan(0)
  })

  it('is not taken by a deposed leader that ends it from those who went on with it', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    for (const other of [b, c]) lab.hub.setPartition(a.id, other.id, true)
    await lab.until(() => b.owner.journal !== undefined || c.owner.journal !== undefined, 30_000)
    const leader = b.owner.journal ? b : c
    expect((await lab.run(leader.owner.add('acknowledged'))).level).toBe('majority')
    await lab.run(a.groups.retire(LIST))
    leader.crash()
    for (const other of [b, c]) lab.hub.setPartition(a.id, other.id, false)
    await lab.advance(60_000)
    await lab.run(leader.boot())
    await lab.advance(60_000)
    expect(lab.leaders().map(({ owner }) => owner.texts)).toEqual([['acknowledged']])
  })

  it('costs nothing while nobody writes: no timer, no message, however many there are', async () => {
    const nodes = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    for (let i = 0; i < 200; i++) await lab.run(nodes[(i % 3) as 0].groups.create(`test/idle-${i}`, new Uint8Array(0)))
    await lab.advance(30_000)
    let notes = 0
    for (const node of nodes) {
      const note = node.rpc.note.bind(node.rpc)
      node.rpc.note = (peer, name, body) => {
        if (name === 'journal.step') notes++
        note(peer, name, body)
      }
    }
    await lab.advance(60_000)
    expect(notes).toBe(0)
    expect(lab.clock.pending().filter(({ reason }) => reason.startsWith('journal'))).toEqual([])
  })
})

describe('a journal under attack, or under load', () => {
  const pause = (ms: number) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    lab.clock.setTimer(resolve, ms, 'a slow fetch')
    return promise
  }

  it('keeps a copy that counts when somebody who does not lead says that it is not needed', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    lab.hub.setPartition(a.id, c.id, true)
    expect((await lab.run(a.owner.add('precious'))).level).toBe('majority')
    c.rpc.note(b.id, 'journal.dismissed', { group: LIST, term: 0, index: 9 })
    c.rpc.note(b.id, 'journal.dismissed', { group: LIST, term: 1_000, index: 1_000 })
    await lab.advance(3)
    a.crash()
    expect((await lab.leader(60_000)).owner.texts).toEqual(['precious'])
  })

  it('does not come to life at a member that was still fetching when it was taken back', async () => {
    const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
    for (const { owner } of [b, c]) owner.hold = () => pause(1.5 * GROUP_BEGIN_MS)
    await expect(lab.run(a.groups.create(LIST, new Uint8Array(0)))).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    await lab.advance(30_000)
    for (const { groups, disk } of [a, b, c]) {
      expect(groups.names('test/')).toEqual([])
      expect([...disk.logs.keys(), ...disk.records.keys()].filter((name) => name.includes(LIST))).toEqual([])
    }
  })

  it('is not led by those who left it, though they are many and one of them never heard that it goes on', async () => {
    const [a, b, c, d, e] = (await begun('abcde')) as [JournalNode, JournalNode, JournalNode, JournalNode, JournalNode]
    const leader = await lab.leader()
    await lab.run(leader.owner.add('one'))
    const [x, y] = [a, b, c, d, e].filter((node) => node !== leader && lab.members(leader).includes(node.id)) as [
      JournalNode,
      JournalNode,
    ]
    // One vanishes with a copy; the other leaves too, comes back and is told that it is not needed.
    x.crash()
    await lab.until(() => !lab.members(leader).includes(x.id) && lab.members(leader).length === 3, 60_000)
    y.crash()
    await lab.until(() => !lab.members(leader).includes(y.id) && lab.members(leader).length === 3, 60_000)
    await lab.run(leader.owner.add('two'))
    await lab.run(y.boot())
    await lab.until(() => y.groups.find(LIST) === undefined, 60_000)
    // Those two meet where nobody else can be heard.
    for (const other of [a, b, c, d, e]) {
      for (const left of [x, y]) if (other !== x && other !== y) lab.hub.setPartition(left.id, other.id, true)
    }
    await lab.run(x.boot())
    await lab.advance(60_000)
    expect(lab.leaders()).toEqual([leader])
    expect(x.owner.journal).toBeUndefined()
    expect((await lab.run(leader.owner.add('three'))).level).toBe('majority')
  })

  it('leaves nothing on any disk when it ends', async () => {
    const nodes = await begun('abc')
    await lab.run((nodes[0] as JournalNode).owner.add('x'))
    await lab.run((nodes[0] as JournalNode).groups.retire(LIST))
    await lab.advance(1_000)
    for (const { disk } of nodes)
      expect([...disk.logs.keys(), ...disk.records.keys()].filter((name) => name.includes(LIST))).toEqual([])
  })

  it.each([
    ['', false],
    [' and its leader closed meanwhile', true],
  ])(
    'leaves nothing on any disk when it ends in the middle of a change of members%s, whenever that is',
    async (_what, closes) => {
      for (let afterMs = 0; afterMs <= 600; afterMs += 20) {
        lab = new JournalLab()
        await begun('aaab')
        await lab.boot('c')
        await lab.advance(afterMs)
        if (closes) await lab.run((await lab.leader()).close())
        await lab.run((await lab.leader(60_000)).groups.retire(LIST))
        await lab.advance(20_000)
        for (const { id, up, disk } of lab.nodes) {
          const left = [...disk.logs.keys(), ...disk.records.keys()].filter((name) => up && name.includes(LIST))
          expect({ afterMs, id, left }).toEqual({ afterMs, id, left: [] })
        }
      }
    },
  )

  it('is given up by a copy that has not begun when its leader says so, also while what another sent is being fetched', async () => {
    const [a, b, c] = (await lab.boot('abc')) as [JournalNode, JournalNode, JournalNode]
    c.owner.hold = () => new Promise<void>(() => undefined)
    const say = (from: JournalNode, message: RaftMessage) =>
      from.rpc.note(c.id, 'journal.step', { group: LIST, message })
    const voters = [a, b].map(({ id }) => ({ id, witness: false }))
    const snapshot = { index: 1, term: 1, config: { voters, learners: [c.id] }, data: utf8('x') }
    say(a, { t: 'snapshot', term: 1, snapshot, round: 1 })
    await lab.advance(1_000)
    expect(c.groups.find(LIST)).toBeDefined()
    // Another leads, and first asks how far it is.
    say(b, { t: 'append', term: 2, prevIndex: 5, prevTerm: 1, entries: [], commit: 0, round: 1 })
    await lab.advance(1_000)
    expect(c.groups.find(LIST)?.leader).toBe(b.id)
    b.rpc.note(c.id, 'journal.dismissed', { group: LIST, term: 2, index: 9 })
    await lab.advance(5_000)
    expect(c.groups.find(LIST)).toBeUndefined()
  })

  it.each([
    ['a term beyond all numbers', Number.MAX_SAFE_INTEGER],
    ['a term a little higher', 50],
  ])('goes on though somebody who is no member speaks in %s', async (_what, term) => {
    const [a, b, c, d] = (await begun('abcd')) as [JournalNode, JournalNode, JournalNode, JournalNode]
    const leader = await lab.leader()
    const stranger = [a, b, c, d].find(({ id }) => !lab.members(leader).includes(id)) as JournalNode
    const before = leader.groups.group(LIST).term
    const messages: RaftMessage[] = [
      { t: 'append', term, prevIndex: 1, prevTerm: 0, entries: [], commit: 0, round: 0 },
      { t: 'appended', term, ok: false, index: 0, round: 0 },
      { t: 'voted', term, pre: false, granted: false },
      { t: 'transfer', term },
    ]
    for (const { id } of [a, b, c, d].filter((node) => node !== stranger)) {
      for (const message of messages) stranger.rpc.note(id, 'journal.step', { group: LIST, message })
    }
    await lab.advance(3_000)
    expect(await lab.leader()).toBe(leader)
    expect(leader.groups.group(LIST).term).toBe(before)
    expect(await lab.run(leader.owner.add('goes on', 'all'))).toEqual({ level: 'all', devices: 3 })
  })

  it('goes on with the witness when the other keeper dies in the middle of a change of members', async () => {
    lab.hub.witness = new SimWitness(lab.clock)
    const [a, b] = (await begun('ab')) as [JournalNode, JournalNode]
    const leader = await lab.leader()
    const other = leader === a ? b : a
    other.crash()
    await lab.run(new JournalNode(lab, 'n3', 'c').boot())
    await lab.until(() => leader.groups.group(LIST).config.learners.length > 0, 2_000)
    expect(leader.membership.has(other.id)).toBe(true) // nobody has noticed yet
    expect((await lab.run(leader.owner.add('one'), 20_000)).level).toBe('majority')
  })

  it('tells the witness when it does not count on it any more', async () => {
    const told: string[] = []
    const witness = new SimWitness(lab.clock)
    lab.hub.witness = {
      id: witness.id,
      receive: (from, frame, alive) => {
        const said = decodeWitnessFrame(frame)
        if ('message' in said) told.push(said.message.t)
        return witness.receive(from, frame, alive)
      },
    }
    const [a] = (await begun('ab')) as [JournalNode]
    expect(lab.members(a)).toContain(witness.id)
    expect(told).not.toContain('released')
    await lab.boot('c')
    await lab.advance(10_000)
    expect(lab.members(a)).not.toContain(witness.id)
    expect(told.filter((t) => t === 'released')).toHaveLength(1)
  })

  it('elects while members still wait for what the dead leader wanted to be stored', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    for (const { owner } of [b, c]) owner.hold = () => pause(20_000).then(() => Promise.reject(new Error('it is gone')))
    a.owner.add('large').catch(() => undefined)
    await lab.advance(100)
    a.crash()
    expect(await lab.until(() => lab.leaders().length === 1, 120_000)).toBeLessThan(10_000)
  })

  it('reaches a member that was slow with what came before, without another change', async () => {
    const [a, , c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    const slow = new Promise<void>((resolve) => lab.clock.setTimer(resolve, 2_500, 'a large file'))
    c.owner.hold = (_kind, bytes) => (fromUtf8(bytes) === 'large' ? slow : undefined)
    await lab.run(a.owner.add('large'))
    await lab.run(a.owner.add('small'))
    await lab.until(() => c.groups.group(LIST).lastIndex === a.groups.group(LIST).lastIndex, 10_000)
  })

  it('is acknowledged in its own order, also where a second copy is only hoped for', async () => {
    const [a, b] = (await begun('ab')) as [JournalNode, JournalNode]
    const slow = new Promise<void>((resolve) => lab.clock.setTimer(resolve, 300, 'a large file'))
    b.owner.hold = (_kind, bytes) => (fromUtf8(bytes) === 'first' ? slow : undefined)
    const order: string[] = []
    const add = (text: string) => a.owner.add(text).then(() => order.push(text))
    const first = add('first')
    await lab.advance(50) // stored here, and committed where it is the only voter
    await lab.run(Promise.all([first, add('second'), add('third')]))
    expect(order).toEqual(['first', 'second', 'third'])
  })

  it('refuses an entry that fits no message, and goes on', async () => {
    const [a] = (await begun('abc')) as [JournalNode]
    await expect(lab.run(a.owner.add('x'.repeat(MAX_ENTRY_BYTES + 1)))).rejects.toMatchObject({ code: 'EFBIG' })
    expect((await lab.run(a.owner.add('x'.repeat(MAX_ENTRY_BYTES), 'all'))).devices).toBe(3)
  })

  it('does not wait for ever for a member that cannot store', async () => {
    const [a, b] = (await begun('abc')) as [JournalNode, JournalNode]
    b.owner.hold = () => Promise.reject(new Error('the disk is full'))
    expect((await lab.run(a.owner.add('x', 'all'))).level).toBe('majority')
  })

  it('is led by another when the leader’s disk fails', async () => {
    const [a] = (await begun('abc')) as [JournalNode]
    a.disk.quotaBytes = a.disk.usedBytes() + 10
    await expect(lab.run(a.owner.add('x'.repeat(1_000)))).rejects.toMatchObject({ code: 'ENOSPC' })
    await lab.until(() => lab.leaders().some((node) => node !== a), 60_000)
  })

  it('is kept again by a member whose disk has room again, without a reload', async () => {
    const [a, b, c] = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    c.disk.quotaBytes = c.disk.usedBytes() + 10
    expect((await lab.run(a.owner.add('x'.repeat(1_000)))).devices).toBe(2)
    await lab.until(() => c.groups.group(LIST).failure !== undefined, 10_000)
    await lab.advance(60_000) // tried in vain
    c.disk.quotaBytes = Number.POSITIVE_INFINITY
    // It may only learn for as long as it stores nothing.
    await lab.until(() => lab.members(a).includes(c.id) && a.groups.group(LIST).caughtUp(c.id), 90_000)
    await lab.run(a.owner.add('all', 'all'))
    b.rpc.close('its tab closed')
    expect((await lab.run(a.owner.add('y'))).devices).toBe(2)
  })

  it('of which nobody else keeps a copy goes on when its disk has room again', async () => {
    const [a] = (await begun('a')) as [JournalNode]
    await lab.run(a.owner.add('before'))
    a.disk.quotaBytes = a.disk.usedBytes() + 10
    await expect(lab.run(a.owner.add('x'.repeat(1_000)))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(lab.leaders()).toEqual([])
    a.disk.quotaBytes = Number.POSITIVE_INFINITY
    await lab.until(() => lab.leaders().length === 1, 10_000)
    await lab.run(a.owner.add('after'))
    expect(a.owner.texts).toEqual(['before', 'after'])
  })

  it('takes bytes that make no sense from nobody, and rejects nothing unheard', async () => {
    const [a, b] = (await begun('abc')) as [JournalNode, JournalNode]
    b.owner.hold = (_kind, bytes) => {
      if (fromUtf8(bytes) === 'garbage') throw new Error('no CBOR')
      return Promise.reject(new Error('cannot be had'))
    }
    const entry = (text: string) => ({ term: 9, kind: 'data' as const, bytes: utf8(text) })
    const entries = [entry('x'), entry('garbage')]
    const message = { t: 'append', term: 9, prevIndex: 1, prevTerm: 0, entries, commit: 0, round: 0 } as const
    a.rpc.note(b.id, 'journal.step', { group: LIST, message })
    await lab.advance(100)
    expect(b.membership.linked()).toContain(a.id)
  })

  it('takes nothing more from what its owner made of it before this node led it anew', async () => {
    const nodes = (await begun('abc')) as [JournalNode, JournalNode, JournalNode]
    const [a, b, c] = nodes
    const before = a.owner.journal as Journal
    const under = before.append([utf8('under way')]).catch(() => undefined)
    for (const node of [b, c]) node.crash()
    await lab.until(() => a.owner.journal === undefined, 10_000)
    await lab.run(under)
    for (const node of [b, c]) await lab.run(node.boot())
    await lab.leader()
    if (a.owner.journal === undefined) await lab.run(Promise.all([b, c].map((node) => node.close())))
    await lab.until(() => a.owner.journal !== undefined, 20_000)
    await expect(lab.run(before.append([utf8('late')]))).rejects.toMatchObject({ code: 'EAGAIN' })
    await lab.run(a.owner.add('anew'))
    expect(a.owner.texts).not.toContain('late')
  })

  it('refuses what is written after it was removed', async () => {
    const [a] = (await begun('a')) as [JournalNode]
    const { journal } = a.owner
    await lab.run(a.groups.retire(LIST))
    await expect(lab.run((journal as Journal).append([utf8('x')]))).rejects.toMatchObject({
      code: 'ECANCELED',
    })
  })
})
