// Events of tabs that stand still.
import { afterEach, expect, it } from 'vitest'
import type { Kid } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import type { CallArgs } from '../../syscalls/table.ts'
import type { HistoryRow } from '../../syscalls/types.ts'
import { bootSleepers, endSleepers, historyOf, type TestCluster } from '../cluster.contract.ts'

let cluster: TestCluster
let nodes: SimNode[]
afterEach(endSleepers)
const at = (index: number) => nodes[index] as SimNode

async function run(source: string, limits: CallArgs<'run'>['limits'] = {}): Promise<Kid> {
  await cluster.run(at(0).fs.writeFile('/p.js', source))
  return (await cluster.run(at(0).os.call('run', { program: '/p.js', args: [], cwd: '/', limits }))).kid
}
/** A slot of the home is busy: what comes next goes elsewhere. */
async function start(count: number, seed: number): Promise<void> {
  ;({ cluster, nodes } = await bootSleepers(count, seed))
  await run('export const start = () => testSleep(1e9)')
  await cluster.advance(200)
}
const rowsOf = async (kid: Kid, what: string, task: string) => {
  return (await historyOf(cluster, at(0), kid)).filter((row) => row.what === what && row.task === task)
}
const nodeOf = ({ node }: HistoryRow) => nodes.find(({ id }) => id === node) as SimNode
async function leasedTo(kid: Kid, task: string): Promise<SimNode> {
  await cluster.until(async () => (await rowsOf(kid, 'assigned', task)).length === 1, 'leased')
  const node = nodeOf((await rowsOf(kid, 'assigned', task))[0] as HistoryRow)
  expect(node).not.toBe(at(0))
  return node
}

it('a process that may use one tab goes on when that stands still', async () => {
  await start(3, 1)
  const kid = await run(`export const start = () => testSleep(3_000)`, { nodes: 1 })
  ;(await leasedTo(kid, 'start')).freeze()
  await cluster.advance(120_000)
  expect(await rowsOf(kid, 'completed', 'start')).toHaveLength(1)
})

it('an event of a tab that stands still gets company also while there is always something to start', async () => {
  await start(3, 1)
  const kid = await run(`
    export async function start(event, os) { await os.emit('one', null); for (let i = 0; i < 30; i++) await os.emit('tick', i) }
    export const one = () => testSleep(4_000)
    export async function tick({ data }, os) { await testSleep(700); await os.emit('tick', data) }`)
  ;(await leasedTo(kid, 'one')).freeze()
  await cluster.advance(120_000)
  expect(await rowsOf(kid, 'completed', 'one')).toHaveLength(1)
})

it('an event with which each tab that has it stands still does not take all of them', async () => {
  let most = 0
  for (let seed = 1; seed < 8; seed++) {
    await start(8, seed)
    const kid = await run(`export const start = (event, os) => os.emit('bad', null)
      export const bad = () => testSleep(1e9)`)
    const fallen = new Set<SimNode>()
    for (let i = 0; i < 240 && !fallen.has(at(0)); i++) {
      await cluster.advance(500)
      const held = (await rowsOf(kid, 'assigned', 'bad')).map(nodeOf)
      if (held.includes(at(0))) break // this test has to ask somebody
      for (const node of held)
        if (!fallen.has(node)) {
          fallen.add(node)
          node.freeze()
        }
    }
    most = Math.max(most, fallen.size)
    endSleepers()
  }
  expect(most).toBeLessThanOrEqual(3) // as of those that take their tabs with them: MAX_DEATHS
})

it.each(['visible', 'hidden', 'freeze'] as const)(
  'whoever waits for a process hears of its end when its home is %s and stands still, and another goes on',
  async (seen) => {
    ;({ cluster, nodes } = await bootSleepers(3, 4))
    const kid = await run(`
      export async function start(event, os) { await os.print('begins'); for (let i = 0; i < 12; i++) await os.emit('one', i) }
      export const one = () => testSleep(1_000)`)
    await cluster.advance(1_500)
    const other = at(1)
    const exit = other.os.call('wait', { for: 'exit', kids: [kid] })
    const output = other.fs.readFile(`/proc/${kid}/stdout`, 'utf8')
    await cluster.advance(50)
    at(0).kernel?.lifecycle(seen)
    at(0).freeze()
    expect((await cluster.run(exit, 120_000)).exits).toMatchObject([{ state: 'exited', code: 0 }])
    expect(await cluster.run(output, 120_000)).toBe('begins\n')
  },
)
