// Keyed folds: steps of one key run one after the other, in their order, and hand their state on; whatever dies.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../base/bytes.ts'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { Data, ExitStatus } from '../../syscalls/types.ts'
import { bootSleepers, endSleepers, type TestCluster } from '../cluster.contract.ts'
import { blocksOf, Lab, nodeId } from '../harness.contract.ts'
import type { Journalled } from '../journal/journal.ts'
import { decodeData, encodeData } from './data.ts'
import { decodeStep, type EntryOf, encodeEntry, type ProcessStep } from './entries.ts'
import type { EventState } from './events.ts'
import { fold, unfold } from './fold.ts'
import { ProcessState } from './state.ts'

const home = nodeId('home')
const spawned: ProcessStep = {
  ...{ t: 'spawned', kid: `K-${'0'.repeat(64)}` as Kid, program: '/p.js', programCid: 'bafk', args: [], cwd: '/' },
  ...{ home, atMs: 1, eventMs: 1000, data: encodeData(null), genesis: new Uint8Array(1), signature: new Uint8Array(1) },
}
const step = (key: string, data: Data = null) => ({ task: 'step', data: encodeData(data), after: null, key })
const completed = (event: string, result: Data, more: Partial<EntryOf<'completed'>> = {}): ProcessStep => {
  const nothing = { emits: [], ops: [], exit: null }
  return { t: 'completed', event, token: 1, node: home, ms: 1, ...nothing, result: encodeData(result), ...more }
}
const assigned = (event: string): ProcessStep => ({ t: 'assigned', event, token: 1, node: home })
const op = { op: 'remove' as const, path: '/x', recursive: false }
const inputOf = (state: ProcessState, id: string) => decodeData(state.input(state.events.get(id) as EventState))

function replay(entries: readonly ProcessStep[]): ProcessState {
  const state = new ProcessState()
  for (const entry of entries) state.apply(decodeStep(encodeEntry(entry)))
  return state
}

describe('steps of a fold', () => {
  const begun = [spawned, completed('0', null, { emits: [step('a', 1), step('b', 2), step('a', 3)] })]

  it('run one after the other for one key, beside those of others', () => {
    expect(replay(begun).events.ready()).toEqual(['0.0', '0.1'])
    expect(replay([...begun, completed('0.0', 10)]).events.ready()).toEqual(['0.1', '0.2'])
  })

  it('get what the one before returned, the first null', () => {
    const state = replay([...begun, completed('0.0', { sum: 1 })])
    expect(inputOf(state, '0.1')).toEqual({ data: 2, state: null })
    expect(inputOf(state, '0.2')).toEqual({ data: 3, state: { sum: 1 } })
  })

  it('of later events go on where the earlier ones have ended', () => {
    const later = completed('0.1', 5, { emits: [step('a', 4)] })
    const state = replay([...begun, completed('0.0', 1), completed('0.2', 3), later])
    expect(inputOf(state, '2.0')).toEqual({ data: 4, state: 3 })
  })

  it('wait until what the one before wrote is visible', () => {
    const wrote = [...begun, completed('0.0', 1, { ops: [op] })]
    expect(replay(wrote).events.ready()).toEqual(['0.1'])
    expect(replay([...wrote, { t: 'applied', event: '0.0' }]).events.ready()).toEqual(['0.1', '0.2'])
  })

  it('hand nothing on to a gather, and leave nothing behind but the state', () => {
    const gather = { task: 'all', data: encodeData(null), after: ['0.0', '0.2'] }
    const state = replay([...begun, completed('0.1', 1, { emits: [gather] }), completed('0.0', 1), completed('0.2', 7)])
    expect(inputOf(state, '2.0')).toEqual({ data: null, results: [null, null] })
    expect([...state.events.kept()].map(({ id }) => id)).toEqual(['2.0'])
    expect(decodeData(state.events.folded('a') as Uint8Array)).toBe(7)
  })

  it('take no memory but that of their states, however many there are', () => {
    const state = replay([spawned, completed('0', null, { emits: [step('a')] })])
    const { bytes } = state.events
    for (let i = 0; i < 5_000; i++) {
      state.apply(decodeStep(encodeEntry(completed(i === 0 ? '0.0' : `${i}.0`, i, { emits: [step('a')] }))))
    }
    expect(state.events.bytes).toBeLessThan(bytes + 50)
  })

  it('are the same after a snapshot at any moment', async () => {
    const lab = new Lab({ split: true })
    const { blocks } = blocksOf(lab, await lab.node('a'))
    const keys = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 4 })
    const moves = fc.array(fc.record({ emits: keys, pick: fc.nat(20), files: fc.boolean() }), { maxLength: 25 })
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const plain = replay([spawned])
        let folded: Journalled = { snapshot: encodeEntry(spawned), entries: [] }
        for (const { emits, pick, files } of all) {
          const ready = plain.events.ready()
          const id = ready[pick % Math.max(1, ready.length)]
          if (id === undefined) break
          const count = plain.events.total
          const steps = [
            assigned(id),
            completed(id, count, { emits: emits.map((key) => step(key, count)), ops: files ? [op] : [] }),
            ...(files && pick % 2 === 0 ? [{ t: 'applied' as const, event: id }] : []),
          ]
          for (const each of steps) plain.apply(decodeStep(encodeEntry(each)))
          folded = { ...folded, entries: [...folded.entries, ...steps.map(encodeEntry)] }
          folded = { snapshot: (await fold(folded, blocks)).snapshot, entries: [] }
          const { state } = await unfold(folded, blocks)
          expect(state.events.ready().sort()).toEqual(plain.events.ready().sort())
          for (const each of state.events.ready()) expect(inputOf(state, each)).toEqual(inputOf(plain, each))
          expect(state.events.bytes).toBe(plain.events.bytes)
        }
      }),
      { numRuns: 150 },
    )
  })
})

