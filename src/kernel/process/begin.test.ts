// A process that begins while those who should keep its journal cannot be reached, or answer late.
import { afterEach, expect, it } from 'vitest'
import type { SimNode } from '../../sim/cluster.ts'
import { bootSleepers, endSleepers } from '../cluster.contract.ts'

const runs: string[] = []
afterEach(() => {
  endSleepers()
  Reflect.deleteProperty(globalThis, 'testRan')
})
const SOURCE = `export async function start(event, os) { testRan(); await testSleep(1_000); await os.print('x') }`

async function ready(count: number, seed: number) {
  const { cluster, nodes } = await bootSleepers(count, seed)
  runs.length = 0
  Object.assign(globalThis, { testRan: () => runs.push('ran') })
  await cluster.advance(12_000) // nobody is new any more
  const [home, ...others] = nodes as [SimNode, ...SimNode[]]
  await cluster.run(home.fs.writeFile('/p.js', SOURCE))
  for (const node of nodes) await cluster.run(node.fs.readFile('/p.js'))
  const run = () => home.os.call('run', { program: '/p.js', args: [], cwd: '/' })
  return { cluster, home, others, run }
}
const keeps = (node: SimNode) => (node.kernel?.journals ?? []).some(({ name }) => name.startsWith('process/'))

it.each(['silent', 'cut'])('runs once where its home loses its network while it begins: %s', async (how) => {
  const { cluster, home, others, run } = await ready(3, 50)
  run().catch(() => undefined)
  while (!others.every(keeps)) await cluster.advance(0.25)
  const set = (on: boolean) => {
    for (const { id } of others)
      if (how === 'cut') cluster.hub.setPartition(id, home.id, on)
      else cluster.hub.setSilent(id, home.id, on)
  }
  set(true)
  await cluster.advance(40_000)
  set(false)
  await cluster.advance(60_000)
  expect(runs).toEqual(['ran'])
})

it('survives its home also where those who keep it were busy for seconds when it began', async () => {
  const { cluster, home, others, run } = await ready(3, 36)
  const thaws = others.map((node) => node.freeze())
  let kid: string | undefined
  run().then(
    (said) => {
      kid = said.kid
    },
    () => undefined,
  )
  for (let ms = 0; ms < 30_000 && kid === undefined; ms += 100) {
    if (ms === 8_000) for (const thaw of thaws) thaw()
    await cluster.advance(100)
  }
  home.crash()
  for (const thaw of thaws) thaw()
  await cluster.advance(30_000)
  const rows = await cluster.run((others[0] as SimNode).os.info('processes'))
  expect(rows.map((row) => row.kid)).toContain(kid)
})
