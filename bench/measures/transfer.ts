// A file of another tab, or of three, read through `os.fs`: on a connection that has carried nothing yet (cold) and later (warm);
// and from the disk that it shares with them.
// Beside it a raw data channel between two empty pages, filled as naive code fills it.
import { prose } from '../content.ts'
import type { Lab, Tab } from '../lab.ts'
import { connectRaw, sendRaw } from '../raw-channel.ts'
import { median, type Row, row } from '../report.ts'
import { readFile, untilKept, writeFile } from './blocks.ts'

const MEBIBYTES = 64
/** What naive code lets the channel buffer. */
export const NAIVE_BUFFERED_BYTES = 8 * 2 ** 20
/** What careful code does, measured too: the larger of the two is the platform's limit when warm. */
export const CAREFUL_BUFFERED_BYTES = 2 ** 20

export interface Speeds {
  cold: number[]
  warm: number[]
}

/** Of one sender, warm: also of the file that it has written last, most of which is in its memory. */
interface OneSender extends Speeds {
  fresh: number[]
}

interface OneOptions {
  /** Two browsers with a profile each, as two laptops are; else two private windows of one browser. */
  apart: boolean
  /** What is in the files; else what cannot be packed. */
  text?: string
}

/**
 * Of the one other tab there is, which alone keeps the files: a raw channel has one sender, too.
 */
async function ofOne(lab: Lab, into: OneSender, warm: number, { apart, text }: OneOptions): Promise<void> {
  await lab.site(
    async (site) => {
      const tabs = await site.cluster(1)
      const [writer] = tabs as [Tab]
      await writer.out('keg copies 1') // so that nothing is copied to the other when it comes
      await writeFiles(writer, warm, text)
      await writeFile(writer, '/fresh', MEBIBYTES, text)
      const reader = (await site.cluster(2, tabs))[1] as Tab
      await readFiles(reader, into, warm, async () => into.fresh.push(await readFile(reader, '/fresh')))
    },
    { apart },
  )
}

/** Of three tabs that keep all files, as they do where nobody chose otherwise; the fourth holds none of them. */
async function ofThree(lab: Lab, into: Speeds, warm: number, oneBrowser = false): Promise<void> {
  await lab.site(async (site) => {
    const keepers = await site.cluster(3, [], oneBrowser)
    const [writer] = keepers as [Tab]
    await writeFiles(writer, warm)
    await untilKept(writer)
    const reader = (await site.cluster(4, keepers, oneBrowser))[3] as Tab
    await readFiles(reader, into, warm)
  })
}

async function writeFiles(tab: Tab, warm: number, text?: string): Promise<void> {
  for (let i = 0; i <= warm; i++) await writeFile(tab, `/file-${i}`, MEBIBYTES, text)
}

/** @param between reads another one when the connection is warm. */
async function readFiles(tab: Tab, into: Speeds, warm: number, between?: () => Promise<unknown>): Promise<void> {
  const [own] = await tab.json<[{ blocks: number }]>('df --json')
  // Those of directories; bytes would say little, as browsers compress what they store.
  if (own.blocks >= MEBIBYTES / 4)
    throw new Error(`the reader holds ${own.blocks} blocks already: it must hold none of the files`)
  into.cold.push(await readFile(tab, '/file-0'))
  await between?.()
  for (let i = 1; i <= warm; i++) into.warm.push(await readFile(tab, `/file-${i}`))
}

/** A raw data channel of a fresh browser: once cold, `warm` times warm. */
export async function raw(
  lab: Lab,
  into: Speeds,
  warm: number,
  bufferedBytes: number,
  { mebibytes = MEBIBYTES, apart = false }: { mebibytes?: number; apart?: boolean } = {},
): Promise<void> {
  await lab.site(
    async (site) => {
      const pair = { caller: await site.page(), callee: await site.page() }
      for (const page of [pair.caller, pair.callee]) await page.goto(site.pages.url)
      await connectRaw(pair)
      into.cold.push(await sendRaw(pair, mebibytes * 2 ** 20, bufferedBytes))
      for (let i = 1; i <= warm; i++) into.warm.push(await sendRaw(pair, mebibytes * 2 ** 20, bufferedBytes))
    },
    { apart },
  )
}

/** One way of having two tabs, with what stands beside it. */
interface Pair {
  apart: boolean
  ours: OneSender
  /** The same of files of text. */
  text: OneSender
  naive: Speeds
  careful: Speeds
}

async function measure(lab: Lab, { apart, ours, text, naive, careful }: Pair): Promise<void> {
  await raw(lab, naive, 2, NAIVE_BUFFERED_BYTES, { apart })
  await ofOne(lab, ours, 2, { apart })
  await ofOne(lab, text, 2, { apart, text: prose() })
  await raw(lab, careful, 2, CAREFUL_BUFFERED_BYTES, { apart })
}

const unit = 'MiB/s'

function besides({ naive, careful }: Pair) {
  const warm = median(naive.warm) > median(careful.warm) ? naive.warm : careful.warm
  return {
    cold: { what: 'raw channel, naively filled, cold', samples: naive.cold },
    warm: { what: 'raw channel, warm', samples: warm },
  }
}

function pairRows(pair: Pair): Row[] {
  const beside = besides(pair)
  const where = pair.apart ? ', two browsers' : ''
  const rows = (what: string, ours: OneSender) => {
    const name = `transfer: ${MEBIBYTES} MiB file ${what}tab to tab${where}`
    const warm = { beside: beside.warm, target: { of: 'ratio', least: 0.9 } } as const
    return [
      row({ name: `${name}, cold`, unit, samples: ours.cold, beside: beside.cold, target: { of: 'ratio', least: 2 } }),
      row({ name: `${name}, warm`, unit, samples: ours.warm, ...warm }),
      row({ name: `${name}, warm, just written`, unit, samples: ours.fresh, ...warm }),
    ]
  }
  return [
    ...rows('', pair.ours),
    ...rows('of text ', pair.text),
    row({ name: `transfer: raw channel${where}, 1 MiB buffered, cold`, unit, samples: pair.careful.cold }),
    row({ name: `transfer: raw channel${where}, 1 MiB buffered, warm`, unit, samples: pair.careful.warm }),
    row({ name: `transfer: raw channel${where}, naively filled, warm`, unit, samples: pair.naive.warm }),
  ]
}

export async function transfer(lab: Lab): Promise<Row[]> {
  const none = (): Speeds => ({ cold: [], warm: [] })
  const pair = (apart: boolean): Pair => ({
    apart,
    ours: { ...none(), fresh: [] },
    text: { ...none(), fresh: [] },
    naive: none(),
    careful: none(),
  })
  const [windows, browsers, three, near] = [pair(false), pair(true), none(), none()]
  for (let i = 0; i < lab.pick(4, 2); i++) {
    await measure(lab, windows)
    await measure(lab, browsers)
    await ofThree(lab, three, 2)
    await ofThree(lab, near, 2, true)
  }
  const beside = besides(windows)
  const file = `transfer: ${MEBIBYTES} MiB file`
  return [
    ...pairRows(windows),
    ...pairRows(browsers),
    row({ name: `${file} that three tabs hold, cold`, unit, samples: three.cold, beside: beside.cold }),
    row({ name: `${file} that three tabs hold, warm`, unit, samples: three.warm, beside: beside.warm }),
    row({
      name: `${file} of another tab of the same browser`,
      unit,
      samples: [...near.cold, ...near.warm],
      beside: beside.warm,
    }),
  ]
}
