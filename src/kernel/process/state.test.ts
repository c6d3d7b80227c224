import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import { MAX_PENDING_EVENTS } from '../../syscalls/limits.ts'
import { nodeId } from '../harness.contract.ts'
import { MAX_PROCESS_BYTES } from '../limits.ts'
import { decodeData, encodeData } from './data.ts'
import { decodeEntry, decodeStep, type EntryOf, encodeEntry, type ProcessStep } from './entries.ts'
import type { EventState } from './events.ts'
import { ProcessState } from './state.ts'

type Completed = EntryOf<'completed'>
const home = nodeId('home')
const spawned: ProcessStep = {
  t: 'spawned',
  kid: `K-${'0'.repeat(64)}` as Kid,
  program: '/p.js',
  programCid: 'bafk',
  args: [],
  cwd: '/',
  home,
  atMs: 1,
  eventMs: 1000,
  data: encodeData({ args: [], cwd: '/' }),
  genesis: new Uint8Array(1),
  signature: new Uint8Array(1),
}
const assigned = (event: string, token = 1): ProcessStep => ({ t: 'assigned', event, token, node: home })
const lost = (event: string, token: number): ProcessStep => {
  return { t: 'lost', event, token, node: home, kind: 'link', why: 'gone', atMs: 1 }
}
const completed = (event: string, more: Partial<Completed> = {}): Completed => {
  return {
    t: 'completed',
    event,
    token: 1,
    node: home,
    result: encodeData(event),
    emits: [],
    ops: [],
    exit: null,
    ms: 2,
    ...more,
  }
}
const emit = (task: string, after: string[] | null = null) => ({ task, data: encodeData(task), after })
const op = { op: 'remove' as const, path: '/x', recursive: false }

function replay(entries: readonly ProcessStep[]): ProcessState {
  const state = new ProcessState()
  for (const entry of entries) state.apply(decodeStep(encodeEntry(entry)))
  return state
}
const inputOf = (state: ProcessState, id: string) => decodeData(state.input(state.events.get(id) as EventState))
const ready = (state: ProcessState) => state.events.ready()

