// A file that three tabs hold, read by a fourth from all of them and from one: as fast as it goes, where all share the
// processors of one machine, and with what each may send limited, as a line at home limits it. A build with switches
// (vite.config.ts) sets both.
import type { Lab, Site, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'
import { readFile, untilKept, writeFile } from './blocks.ts'

/** What each may send when it is limited: 4 Mbit/s, so that three together are no work for a loaded machine either. */
const LIMIT_MIB = 0.5

interface Read {
  sources: number
  limited: boolean
  mebibytes: number
  samples: number[]
}

export async function sources(lab: Lab): Promise<Row[]> {
  const dist = lab.builtWithSwitches()
  const read = (sources: number, limited: boolean): Read => {
    return { sources, limited, mebibytes: limited ? lab.pick(24, 8) : lab.pick(64, 16), samples: [] }
  }
  const reads = [read(3, false), read(1, false), read(3, true), read(1, true)] as const
  // Read before: each connection is warm then.
  const warmUp = lab.pick(32, 4)
  for (let i = 0; i < lab.pick(3, 1); i++) await lab.site((site) => run(site, warmUp, reads), { dist })
  const [three, one, threeLimited, oneLimited] = reads
  return [
    row({
      name: `sources: ${three.mebibytes} MiB from three tabs, warm`,
      unit: 'MiB/s',
      samples: three.samples,
      beside: { what: 'from one tab', samples: one.samples },
    }),
    row({
      name: `sources: ${threeLimited.mebibytes} MiB from three tabs that send ${LIMIT_MIB} MiB/s each`,
      unit: 'MiB/s',
      samples: threeLimited.samples,
      beside: { what: 'from one such tab', samples: oneLimited.samples },
      target: { of: 'ratio', least: 2 },
    }),
  ]
}

async function run(site: Site, warmUp: number, reads: readonly Read[]): Promise<void> {
  const tabs = await site.cluster(3)
  const [writer] = tabs as [Tab]
  await writeFile(writer, '/warm-up', warmUp)
  for (const [i, { mebibytes }] of reads.entries()) await writeFile(writer, `/file-${i}`, mebibytes)
  await untilKept(writer)
  const reader = (await site.cluster(4, tabs))[3] as Tab
  await readFile(reader, '/warm-up')
  for (const [i, { sources, limited, samples }] of reads.entries()) {
    for (const tab of tabs.slice(0, 3)) await tab.limitSending(limited ? (LIMIT_MIB * 2 ** 20) / 1000 : 0)
    await reader.limitSources(sources)
    samples.push(await readFile(reader, `/file-${i}`))
  }
}
