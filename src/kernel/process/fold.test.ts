import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../base/bytes.ts'
import type { Kid } from '../../base/ids.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { blocksOf, Lab, nodeId } from '../harness.contract.ts'
import type { Journalled } from '../journal/journal.ts'
import { encodeData } from './data.ts'
import { decodeEntry, type EntryOf, encodeEntry, type ProcessStep } from './entries.ts'
import { fold, tellPast, unfold } from './fold.ts'
import type { ProcessState } from './state.ts'

const home = nodeId('home')
const spawned: ProcessStep = {
  ...{ t: 'spawned', kid: `K-${'0'.repeat(64)}` as Kid, program: '/p.js', programCid: 'bafk', args: [], cwd: '/' },
  ...{ home, atMs: 1, eventMs: 1000, data: encodeData(null), genesis: new Uint8Array(1), signature: new Uint8Array(1) },
}
const emit = (task: string, after: string[] | null = null) => ({ task, data: encodeData(task), after })
function completed(event: string, token: number, more: Partial<EntryOf<'completed'>> = {}): ProcessStep {
  const nothing = { result: encodeData(null), emits: [], ops: [], exit: null }
  return { t: 'completed', event, task: 'task', token, node: home, ms: 1, atMs: 2, ...nothing, ...more }
}
const assigned = (event: string, token: number): ProcessStep => {
  return { t: 'assigned', event, task: 'task', token, node: home, why: 'there is room', atMs: 2 }
}

let blocks: Blocks
beforeEach(async () => {
  const lab = new Lab({ split: true })
  ;({ blocks } = blocksOf(lab, await lab.node('a')))
})

/** A journal that is folded whenever it has that many entries. */
class FoldedJournal {
  before: Journalled = { snapshot: encodeEntry(spawned), entries: [] }
  folds = 0
  #grown = 0
  #stands = 0
  readonly #every: number

  constructor(every: number) {
    this.#every = every
  }

