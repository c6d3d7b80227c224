// Tabs that stand still, are cut off, or die one after the other while they work: nothing is lost, nothing is doubled.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright/test'
import { expect, Tab, test } from './fixtures.ts'
import { openFreezable } from './freezable.ts'
import { expectWhole, rowOf, startLines, untilDone } from './lines.ts'

interface WorkingRow {
  kid: string
  working: { node: string }[]
}

interface Story {
  assigned: number
  completed: number
  rerun: unknown[]
  homes: unknown[]
}

test('a tab that is frozen for 30 s in the middle of its leases doubles nothing and loses nothing', async ({
  relay,
  cluster,
}) => {
  test.setTimeout(300_000)
  const EVENTS = 120
  const [a, c] = (await cluster(2)) as [Tab, Tab]
  const frozen = await openFreezable(relay.url)
  const b = frozen.tab
  try {
    for (const each of [a, b, c]) await each.untilPeers(2)
    const id = await b.id()
    const awake = await b.page.evaluateHandle(() => {
      const ticks: number[] = []
      setInterval(() => ticks.push(performance.now()), 100)
      return ticks
    })
    const job = await startLines(a, EVENTS)
    const working = async () => {
      const row = (await a.json<WorkingRow[]>('ps --json')).find(({ kid }) => kid === job.kid)
      return row?.working.some(({ node }) => node === id)
    }
    await expect.poll(working, { intervals: [20], timeout: 60_000 }).toBe(true)
    await frozen.freeze()
    // What the tab has leased comes late, and is refused.
    const written = a.page.evaluate(() => globalThis.os.fs.writeFile('/meanwhile', 'x'))
    await Promise.all([written, sleep(30_000)]) // how long it is frozen is what is tested, nothing is waited for
    await frozen.thaw()
    const longestGapMs = await awake.evaluate((ticks) => {
      return Math.max(...[...ticks, performance.now()].map((at, i) => at - (ticks[i - 1] ?? at)))
    })
    expect(longestGapMs).toBeGreaterThan(20_000) // it was frozen indeed
    expect((await a.peers()).map((peer) => peer.id)).toContain(id)
    await expectWhole(a, job)
    await expectWhole(b, job)
    expect(await b.out('cat /meanwhile')).toBe('x')
    expect(b.errors).toEqual([])
  } finally {
    await frozen.close()
  }
})

test('what a frozen tab leads and was home of goes on without it, and it learns of that when it is back', async ({
  relay,
  tab,
}) => {
  test.setTimeout(300_000)
  const EVENTS = 60
  // The first tab leads `/`, the keg that it makes and the process that it starts.
  const frozen = await openFreezable(relay.url)
  const first = frozen.tab
  try {
    await first.out('keg create /data; echo 1 > /data/before')
    const [a, b] = [await tab(), await tab()]
    for (const each of [first, a, b]) await each.untilPeers(2)
    // With three keepers any one may be missed.
    const kept = (path: string) =>
      first.page.evaluate(async (at) => {
        type Write = (path: string, data: string, options: { ack: string }) => Promise<{ ack?: { devices: number } }>
        const { ack } = await (globalThis.os.fs.writeFile as Write)(at, '', { ack: 'all' })
        return ack?.devices
      }, path)
    for (const path of ['/ready', '/data/ready']) await expect.poll(() => kept(path), { timeout: 60_000 }).toBe(3)
    const job = await startLines(first, EVENTS)
    const done = async () =>
      (await a.json<{ kid: string; done: number }[]>('ps --json')).find(({ kid }) => kid === job.kid)
    await expect.poll(async () => (await done())?.done, { intervals: [20], timeout: 60_000 }).toBeGreaterThan(0)
    await frozen.freeze()
    await a.page.evaluate(() => globalThis.os.fs.writeFile('/meanwhile', 'x'))
    await b.page.evaluate(() => globalThis.os.fs.writeFile('/data/meanwhile', 'y'))
    await expectWhole(a, job)
    // It is there all the same; a busy worker is frozen before it could say so.
    const states = (await a.json<{ state: string }[]>('peers --json')).map(({ state }) => state)
    expect(states.sort().join()).toMatch(/^alive,(frozen|stalled)$/)
    await frozen.thaw()
    expect(await first.out('cat /meanwhile /data/meanwhile /data/before')).toBe('xy1\n')
    await expectWhole(first, job)
    await first.out('echo 2 > /data/after')
    expect(await b.out('cat /data/after')).toBe('2\n')
    expect(first.errors).toEqual([])
  } finally {
    await frozen.close()
  }
})

