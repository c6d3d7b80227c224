// The main job: counting the words of a large text file on one, two and three tabs.
import type { Lab, Tab } from '../lab.ts'
import { median, type Row, row } from '../report.ts'

/** Text like prose: some ten thousand different words, the frequent ones much more so. */
export function writeText(tab: Tab, path: string, bytes: number): Promise<unknown> {
  return tab.page.evaluate(
    async ([name, total]) => {
      let state = 20261120
      const random = () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        return state / 2 ** 32
      }
      const words = Array.from({ length: 20_000 }, () =>
        Math.floor(random() * 2 ** 40)
          .toString(36)
          .slice(0, 2 + Math.floor(random() * 7)),
      )
      const page = Array.from({ length: 200_000 }, () => words[Math.floor(random() ** 4 * words.length)]).join(' ')
      const piece = new TextEncoder().encode(`${page}\n`)
      function* content() {
        for (let left = total; left > 0; left -= piece.byteLength) yield piece.subarray(0, Math.min(left, piece.length))
      }
      await globalThis.os.fs.writeFile(name, content())
    },
    [path, bytes] as const,
  )
}

export async function wordcount(lab: Lab): Promise<Row[]> {
  const megabytes = lab.pick(100, 16)
  const rows: Row[] = []
  await lab.site(async (site) => {
    const tabs = await site.cluster(1)
    let alone = Number.NaN
    for (let count = 1; count <= 3; count++) {
      const [first] = await site.cluster(count, tabs)
      if (!first) continue
      if (count === 1) await writeText(first, '/text', megabytes * 1e6)
      const speeds: number[] = []
      for (let i = 0; i < lab.pick(3, 1); i++) {
        const began = performance.now()
        await first.out(`run /bin/examples/wordcount.js /text /counts-${count}-${i}`)
        speeds.push((megabytes * 1000) / (performance.now() - began))
      }
      const beside = count === 1 ? {} : { beside: { what: 'on 1 tab', samples: [alone] } }
      if (count === 1) alone = median(speeds)
      const name = `wordcount: ${megabytes} MB on ${count} ${count === 1 ? 'tab' : 'tabs'}`
      rows.push(row({ name, unit: 'MB/s', samples: speeds, ...beside }))
    }
  })
  return rows
}
