// A program of many tasks of about 50 ms on one, two and three tabs, beside the same code in a bare pool of as many
// workers of one page, each fed by plain messages two tasks ahead.
import type { Page } from 'playwright'
import type { Lab } from '../lab.ts'
import { type Row, row } from '../report.ts'

const CHUNK = 20_000_000

/** Seconds for `tasks` tasks, the workers' start included, as the program's own start is. */
async function pool(page: Page, workers: number, tasks: number, origin: string): Promise<number> {
  return page.evaluate(
    async ([count, total, chunk, base]) => {
      const source = `import { count } from '${base}/primes.js'
        onmessage = ({ data }) => postMessage(count({ data }))
        postMessage('ready')`
      const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
      const began = performance.now()
      let next = 0
      let done = 0
      const made: Worker[] = []
      await new Promise<void>((resolve, reject) => {
        for (let i = 0; i < count; i++) {
          const worker = new Worker(url, { type: 'module' })
          made.push(worker)
          const give = () => {
            if (next < total) worker.postMessage({ from: next * chunk, to: ++next * chunk })
          }
          worker.onerror = ({ message }) => reject(new Error(message))
          worker.onmessage = ({ data }) => {
            if (data === 'ready') return void [give(), give()]
            give()
            if (++done === total) resolve()
          }
        }
      })
      const seconds = (performance.now() - began) / 1000
      for (const worker of made) worker.terminate()
      return seconds
    },
    [workers, tasks, CHUNK, origin] as const,
  )
}

export async function job(lab: Lab): Promise<Row[]> {
  const tasks = lab.pick(200, 60)
  const rows: Row[] = []
  await lab.site(async (site) => {
    const bare = await site.page()
    await bare.goto(site.pages.url)
    const one = await pool(bare, 1, lab.pick(40, 20), site.pages.url)
    rows.push(row({ name: 'job: one task by itself', unit: 'ms', samples: [(one * 1000) / lab.pick(40, 20)] }))
    const tabs = await site.cluster(1)
    for (let count = 1; count <= 3; count++) {
      const [first] = await site.cluster(count, tabs)
      if (!first) continue
      const slots = await first.page.evaluate(() => globalThis.os.node.slots)
      const ours: number[] = []
      const pooled: number[] = []
      for (let i = 0; i < lab.pick(3, 2); i++) {
        pooled.push(await pool(bare, slots * count, tasks, site.pages.url))
        const began = performance.now()
        const out = await first.out(`run /bin/examples/primes.js ${tasks * CHUNK} ${CHUNK}`)
        ours.push((performance.now() - began) / 1000)
        if (!/^\d+ primes below/.test(out)) throw new Error(`the job printed: ${out}`)
      }
      // As speeds, so that more is better and the ratio is the part of the pool's speed that is reached.
      const speed = (seconds: number) => tasks / seconds
      rows.push(
        row({
          name: `job: ${tasks} tasks on ${count} ${count === 1 ? 'tab' : 'tabs'}`,
          unit: 'tasks/s',
          samples: ours.map(speed),
          beside: { what: `bare pool of ${slots * count}`, samples: pooled.map(speed) },
          ...(count === 2 ? { target: { of: 'ratio', least: 0.9 } as const } : {}),
        }),
      )
    }
  })
  return rows
}
