// The most memory that the renderers of two tabs need while one reads a large file of the other (Linux only).
import { readFileSync, writeFileSync } from 'node:fs'
import type { Lab, Site, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'
import { readFile, untilKept, writeFile } from './blocks.ts'

interface Renderer {
  tab: Tab
  pid: number
}

async function open(site: Site): Promise<Renderer> {
  const tab = await site.tab()
  return { tab, pid: await site.rendererOf(tab.page) }
}

export function residentMiB(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? Number.NaN) / 1024
}

/** Forgets the high-water mark so far. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

export async function memory(lab: Lab): Promise<Row[]> {
  if (process.platform !== 'linux') return []
  const mebibytes = lab.pick(512, 96)
  return lab.site(async (site) => {
    const writer = await open(site)
    const idle = residentMiB(writer.pid, 'VmRSS')
    resetPeak(writer.pid)
    // Three tabs keep all files; the reader is a fourth one, which holds none of them.
    await site.cluster(3, [writer.tab])
    await writeFile(writer.tab, '/big', mebibytes)
    const writing = residentMiB(writer.pid, 'VmHWM')
    await untilKept(writer.tab)
    const reader = await open(site)
    await Promise.all([writer.tab.untilPeers(3), reader.tab.untilPeers(3)])
    for (const { pid } of [writer, reader]) resetPeak(pid)
    const speed = await readFile(reader.tab, '/big')
    const note = `idle tab ${Math.round(idle)} MiB`
    const what = { unit: 'MiB', note }
    return [
      row({ ...what, name: `memory: peak of a tab writing ${mebibytes} MiB`, samples: [writing] }),
      row({
        ...what,
        name: `memory: peak of a tab reading ${mebibytes} MiB of another`,
        samples: [residentMiB(reader.pid, 'VmHWM')],
        target: { of: 'value', most: 384 },
      }),
      row({ ...what, name: 'memory: peak of the tab that serves it', samples: [residentMiB(writer.pid, 'VmHWM')] }),
      row({ name: `transfer: ${mebibytes} MiB file tab to tab`, unit: 'MiB/s', samples: [speed] }),
    ]
  })
}
