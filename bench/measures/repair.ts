// A keeper of / is killed: how long until a fourth tab, which held nothing, has all that the three kept, and how fast it
// is copied, beside a raw data channel. And what memory the tabs need for it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab, Site, Tab } from '../lab.ts'
import { median, type Row, row } from '../report.ts'
import { untilKept, writeFile } from './blocks.ts'
import { resetPeak, residentMiB } from './memory.ts'
import { CAREFUL_BUFFERED_BYTES, NAIVE_BUFFERED_BYTES, raw, type Speeds } from './transfer.ts'

const KEEPERS = 3
const POLL_MS = 500
const LIMIT_MS = 15 * 60_000

interface Health {
  storedBytes: number
  physicalBytes: number
  under: number
  lost: number
}

interface Repair {
  /** Killed until the fourth tab has its first block, and until each block is on three devices again. */
  beginS: number
  doneS: number
  /** Peak resident memory in MiB; NaN but on Linux. */
  receiver: number
  sender: number
}

async function health(tab: Tab): Promise<Health> {
  // Its exit code tells the same.
  const { stdout, stderr } = await tab.page.evaluate(() => globalThis.os.sh('fsck --json'))
  if (stdout === '') throw new Error(`fsck --json: ${stderr}`)
  return JSON.parse(stdout) as Health
}

/** Blocks in the store of a node, as `df` tells. */
async function held(tab: Tab, node: string): Promise<number> {
  const rows = await tab.json<{ node: string; blocks: number }[]>('df --json')
  return rows.find((each) => each.node === node)?.blocks ?? 0
}

async function repaired(site: Site, mebibytes: number): Promise<Repair> {
  const tabs = await site.cluster(KEEPERS)
  await writeFile(tabs[0] as Tab, '/file', mebibytes)
  await untilKept(tabs[0] as Tab)
  const [first, second, third, fourth] = (await site.cluster(KEEPERS + 1, tabs)) as [Tab, Tab, Tab, Tab]
  const newcomer = await fourth.id()
  const before = await held(first, newcomer)
  const pids: number[] = []
  if (process.platform === 'linux') {
    for (const { page } of [fourth, first, second]) pids.push(await site.rendererOf(page))
    for (const pid of pids) resetPeak(pid)
  }
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  await third.crash()
  let beginS = Number.NaN
  for (; ; await sleep(POLL_MS)) {
    const has = await held(first, newcomer)
    if (Number.isNaN(beginS) && has > before) beginS = seconds()
    if (seconds() > LIMIT_MS / 1000) throw new Error(`not repaired in time: ${has} blocks are there`)
    // To look at every block costs both sides something: not before all leaves may be there.
    if (has < mebibytes) continue
    const { under, lost, physicalBytes, storedBytes } = await health(first)
    if (under + lost === 0 && physicalBytes >= KEEPERS * storedBytes) break
  }
  const doneS = seconds()
  const [receiver = Number.NaN, ...senders] = pids.map((pid) => residentMiB(pid, 'VmHWM'))
  return { beginS, doneS, receiver, sender: Math.max(...senders) }
}

export async function repair(lab: Lab): Promise<Row[]> {
  const mebibytes = lab.pick(1024, 128)
  const naive: Speeds = { cold: [], warm: [] }
  const careful: Speeds = { cold: [], warm: [] }
  const repairs: Repair[] = []
  for (let i = 0; i < lab.pick(2, 1); i++) {
    await raw(lab, naive, 2, NAIVE_BUFFERED_BYTES)
    repairs.push(await lab.site((site) => repaired(site, mebibytes)))
    await raw(lab, careful, 2, CAREFUL_BUFFERED_BYTES)
  }
  const channel = median(naive.warm) > median(careful.warm) ? naive.warm : careful.warm
  const samples = (of: (each: Repair) => number) => repairs.map(of)
  const rows = [
    row({
      name: `repair: ${mebibytes} MiB copied to a fourth tab after one of three was killed`,
      unit: 'MiB/s',
      samples: samples(({ beginS, doneS }) => mebibytes / (doneS - beginS)),
      beside: { what: 'raw channel, warm', samples: channel },
    }),
    row({ name: 'repair: killed until the copying begins', unit: 's', samples: samples(({ beginS }) => beginS) }),
    row({ name: 'repair: killed until all is on three tabs', unit: 's', samples: samples(({ doneS }) => doneS) }),
  ]
  if (process.platform !== 'linux') return rows
  const peak = { unit: 'MiB' }
  return [
    ...rows,
    row({ ...peak, name: 'repair: peak of the tab that copies', samples: samples(({ receiver }) => receiver) }),
    row({ ...peak, name: 'repair: peak of a tab that sends', samples: samples(({ sender }) => sender) }),
  ]
}