  async add(...steps: ProcessStep[]): Promise<void> {
    for (const step of steps) {
      const entry = encodeEntry(step)
      this.#grown += entry.byteLength
      this.before.entries.push(entry)
    }
    // As journals do: not before it has grown by as much as the last snapshot stands for.
    if (this.before.entries.length < this.#every || this.#grown < this.#stands) return
    const { snapshot, bytes } = await fold(this.before, blocks)
    this.before = { snapshot, entries: [] }
    this.folds++
    this.#grown = 0
    this.#stands = this.#every === 1 ? 0 : bytes
  }

  async state(): Promise<ProcessState> {
    return (await unfold(this.before, blocks)).state
  }

  /** All that it tells, page by page. */
  async told(most = 100) {
    const rows = []
    for (let after = -1; ; ) {
      const page = await tellPast(this.before, { after, most }, blocks)
      if (page.length === 0) return rows
      rows.push(...page)
      after = page.at(-1)?.n as number
    }
  }
}

/** What can be seen of a state: output as bytes, however it is kept. */
async function seen(state: ProcessState) {
  const picture = state.picture()
  const text = async (stream: 1 | 2) => {
    const parts = picture.output[stream].map(async ([, bytes, cid]) => bytes ?? (await blocks.get(cid as string)))
    return concat(await Promise.all(parts))
  }
  const events = {
    ...picture.events,
    open: [...picture.events.open].sort(),
    results: [...picture.events.results].sort(),
  }
  return { ...picture, events, ready: state.events.ready(), output: [await text(1), await text(2)] }
}

describe('a snapshot of a process', () => {
  it('stands for all that was journalled before it, whenever it is made', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(), fc.nat(6), fc.boolean()), { maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, every) => {
          const whole = new FoldedJournal(Number.POSITIVE_INFINITY)
          const folded = new FoldedJournal(every)
          for (const [pick, kind, flag] of steps) {
            const state = await whole.state()
            const step = nextStep(state, pick, kind, flag)
            if (!step) continue
            await whole.add(step)
            await folded.add(step)
          }
          expect(await seen(await folded.state())).toEqual(await seen(await whole.state()))
          expect(await folded.told(3)).toEqual(await whole.told())
        },
      ),
      { numRuns: 60 },
    )
  })

  it.each([
    ['a chain', chain],
    ['half of them at once, twice', fan],
  ])(
    'keeps a journal of 100,000 events small: %s',
    async (_how, grow) => {
      const journal = new FoldedJournal(8_192)
      await grow(journal, 100_000)
      const state = await journal.state()
      expect([state.events.done, state.events.total]).toEqual([100_001, 100_001])
      expect(state.finished).toBe(true)
      expect([...state.events.kept()]).toHaveLength(0)
      expect(journal.folds).toBeGreaterThan(5)
      const { snapshot } = await fold(journal.before, blocks)
      expect(snapshot.byteLength).toBeLessThan(64 * 1024)
      const rows = await tellPast({ snapshot, entries: [] }, { after: 90_000, most: 1 }, blocks)
      expect(rows[0]).toMatchObject({ what: 'completed', task: 'task' })
    },
    120_000,
  )

  it('does not forget what a gather will ask for, and knows which ids were never given', async () => {
    const journal = new FoldedJournal(1)
    await journal.add(assigned('0', 1), completed('0', 1, { emits: [emit('a'), emit('b')] }))
    await journal.add(completed('0.0', 1, { result: encodeData('kept') }))
    await journal.add(completed('0.1', 1, { emits: [emit('c')] }))
    const state = await journal.state()
    const open = state.events.get('2.0')
    expect(open?.status).toBe('ready')
    await journal.add(assigned('2.0', 1))
    const later = await journal.state()
    for (const known of ['0', '0.0', '0.1', '2.0']) {
      expect(later.problem('2.0', 1, [emit('sum', [known])])).toBeUndefined()
    }
    for (const unknown of ['0.2', '1.0', '2.1', '7.0']) {
      expect(later.problem('2.0', 1, [emit('sum', [unknown])])?.what).toContain('never emitted')
    }
  })

  it('joins what was printed a little at a time', async () => {
    const journal = new FoldedJournal(1_000)
    const line = utf8(`${'x'.repeat(99)}\n`)
    for (let i = 0; i < 8_000; i++) {
      await journal.add({ t: 'output', event: '0', stream: 1, length: line.length, bytes: line })
    }
    const state = await journal.state()
    expect(state.outputLength(1)).toBe(800_000)
    expect(state.output[1].length).toBeLessThan(12)
  })
})

function nextStep(state: ProcessState, pick: number, kind: number, flag: boolean): ProcessStep | undefined {
  const events = [...state.events.kept()]
  const event = events[pick % Math.max(1, events.length)]
  if (!event) return undefined
  const { id, status, token, leases } = event
  const op = { op: 'remove' as const, path: '/x', recursive: false }
  if (kind === 0 && status === 'ready') return assigned(id, token + 1)
  if (kind === 1 && status === 'leased' && leases.length === 1)
    return { ...assigned(id, token + 1), beside: true } as ProcessStep
  if (kind === 2 && status === 'leased') {
    const emits = pick % 3 ? [emit('a'), emit('b', [`${event.number}.0`, '0'])] : []
    const result = encodeData(pick % 2 ? null : id)
    return completed(id, leases[0]?.token as number, { emits, result, ops: flag ? [op] : [] })
  }
  if (kind === 3 && status === 'leased') {
    const lease = leases[pick % leases.length] as { token: number }
    return { t: 'lost', event: id, token: lease.token, node: home, kind: flag ? 'died' : 'link', why: 'gone', atMs: 1 }
  }
  if (kind === 4)
    return { t: 'output', event: id, stream: flag ? 1 : 2, length: 3, bytes: utf8(`${pick % 900}   `.slice(0, 3)) }
  if (kind === 5 && state.unapplied.size > 0) return { t: 'applied', event: [...state.unapplied.keys()][0] as string }
  if (kind === 6 && pick % 20 === 0) return { t: 'ended', state: 'failed', code: 1, error: 'x', atMs: 1 }
  return kind === 6 ? { t: 'paused', paused: flag, atMs: 1 } : undefined
}