describe('a process that folds', () => {
  let cluster: TestCluster
  let nodes: SimNode[]
  afterEach(endSleepers)

  async function start(count: number, seed: number): Promise<void> {
    ;({ cluster, nodes } = await bootSleepers(count, seed))
  }
  const run = async (node: SimNode, source: string, args: string[]) => {
    await cluster.run(node.fs.writeFile('/p.js', source))
    return (await cluster.run(node.os.call('run', { program: '/p.js', args, cwd: '/' }))).kid
  }
  const outputOf = async (node: SimNode, kid: Kid) => {
    const { exits } = await cluster.run(node.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
    expect((exits as ExitStatus[])[0]).toEqual({ kid, state: 'exited', code: 0, error: null })
    return fromUtf8(await cluster.run(node.fs.readFile(`/proc/${kid}/stdout`)))
  }

  it('does what the documentation shows', async () => {
    await start(2, 71)
    const document = readFileSync(join(import.meta.dirname, '../../../docs/programs.md'), 'utf8')
    const source = [...document.matchAll(/```js\n(.*?)```/gs)]
      .map(([, code]) => code)
      .find((code) => code?.includes('os.fold'))
    const kid = await run(nodes[0] as SimNode, source as string, ['pear', 'apple', 'plum', 'peach', 'apricot'])
    const lines = (await outputOf(nodes[1] as SimNode, kid)).trimEnd().split('\n')
    expect(lines.sort()).toEqual(['a: 2', 'p: 3'])
  })

  const TALLY = `
    export async function start({ data }, os) {
      const ids = []
      for (let i = 0; i < Number(data.args[0]); i++) ids.push(await os.emit('line', i))
      await os.gather(ids, 'end')
    }
    export async function line({ data }, os) {
      await testSleep(100)
      await os.fold('k' + data % 3, 'add', data)
    }
    export const add = async ({ data: { state, data } }) => {
      await testSleep(50)
      return { sum: (state?.sum ?? 0) + data, steps: (state?.steps ?? 0) + 1 }
    }
    export async function end(event, os) {
      for (const key of ['k0', 'k1', 'k2']) await os.fold(key, 'tell', key)
    }
    export async function tell({ data: { state, data } }, os) {
      await os.print([data, state.sum, state.steps].join(' '))
    }`

  it.each([72, 73, 74])('adds up exactly although its homes and executors are killed (seed %i)', async (seed) => {
    await start(5, seed)
    const kid = await run(nodes[0] as SimNode, TALLY, ['30'])
    for (const [i, victim] of nodes.slice(0, 3).entries()) {
      const asked = nodes[4] as SimNode
      const done = async () => (await cluster.run(asked.os.info('processes'))).find((row) => row.kid === kid)?.done ?? 0
      await cluster.until(async () => (await done()) >= 10 * (i + 1), 'some are done', 60_000)
      victim.crash()
      await cluster.advance(6_000)
      await cluster.run(victim.boot())
    }
    const lines = (await outputOf(nodes[4] as SimNode, kid)).trimEnd().split('\n')
    expect(lines.sort()).toEqual(['k0 135 10', 'k1 145 10', 'k2 155 10'])
  })
})
