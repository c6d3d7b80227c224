// Nothing is lost when a tab goes: processes survive their home, in real browsers.
import { expect, type Tab, test } from './fixtures.ts'
import { expectLines, expectWhole, rowOf, startLines, untilDone } from './lines.ts'

const EVENTS = 60

test('a process goes on when the tab that is its home is killed', async ({ tab, cluster }) => {
  test.setTimeout(240_000)
  const [a, b] = await cluster(2)
  const victim = await tab({ ignoreErrors: true })
  if (!a || !b) throw new Error('tabs')
  for (const each of [a, b, victim]) await each.untilPeers(2)
  const victimId = await victim.id()
  const job = await startLines(victim, EVENTS)
  await untilDone(a, job, 10)
  expect((await rowOf(a, job))?.home).toBe(victimId)
  const followed = b.out(`cat /proc/${job.kid}/stdout`) // begun before, and not to be interrupted
  await victim.crash()
  await expectWhole(a, job)
  expect((await rowOf(a, job))?.home).not.toBe(victimId)
  expectLines(await followed, job)
})

test('a process goes on when all tabs were closed and two of three come back', async ({ tab, cluster }) => {
  test.setTimeout(240_000)
  const [a, b, c] = (await cluster(3)) as [Tab, Tab, Tab]
  const job = await startLines(a, EVENTS)
  await untilDone(b, job, 10)
  for (const each of [a, b, c]) {
    await each.page.goto('about:blank') // as closing does, but the profile stays
  }
  const again = [await tab({ beside: b }), await tab({ beside: c })] as [Tab, Tab]
  for (const each of again) await each.untilPeers(1)
  await expectWhole(again[0], job)
})

const endings: [string, (each: Tab) => Promise<unknown>][] = [
  ['killed', (each) => each.crash()], // all at once, as far as they can tell
  ['closed tab by tab', (each) => each.page.close({ runBeforeUnload: true })],
]
for (const [how, close] of endings) {
  test(`of a browser that was ${how} with three tabs in it one comes back: processes and files go on`, async ({
    tab,
  }) => {
    test.setTimeout(300_000)
    const first = await tab()
    const tabs = [first, await tab({ beside: first }), await tab({ beside: first })]
    for (const each of tabs) await each.untilPeers(2)
    const write = (path: string) =>
      first.page.evaluate(async (to) => (await globalThis.os.fs.writeFile(to, 'x')).ack?.devices, path)
    await expect.poll(() => write('/before'), { timeout: 60_000 }).toBeGreaterThan(0)
    const job = await startLines(first, EVENTS)
    await untilDone(first, job, 10)
    for (const each of tabs) await close(each)
    const back = await tab({ beside: first })
    await expectWhole(back, job)
    expect(await back.out('cat /before')).toBe('x')
    // Whom it took for that has gone again, and it has all by itself.
    await back.untilPeers(0, 90_000)
    await back.out('echo after > /after')
    expect((await back.out('ls /')).split(/\s+/)).toEqual(expect.arrayContaining(['after', 'before']))
    expect(await back.out('ls /')).not.toContain('conflict')
  })
}

for (const devices of ['one device', 'two devices'] as const) {
  test(`of two tabs on ${devices} either may go: processes and files go on in the other`, async ({ tab }) => {
    test.setTimeout(300_000)
    const victim = await tab({ ignoreErrors: true })
    const other = await tab(devices === 'one device' ? { beside: victim } : {})
    for (const each of [victim, other]) await each.untilPeers(1)
    const job = await startLines(victim, EVENTS)
    await untilDone(other, job, 10)
    // The other has the journal once the relay is its third vote.
    const keep = () => victim.page.evaluate(async () => (await globalThis.os.fs.writeFile('/kept', 'x')).ack?.level)
    await expect.poll(keep, { timeout: 60_000 }).toBe('all')
    await victim.crash()
    await expectWhole(other, job)
    expect(await other.out('cat /kept')).toBe('x')
    await other.page.evaluate(() => globalThis.os.fs.writeFile('/alone', 'y'))
    expect(await other.out('cat /alone')).toBe('y')
  })
}
