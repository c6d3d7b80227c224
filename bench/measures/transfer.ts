// A file of another tab, read through `os.fs`: on a connection that has carried nothing yet (cold) and later (warm).
// Beside it a raw data channel between two empty pages, filled as naive code fills it.
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

async function product(lab: Lab, into: Speeds, warm: number): Promise<void> {
  await lab.site(async (site) => {
    // Three tabs keep all files; the fourth holds none of them.
    const keepers = await site.cluster(3)
    const [first] = keepers as [Tab]
    for (let i = 0; i <= warm; i++) await writeFile(first, `/file-${i}`, MEBIBYTES)
    await untilKept(first)
    const reader = (await site.cluster(4, keepers))[3] as Tab
    into.cold.push(await readFile(reader, '/file-0'))
    for (let i = 1; i <= warm; i++) into.warm.push(await readFile(reader, `/file-${i}`))
  })
}

/** A raw data channel of a fresh browser: once cold, `warm` times warm. */
export async function raw(
  lab: Lab,
  into: Speeds,
  warm: number,
  bufferedBytes: number,
  mebibytes = MEBIBYTES,
): Promise<void> {
  await lab.site(async (site) => {
    const pair = { caller: await site.page(), callee: await site.page() }
    for (const page of [pair.caller, pair.callee]) await page.goto(site.pages.url)
    await connectRaw(pair)
    into.cold.push(await sendRaw(pair, mebibytes * 2 ** 20, bufferedBytes))
    for (let i = 1; i <= warm; i++) into.warm.push(await sendRaw(pair, mebibytes * 2 ** 20, bufferedBytes))
  })
}

export async function transfer(lab: Lab): Promise<Row[]> {
  const ours: Speeds = { cold: [], warm: [] }
  const naive: Speeds = { cold: [], warm: [] }
  const careful: Speeds = { cold: [], warm: [] }
  for (let i = 0; i < lab.pick(4, 2); i++) {
    await raw(lab, naive, 2, NAIVE_BUFFERED_BYTES)
    await product(lab, ours, 2)
    await raw(lab, careful, 2, CAREFUL_BUFFERED_BYTES)
  }
  const warm = median(naive.warm) > median(careful.warm) ? naive.warm : careful.warm
  return [
    row({
      name: `transfer: ${MEBIBYTES} MiB file tab to tab, cold`,
      unit: 'MiB/s',
      samples: ours.cold,
      beside: { what: 'raw channel, naively filled, cold', samples: naive.cold },
      target: { of: 'ratio', least: 1.5 },
    }),
    row({
      name: `transfer: ${MEBIBYTES} MiB file tab to tab, warm`,
      unit: 'MiB/s',
      samples: ours.warm,
      beside: { what: 'raw channel, warm', samples: warm },
      target: { of: 'ratio', least: 0.8 },
    }),
    row({ name: 'transfer: raw channel, 1 MiB buffered, cold', unit: 'MiB/s', samples: careful.cold }),
    row({ name: 'transfer: raw channel, 1 MiB buffered, warm', unit: 'MiB/s', samples: careful.warm }),
    row({ name: 'transfer: raw channel, naively filled, warm', unit: 'MiB/s', samples: naive.warm }),
  ]
}