const printed = (event: string): ProcessStep => ({ t: 'output', event, stream: 1, length: 1, bytes: utf8('.') })

async function chain(journal: FoldedJournal, count: number): Promise<void> {
  let id = '0'
  for (let i = 0; i <= count; i++) {
    const emits = i < count ? [emit('next')] : []
    await journal.add(printed(id), completed(id, 1, { emits }))
    id = `${i}.0`
  }
}

async function fan(journal: FoldedJournal, count: number): Promise<void> {
  const emits = Array.from({ length: count / 2 }, () => emit('one'))
  await journal.add(completed('0', 1, { emits }))
  for (let i = 0; i < count / 2; i++) {
    const more = i === 0 ? emits : []
    await journal.add(completed(`0.${i}`, 1, { emits: more }))
  }
  for (let i = 0; i < count / 2; i++) await journal.add(completed(`1.${i}`, 1))
}

describe('a snapshot that is not ours', () => {
  it.each([
    ['garbage', Uint8Array.of(0xff)],
    ['nothing', new Uint8Array(0)],
    ['something else', encodeData({ a: 1 })],
  ])('is EIO: %s', async (_what, body) => {
    const folded = { t: 'folded' as const, kid: `K-${'0'.repeat(64)}` as Kid, programCid: 'x', count: 5, body }
    const snapshot = encodeEntry(folded)
    expect(decodeEntry(snapshot).t).toBe('folded')
    await expect(unfold({ snapshot, entries: [] }, blocks)).rejects.toMatchObject({ code: 'EIO' })
  })

  it.each([
    ['events from nowhere', { emitted: [[2 ** 40, 0]] }],
    [
      'children that nobody emitted',
      {
        emitted: [
          [1, 0],
          [5, 0],
        ],
      },
    ],
    ['an event without a number', { open: [['0', 9, 'start', new Uint8Array(0), null, 0, []]] }],
    ['an event twice', { results: [['0', 0, new Uint8Array(1)]] }],
    ['one held back that is not done', { held: ['0'] }],
  ])('is EIO with %s', async (_what, events) => {
    const { snapshot } = await fold({ snapshot: encodeEntry(spawned), entries: [] }, blocks)
    const folded = decodeEntry(snapshot) as EntryOf<'folded'>
    const honest = decode(folded.body as Uint8Array)
    const body = encode({ ...honest, events: { ...honest.events, ...events } })
    const poisoned = { snapshot: encodeEntry({ ...folded, body }), entries: [] }
    await expect(unfold(poisoned, blocks)).rejects.toMatchObject({ code: 'EIO' })
  })

  it('is EIO when it names one block again and again', async () => {
    const part = new Uint8Array(1024 * 1024)
    const cid = await blocks.cidOf(RAW, part)
    await blocks.putMany([[cid, part]])
    const body = Array.from({ length: 30_000 }, () => cid)
    const folded = { t: 'folded' as const, kid: `K-${'0'.repeat(64)}` as Kid, programCid: 'x', count: 5, body }
    await expect(unfold({ snapshot: encodeEntry(folded), entries: [] }, blocks)).rejects.toMatchObject({ code: 'EIO' })
  })

  it('is EIO where it stands among the entries', async () => {
    const { snapshot } = await fold({ snapshot: encodeEntry(spawned), entries: [] }, blocks)
    const entries = [snapshot]
    await expect(unfold({ snapshot: encodeEntry(spawned), entries }, blocks)).rejects.toMatchObject({ code: 'EIO' })
  })
})
