// Nothing is lost when a tab goes: processes survive their home, in real browsers.
import { expect, type Tab, test } from './fixtures.ts'

const EVENTS = 60

/** Many short events, each with a line of output, and one that waits for all of them. */
const PROGRAM = `
  export async function start(event, os) {
    const ids = []
    for (let i = 0; i < ${EVENTS}; i++) ids.push(await os.emit('line', i))
    await os.gather(ids, 'sum')
  }
  export async function line({ data }, os) {
    const until = performance.now() + 100
    while (performance.now() < until);
    await os.print('line ' + data)
    return data
  }
  export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b, 0))`

const EXPECTED = [...Array.from({ length: EVENTS }, (_, i) => `line ${i}`), `sum ${(EVENTS * (EVENTS - 1)) / 2}`].sort()

interface ProcessRow {
  kid: string
  state: string
  home: string
  done: number
}

async function start(tab: Tab): Promise<string> {
  await tab.page.evaluate((source) => globalThis.os.fs.writeFile('/lines.js', source), PROGRAM)
  const { kid } = await tab.page.evaluate(() => globalThis.os.run('/lines.js', []))
  return kid
}

const rowOf = async (tab: Tab, kid: string) =>
  (await tab.json<ProcessRow[]>('ps --json')).find((row) => row.kid === kid)

async function untilDone(tab: Tab, kid: string, count: number): Promise<void> {
  await expect.poll(async () => (await rowOf(tab, kid))?.done ?? 0, { intervals: [50] }).toBeGreaterThanOrEqual(count)
}

async function expectWhole(tab: Tab, kid: string): Promise<void> {
  await expect.poll(async () => (await rowOf(tab, kid))?.state, { timeout: 60_000 }).toBe('exited')
  expect((await tab.out(`cat /proc/${kid}/stdout`)).trimEnd().split('\n').sort()).toEqual(EXPECTED)
}

test('a process goes on when the tab that is its home is killed', async ({ tab, cluster }) => {
  test.setTimeout(120_000)
  const [a, b] = await cluster(2)
  const victim = await tab({ ignoreErrors: true })
  if (!a || !b) throw new Error('tabs')
  for (const each of [a, b, victim]) await each.untilPeers(2)
  const victimId = await victim.id()
  const kid = await start(victim)
  await untilDone(a, kid, 10)
  expect((await rowOf(a, kid))?.home).toBe(victimId)
  const followed = b.out(`cat /proc/${kid}/stdout`) // begun before, and not to be interrupted
  await victim.crash()
  await expectWhole(a, kid)
  expect((await rowOf(a, kid))?.home).not.toBe(victimId)
  expect((await followed).trimEnd().split('\n').sort()).toEqual(EXPECTED)
})

test('a process goes on when all tabs were closed and two of three come back', async ({ tab, cluster }) => {
  test.setTimeout(120_000)
  const [a, b, c] = (await cluster(3)) as [Tab, Tab, Tab]
  const kid = await start(a)
  await untilDone(b, kid, 10)
  for (const each of [a, b, c]) {
    await each.page.goto('about:blank') // as closing does, but the profile stays
  }
  const again = [await tab({ beside: b }), await tab({ beside: c })] as [Tab, Tab]
  for (const each of again) await each.untilPeers(1)
  await expectWhole(again[0], kid)
})

for (const devices of ['one device', 'two devices'] as const) {
  test(`of two tabs on ${devices} either may go: processes and files go on in the other`, async ({ tab }) => {
    test.setTimeout(180_000)
    const victim = await tab({ ignoreErrors: true })
    const other = await tab(devices === 'one device' ? { beside: victim } : {})
    for (const each of [victim, other]) await each.untilPeers(1)
    const kid = await start(victim)
    await untilDone(other, kid, 10)
    // The other has the journal once the relay is its third vote.
    const keep = () => victim.page.evaluate(async () => (await globalThis.os.fs.writeFile('/kept', 'x')).ack?.level)
    await expect.poll(keep, { timeout: 20_000 }).toBe('all')
    await victim.crash()
    await expectWhole(other, kid)
    expect(await other.out('cat /kept')).toBe('x')
    await other.page.evaluate(() => globalThis.os.fs.writeFile('/alone', 'y'))
    expect(await other.out('cat /alone')).toBe('y')
  })
}