describe('a process, as its journal tells it', () => {
  it('begins with one event, start', () => {
    const state = replay([spawned])
    expect(ready(state)).toEqual(['0'])
    expect(inputOf(state, '0')).toEqual({ args: [], cwd: '/' })
    expect(state.finished).toBe(false)
  })

  it('gives emitted events ids that derive from their parent (replays make the same)', () => {
    const state = replay([
      spawned,
      completed('0', { emits: [emit('a'), emit('b')] }),
      completed('0.1', { emits: [emit('c')] }),
    ])
    expect([...state.events.kept()].map(({ id }) => id)).toEqual(['0', '0.0', '0.1', '2.0'])
    expect(ready(state)).toEqual(['0.0', '2.0'])
  })

  it('hands a gather all results in the order of its ids, whatever the order of completion', () => {
    const emits = [emit('a'), emit('b'), emit('c'), emit('sum', ['0.2', '0.0', '0.1', '0.0'])]
    const state = replay([spawned, completed('0', { emits }), completed('0.1'), completed('0.2')])
    expect(state.events.get('0.3')?.status).toBe('waiting')
    expect(ready(state)).toEqual(['0.0'])
    state.apply(completed('0.0'))
    expect(ready(state)).toEqual(['0.3'])
    expect(inputOf(state, '0.3')).toEqual({ data: 'sum', results: ['0.2', '0.0', '0.1', '0.0'] })
  })

  it('knows whether anybody is about to go on from an event, or the process to end', () => {
    const emits = [emit('a'), emit('b'), emit('c'), emit('sum', ['0.0', '0.1'])]
    const { events } = replay([spawned, completed('0', { emits })])
    expect(['0.0', '0.1', '0.2'].map((id) => events.opensNothing(id, 1))).toEqual([true, true, true])
    expect(['0.0', '0.1', '0.2'].map((id) => events.opensNothing(id, 2))).toEqual([false, false, true])
    expect(events.opensNothing('0.2', 4)).toBe(false)
  })

  it('runs a gather of nothing at once, with no results', () => {
    const state = replay([spawned, completed('0', { emits: [emit('sum', [])] })])
    expect(inputOf(state, '0.0')).toEqual({ data: 'sum', results: [] })
    expect(ready(state)).toEqual(['0.0'])
  })

  it('lets a gather wait for another gather', () => {
    const emits = [emit('a'), emit('first', ['0.0']), emit('second', ['0.1'])]
    const state = replay([spawned, completed('0', { emits }), completed('0.0')])
    expect(ready(state)).toEqual(['0.1'])
    state.apply(completed('0.1'))
    expect(ready(state)).toEqual(['0.2'])
  })

  it('drops a duplicate completion: the event’s effects appear once (invariant 3)', () => {
    const state = replay([spawned, completed('0', { emits: [emit('a')] })])
    const before = state.picture()
    state.apply(completed('0', { emits: [emit('x'), emit('y')], result: encodeData('other') }))
    expect(state.picture()).toEqual(before)
  })

  it('fences a completion with an older token, and says why (invariant 2)', () => {
    const state = replay([spawned, assigned('0', 1)])
    state.apply(lost('0', 1))
    state.apply(assigned('0', 2))
    expect(state.problem('0', 1, [])).toEqual({ of: 'lease', what: 'fenced: lease 1 was replaced by 2' })
    expect(state.problem('0', 2, [])).toBeUndefined()
    state.apply(completed('0', { token: 2 }))
    expect(state.problem('0', 2, [])).toEqual({ of: 'lease', what: 'already completed' })
    expect(state.problem('9', 1, [])).toEqual({ of: 'lease', what: 'no such event' })
  })

  it('refuses a gather that waits for what was never emitted, for itself or for a later sibling', () => {
    const state = replay([spawned, assigned('0')])
    for (const after of ['0.1', '0.0', '1', '', '0.', '0.-1', '0.0x', 'constructor']) {
      const what = `gather waits for '${after}', which was never emitted`
      expect(state.problem('0', 1, [emit('sum', [after])])).toEqual({ of: 'program', what })
    }
    expect(state.problem('0', 1, [emit('a'), emit('sum', ['0.0'])])).toBeUndefined()
    expect(state.problem('0', 1, [emit('a'), emit('sum', ['0.0.0'])])?.what).toContain('never emitted')
    expect(state.problem('0', 1, [emit('a'), emit('sum', ['0.1'])])?.what).toContain('never emitted')
  })

  it('refuses more events than a home can keep', () => {
    const state = replay([spawned, assigned('0')])
    const many = { length: MAX_PENDING_EVENTS, *[Symbol.iterator]() {}, entries: () => [] } as never
    expect(state.problem('0', 1, many)?.what).toMatch(/would be pending/)
  })

  it('refuses more data than a home can keep', () => {
    const state = replay([spawned, assigned('0')])
    const huge = { task: 'x', data: { byteLength: MAX_PROCESS_BYTES } as Uint8Array, after: null }
    expect(state.problem('0', 1, [huge])?.what).toMatch(/bytes of events and results/)
  })

  it('does not run an event’s successors before its files are in the tree', () => {
    const emits = [emit('reads the file'), emit('sum', ['0.0'])]
    const state = replay([spawned, completed('0', { emits, ops: [op] })])
    expect(ready(state)).toEqual([])
    expect(state.finished).toBe(false)
    state.apply({ t: 'applied', event: '0' })
    expect(ready(state)).toEqual(['0.0'])
    state.apply({ t: 'applied', event: '0' })
    expect(ready(state)).toEqual(['0.0'])
  })

  it('delivers a result to a gather only when the files of its event are in the tree', () => {
    const emits = [emit('a'), emit('sum', ['0.0'])]
    const state = replay([spawned, completed('0', { emits }), completed('0.0', { ops: [op] })])
    expect(ready(state)).toEqual([])
    state.apply({ t: 'applied', event: '0.0' })
    expect(ready(state)).toEqual(['0.1'])
  })

  it('gives back a lost lease, once, before others', () => {
    const state = replay([spawned, completed('0', { emits: [emit('a'), emit('b')] }), assigned('0.0')])
    expect(ready(state)).toEqual(['0.1'])
    state.apply(lost('0.0', 1))
    state.apply(lost('0.0', 1))
    expect(ready(state)).toEqual(['0.0', '0.1'])
  })

  it('counts the output taken from each event, so that a repetition can be dropped', () => {
    const state = replay([
      spawned,
      { t: 'output', event: '0', stream: 1, length: 3, bytes: new Uint8Array(3) },
      { t: 'output', event: '0', stream: 2, length: 5, cid: 'bafk' },
      { t: 'output', event: '0', stream: 1, length: 4, bytes: new Uint8Array(4) },
    ])
    expect([state.outputLength(1), state.outputLength(2)]).toEqual([7, 5])
    expect(state.taken.get('0/1')).toBe(7)
    expect(state.output[1].map(({ offset }) => offset)).toEqual([0, 3])
  })

  it('has nothing ready after its end', () => {
    const state = replay([spawned, { t: 'ended', state: 'killed', code: 130, error: null, atMs: 9 }])
    expect(ready(state)).toEqual([])
    expect(state.ended).toMatchObject({ state: 'killed', code: 130 })
  })

  it('is the same after a replay of its journal as it was, whatever happened', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(5), fc.boolean()), { maxLength: 60 }), (steps) => {
        const journal: ProcessStep[] = []
        const state = new ProcessState()
        const record = (entry: ProcessStep) => {
          journal.push(entry)
          state.apply(entry)
        }
        record(spawned)
        for (const [pick, kind, flag] of steps) {
          const ids = [...state.events.kept()].map((event) => event.id)
          const id = ids[pick % ids.length] as string
          const event = state.events.get(id)
          if (kind === 0 && event?.status === 'ready') record(assigned(id, event.token + 1))
          else if (kind === 1 && event?.status === 'leased') {
            const sibling = `${event.number}.0`
            const emits = [emit('a'), emit('b', [sibling, id === '0' ? sibling : '0'])]
            record(completed(id, { token: event.token, emits: pick % 3 ? emits : [], ops: flag ? [op] : [] }))
          } else if (kind === 2) record({ t: 'output', event: id, stream: flag ? 1 : 2, length: pick % 9, cid: 'x' })
          else if (kind === 3 && state.unapplied.size > 0)
            record({ t: 'applied', event: [...state.unapplied.keys()][0] as string })
          else if (kind === 4 && event?.status === 'done') record(completed(id, { emits: [emit('again')] }))
          else if (kind === 5 && pick % 20 === 0) record({ t: 'ended', state: 'failed', code: 1, error: 'x', atMs: 1 })
        }
        expect(replay(journal).picture()).toEqual(state.picture())
        expect(new Set(ready(state)).size).toBe(ready(state).length)
        for (const id of ready(state)) expect(state.events.get(id)?.status).toBe('ready')
      }),
    )
  })
})

describe('a journal that is not ours', () => {
  it.each([
    ['garbage', Uint8Array.of(0xff)],
    ['an unknown entry', encode({ t: 'rewound' })],
    ['an entry with more than it should have', encode({ ...assigned('0'), more: 1 })],
    ['an entry with less', encode({ t: 'assigned', event: '0' })],
    ['nothing', new Uint8Array(0)],
  ])('is EIO: %s', (_what, bytes) => {
    expect(() => decodeEntry(bytes)).toThrow(OsError)
    try {
      decodeEntry(bytes)
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' })
    }
  })
})