/** For a page before anything else of it runs: lets a test cut it off from all peers, and mend that. */
async function cuttable(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const Original = globalThis.RTCPeerConnection
    const open = new Set<RTCPeerConnection>()
    const state = { cut: false }
    class Cuttable extends Original {
      constructor(configuration: RTCConfiguration = {}) {
        // Without a TURN server there is no candidate of this kind: it cannot connect to anybody.
        super(state.cut ? { ...configuration, iceTransportPolicy: 'relay' } : configuration)
        open.add(this)
      }
    }
    Object.assign(globalThis, {
      RTCPeerConnection: Cuttable,
      cut(yes: boolean) {
        state.cut = yes
        for (const connection of open) if (yes) connection.close()
        open.clear()
      },
    })
  })
}

const cutOff = ({ page }: Tab, yes: boolean): Promise<void> =>
  page.evaluate((on) => (globalThis as unknown as { cut(on: boolean): void }).cut(on), yes)

test('a tab that is cut off a moment after it came goes on with the tree that it has read', async ({
  chrome,
  relay,
  cluster,
}) => {
  const [a, b] = (await cluster(2)) as [Tab, Tab]
  await a.page.evaluate(async () => {
    await globalThis.os.sh('mkdir /busy')
    for (let i = 0; i < 300; i++) await globalThis.os.fs.writeFile(`/busy/f${i % 20}`, `${i}`)
  })
  const context = await chrome.newContext()
  const page = await context.newPage()
  await cuttable(page)
  const lonely = await new Tab(page).open(relay.url)
  for (const each of [a, b, lonely]) await each.untilPeers(2)
  expect(await lonely.out('ls /busy; cat /busy/f19')).toContain('299')
  await cutOff(lonely, true)
  await lonely.untilPeers(0)
  await lonely.out('echo mine > /mine')
  expect(await lonely.out('ls /; ls /busy')).toMatch(/busy(.|\n)*mine(.|\n)*f19/)
  await cutOff(lonely, false)
  for (const each of [a, b, lonely]) await each.untilPeers(2, 60_000)
  await expect.poll(async () => (await a.sh('cat /mine /busy/f19')).stdout, { timeout: 60_000 }).toBe('mine\n299')
  await context.close()
})

test('two of five tabs that are cut off and come back have what the others have, and bring what they wrote', async ({
  chrome,
  relay,
  cluster,
}) => {
  test.setTimeout(300_000)
  const EVENTS = 200
  const others = await cluster(3)
  const lonely: Tab[] = []
  for (let i = 0; i < 2; i++) {
    const context = await chrome.newContext()
    const page = await context.newPage()
    await cuttable(page)
    lonely.push(await new Tab(page).open(relay.url))
  }
  const all = [...others, ...lonely]
  for (const each of all) await each.untilPeers(4)
  const [a] = others as [Tab]
  const [x, y] = lonely as [Tab, Tab]
  await a.out('echo before > /before')
  const job = await startLines(x, EVENTS)
  await untilDone(a, job, 11)
  const cut = (yes: boolean) => Promise.all(lonely.map((each) => cutOff(each, yes)))
  await cut(true)
  for (const each of lonely) await each.untilPeers(0)
  for (const each of others) await each.untilPeers(2)
  await a.out('echo there > /there')
  await x.out('echo x > /of-x')
  await y.out('echo y > /of-y')
  await cut(false)
  for (const each of all) await each.untilPeers(4, 60_000)
  for (const each of all) {
    const texts = () => each.sh('cat /before /there /of-x /of-y').then(({ stdout }) => stdout)
    await expect.poll(texts, { timeout: 60_000 }).toBe('before\nthere\nx\ny\n')
    await expectWhole(each, job)
  }
  const names = await a.out('ls /')
  expect(names).not.toContain('conflict')
  for (const { context } of lonely) await context.close()
})

