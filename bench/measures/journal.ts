// What it costs that processes survive: their journal is on three devices, strictly durable on each, before anything
// counts. Events and entries a second through one process, how long one entry takes, how long a process stands still
// when its home goes, and the main job beside the same one with journals in memory.
import type { Lab, Tab } from '../lab.ts'
import { median, type Row, row } from '../report.ts'
import { writeText } from './wordcount.ts'

const TABS = 3

/** Many events that do nothing. */
const EVENTS = `
  export async function start({ data }, os) {
    const left = []
    for (let i = 0; i < Number(data.args[0]); i++) left.push(os.emit('one', null))
    await Promise.all(left)
  }
  export const one = () => undefined`
/** Events one after the other, so that each entry waits for the one before. */
const CHAIN = `
  export const start = ({ data }, os) => os.emit('link', Number(data.args[0]))
  export const link = ({ data }, os) => data > 0 && os.emit('link', data - 1)`
/** A line every few ms until it is killed, by several events, so that some run outside of its home. */
const TICKER = `
  export async function start(event, os) { for (let i = 0; i < 6; i++) await os.emit('tick', i) }
  export async function tick({ data }, os) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await os.print('tick ' + data)
    await os.emit('tick', data)
  }`

async function write(tab: Tab, path: string, text: string): Promise<void> {
  await tab.page.evaluate(([name, content]) => globalThis.os.fs.writeFile(name, content), [path, text] as const)
}

/** Events a second, from `run` to its end. */
async function eventsPerSecond(tab: Tab, program: string, count: number): Promise<number> {
  const began = performance.now()
  await tab.out(`run ${program} ${count}`)
  return (count * 1000) / (performance.now() - began)
}

/** How long entries take that nothing hides: STOP and CONT are one each, and are answered when it is safe. */
async function entries(tab: Tab, kid: string, count: number): Promise<{ alone: number[]; shell: number[] }> {
  return tab.page.evaluate(
    async ([name, wanted]) => {
      const timed = async (line: string) => {
        const began = performance.now()
        await globalThis.os.sh(line)
        return performance.now() - began
      }
      const alone: number[] = []
      const shell: number[] = []
      for (let i = 0; i < wanted; i++) {
        alone.push(await timed(`kill -STOP ${name}`))
        shell.push(await timed(`kill -STOP ${name}`)) // stopped already: nothing is journalled
        alone.push(await timed(`kill -CONT ${name}`))
        shell.push(await timed(`kill -CONT ${name}`))
      }
      return { alone, shell }
    },
    [kid, count] as const,
  )
}

/** Seconds in which a process prints nothing when its home goes, as another tab sees it. */
async function takeover(lab: Lab, how: 'crash' | 'close'): Promise<number> {
  return lab.site(async (site) => {
    const [home, watcher] = (await site.cluster(TABS)) as [Tab, Tab]
    await write(home, '/ticker.js', TICKER)
    const kid = (await home.out('run --detach /ticker.js')).trim()
    await watcher.page.evaluate((name) => {
      const times: number[] = []
      Object.assign(globalThis, { times })
      const follow = async () => {
        for await (const _piece of globalThis.os.fs.read(`/proc/${name}/stdout`)) times.push(performance.now())
      }
      follow().catch(() => undefined) // it is never ended
    }, kid)
    const printed = (since: number, least: number) =>
      watcher.page.waitForFunction(
        ([sinceMs, wanted]) =>
          (globalThis as unknown as { times: number[] }).times.filter((at) => at > sinceMs).length >= wanted,
        [since, least] as const,
        { polling: 20, timeout: 60_000 },
      )
    await printed(0, 20)
    const goneMs = await watcher.page.evaluate(() => performance.now())
    await (how === 'crash' ? home.crash() : home.page.close({ runBeforeUnload: true }))
    // What was on its way still arrives: the pause is the longest one within the lines after that.
    await printed(goneMs, 1)
    await new Promise((resolve) => setTimeout(resolve, 8_000))
    const times = await watcher.page.evaluate(() => (globalThis as unknown as { times: number[] }).times)
    const from = times.findLastIndex((at) => at <= goneMs)
    const gaps = times.slice(Math.max(0, from)).map((at, i, all) => at - (all[i - 1] ?? at))
    return Math.max(...gaps) / 1000
  })
}

async function overhead(lab: Lab, dist?: string): Promise<number[]> {
  const megabytes = lab.pick(100, 16)
  return lab.site(
    async (site) => {
      const [first] = (await site.cluster(TABS)) as [Tab]
      await writeText(first, '/text', megabytes * 1e6)
      const speeds: number[] = []
      for (let i = 0; i < lab.pick(4, 1); i++) {
        const began = performance.now()
        await first.out(`run /bin/examples/wordcount.js /text /counts-${i}`)
        speeds.push((megabytes * 1000) / (performance.now() - began))
      }
      return speeds.slice(lab.pick(1, 0))
    },
    dist ? { dist } : {},
  )
}

async function rates(lab: Lab): Promise<Row[]> {
  return lab.site(async (site) => {
    const [home] = (await site.cluster(TABS)) as [Tab]
    await write(home, '/events.js', EVENTS)
    await write(home, '/chain.js', CHAIN)
    await write(home, '/ticker.js', TICKER)
    const many: number[] = []
    const chained: number[] = []
    for (let i = 0; i < lab.pick(4, 2); i++) {
      many.push(await eventsPerSecond(home, '/events.js', lab.pick(4_000, 400)))
      chained.push(await eventsPerSecond(home, '/chain.js', lab.pick(200, 40)))
    }
    const kid = (await home.out('run --detach /ticker.js')).trim()
    const { alone, shell } = await entries(home, kid, lab.pick(200, 20))
    await home.out(`kill ${kid}`)
    const floor = median(shell)
    const net = alone.map((ms) => Math.max(0, ms - floor))
    const target = { of: 'value', least: 2_000 } as const
    return [
      row({ name: `journal: events of one process on ${TABS} tabs, all at once`, unit: '/s', samples: many, target }),
      row({ name: `journal: events of one process on ${TABS} tabs, one by one`, unit: '/s', samples: chained }),
      row({ name: 'journal: one entry on three devices, p50', unit: 'ms', samples: net }),
      row({ name: 'journal: one entry on three devices, p99', unit: 'ms', samples: net, quantile: 0.99 }),
    ]
  })
}

export async function journal(lab: Lab): Promise<Row[]> {
  const rows = await rates(lab)
  for (const [how, most] of [
    ['crash', 5],
    ['close', 1],
  ] as const) {
    const samples: number[] = []
    for (let i = 0; i < lab.pick(4, 1); i++) samples.push(await takeover(lab, how))
    const what = how === 'crash' ? 'killed' : 'closed'
    rows.push(
      row({ name: `journal: home ${what}, until the next output`, unit: 's', samples, target: { of: 'value', most } }),
    )
  }
  const inMemory = await overhead(lab, lab.builtWithMemoryJournals())
  rows.push(
    row({
      name: 'journal: WordCount on 3 tabs',
      unit: 'MB/s',
      samples: await overhead(lab),
      beside: { what: 'journals in memory', samples: inMemory },
      target: { of: 'ratio', least: 0.9 },
    }),
  )
  return rows
}
