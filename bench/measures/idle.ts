// What a tab costs that nobody uses, in a mesh of eight: processor time of its renderer, in percent of one core. On
// Linux also by thread. Beside it a bare xterm in the same browser.
import { readdirSync, readFileSync } from 'node:fs'
import type { Page } from 'playwright'
import type { Lab, ProcessInfo, Site, Tab } from '../lab.ts'
import { connectRaw } from '../raw-channel.ts'
import { type Row, row } from '../report.ts'

const TABS = 8

async function openBare(site: Site): Promise<number> {
  const page = await site.page()
  await page.goto(`${site.pages.url}/xterm`)
  return site.rendererOf(page)
}

async function openTabs(site: Site): Promise<number[]> {
  const tabs: Tab[] = []
  const pids: number[] = []
  while (tabs.length < TABS) {
    const tab = await site.tab()
    tabs.push(tab)
    pids.push(await site.rendererOf(tab.page))
  }
  for (const tab of tabs) await tab.untilPeers(TABS - 1)
  return pids
}

/** Seconds of each thread of a process, by thread id. */
function threads(pid: number): Map<string, { name: string; seconds: number }> {
  const found = new Map<string, { name: string; seconds: number }>()
  if (process.platform !== 'linux') return found
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8')
    const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim()
    found.set(tid, { name, seconds: Number(text.split(' ')[0]) / 1e9 })
  }
  return found
}

/** Percent of a core by kind of thread, over all of these processes. */
function byThread(before: ReturnType<typeof threads>[], after: ReturnType<typeof threads>[], seconds: number): string {
  const sums = new Map<string, number>()
  for (const [i, later] of after.entries()) {
    for (const [tid, { name, seconds: now }] of later) {
      const kind = name.replace(/[\d/:]+.*$/, '')
      const used = now - (before[i]?.get(tid)?.seconds ?? 0)
      sums.set(kind, (sums.get(kind) ?? 0) + used)
    }
  }
  return [...sums]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 4)
    .map(([name, used]) => `${name} ${((used * 100) / seconds / after.length).toFixed(2)}`)
    .join(', ')
}

interface Measured {
  /** Percent of a core, by renderer. */
  renderers: number[]
  /** Of all other processes of the browser together. */
  others: number
  bare: number
  threads: string
  byType: string
}

/** Processor time while nothing happens, some seconds after what was opened has settled. */
async function watch(lab: Lab, site: Site, pids: number[], bare: number): Promise<Measured> {
  await new Promise((resolve) => setTimeout(resolve, lab.pick(30_000, 8_000)))
  const [first, firstThreads] = [await site.processes(), pids.map(threads)]
  const began = performance.now()
  await new Promise((resolve) => setTimeout(resolve, lab.pick(30_000, 12_000)))
  const [last, lastThreads] = [await site.processes(), pids.map(threads)]
  const seconds = (performance.now() - began) / 1000
  const percent = (...ids: number[]) => {
    const sum = (list: readonly ProcessInfo[]) =>
      list.filter(({ id }) => ids.includes(id)).reduce((total, { cpuTime }) => total + cpuTime, 0)
    return ((sum(last) - sum(first)) * 100) / seconds
  }
  const others = last.filter(({ type }) => type !== 'renderer')
  return {
    renderers: pids.map((pid) => percent(pid)),
    others: percent(...others.map(({ id }) => id)),
    bare: percent(bare),
    threads: byThread(firstThreads, lastThreads, seconds),
    byType: others.map(({ id, type }) => `${type.split('.')[0]} ${percent(id).toFixed(2)}`).join(', '),
  }
}

/** As many empty pages, each with a raw data channel to every other: what the connections cost by themselves. */
async function openRawMesh(site: Site): Promise<number[]> {
  const pages: Page[] = []
  const pids: number[] = []
  while (pages.length < TABS) {
    const callee = await site.page()
    await callee.goto(site.pages.url)
    for (const caller of pages) await connectRaw({ caller, callee })
    pages.push(callee)
    pids.push(await site.rendererOf(callee))
  }
  return pids
}

export async function idle(lab: Lab): Promise<Row[]> {
  const raw = await lab.site(async (site) => watch(lab, site, await openRawMesh(site), await openBare(site)))
  const ours = await lab.site(async (site) => watch(lab, site, await openTabs(site), await openBare(site)))
  const unit = '% of a core'
  return [
    row({
      name: `idle: a tab in a mesh of ${TABS}, its renderer`,
      unit,
      samples: ours.renderers,
      beside: { what: `empty page with ${TABS - 1} raw channels`, samples: raw.renderers },
      target: { of: 'value', most: 0.5 },
      note: `by thread: ${ours.threads}; raw: ${raw.threads}`,
    }),
    row({ name: 'idle: a bare xterm in the same browser', unit, samples: [ours.bare] }),
    row({
      name: 'idle: the browser’s own processes, by tab',
      unit,
      samples: [ours.others / TABS],
      beside: { what: 'raw mesh', samples: [raw.others / TABS] },
      note: `all: ${ours.byType}; raw: ${raw.byType}`,
    }),
  ]
}