test('twelve tabs, of which one is crashed and replaced every few seconds for a minute, count words exactly', async ({
  tab,
}) => {
  test.setTimeout(600_000)
  const tabs: Tab[] = []
  for (let i = 0; i < 12; i++) tabs.push(await tab({ ignoreErrors: true }))
  for (const each of tabs) await each.untilPeers(11, 60_000)
  const anyTab = () => tabs[0] as Tab
  const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']
  const REPEATS = 200_000
  const text = words.map((word, i) => `${word} `.repeat(REPEATS + i)).join('\n')
  const expected = words
    .map((word, i) => `${word} ${REPEATS + i}`)
    .sort()
    .join('\n')
  await anyTab().page.evaluate((content) => globalThis.os.fs.writeFile('/words.txt', content), text)
  const told = { killed: 0, jobs: 0, events: 0, rerun: 0, takeovers: 0, lost: 0, doubled: 0 }
  const endMs = Date.now() + 60_000
  const killer = (async () => {
    while (Date.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 4_000))
      const [victim] = tabs.splice(Math.floor(Math.random() * tabs.length), 1) as [Tab]
      await victim.crash()
      told.killed++
      tabs.push(await tab({ ignoreErrors: true }))
    }
  })()
  while (Date.now() < endMs) {
    told.jobs++
    const out = `/counts-${told.jobs}.txt`
    const args = ['/words.txt', out]
    const kid = await survive(tabs, (from) =>
      from.page.evaluate((all) => globalThis.os.run('/bin/examples/wordcount.js', all).then((run) => run.kid), args),
    )
    await expect
      .poll(() => survive(tabs, async (from) => (await rowOf(from, { kid }))?.state ?? 'away'), { timeout: 120_000 })
      .toBe('exited')
    // A tab that has just come may not have met those who keep the process, while twelve tabs share two cores.
    const printed = () => survive(tabs, (from) => from.sh(`cat /proc/${kid}/stdout /proc/${kid}/stderr`))
    const nothing = { stdout: '', stderr: '', code: 0 }
    await expect.poll(printed, { message: 'the job prints nothing', timeout: 60_000 }).toEqual(nothing)
    // While a branch is merged another tab may see the file a moment later.
    const counts = () => survive(tabs, async (from) => (await from.sh(`cat ${out}`)).stdout)
    await expect.poll(async () => (await counts()) !== '', { timeout: 60_000 }).toBe(true)
    const seen = (await counts()).trimEnd().split('\n').sort().join('\n')
    for (const [i, word] of words.entries()) {
      const count = Number(
        seen
          .split('\n')
          .find((line) => line.startsWith(`${word} `))
          ?.slice(word.length + 1) ?? 0,
      )
      if (count < REPEATS + i) told.lost++
      if (count > REPEATS + i) told.doubled++
    }
    expect(seen).toBe(expected)
    let why = nothing
    const asked = async () => {
      why = await survive(tabs, (from) => from.sh(`why --json ${kid}`))
      return why.code
    }
    await expect.poll(asked, { timeout: 60_000 }).toBe(0)
    const story = JSON.parse(why.stdout) as Story
    told.events += story.completed
    told.rerun += story.rerun.length
    told.takeovers += story.homes.length - 1
  }
  await killer
  process.stdout.write(
    `tabs killed ${told.killed}, jobs ${told.jobs}, events run ${told.events}, re-run ${told.rerun}, ` +
      `homes taken over ${told.takeovers}, lost ${told.lost}, doubled ${told.doubled}\n`,
  )
  expect(told).toMatchObject({ lost: 0, doubled: 0 })
})

/** Asks one tab; when that is killed meanwhile, another. What it does must be safe to repeat. */
async function survive<T>(tabs: Tab[], work: (from: Tab) => Promise<T>): Promise<T> {
  for (;;) {
    const from = tabs[Math.floor(Math.random() * tabs.length)] as Tab
    try {
      return await work(from)
    } catch (error) {
      if (tabs.includes(from)) throw error
    }
  }
}
