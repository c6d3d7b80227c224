// A job whose outcome tells whether anything was lost or doubled: many short events, each of which prints a line of its
// own, and one that sums up what all of them returned.
import { expect, type Tab } from './fixtures.ts'

export interface ProcessRow {
  kid: string
  state: string
  home: string
  done: number
  error: string | null
}

export interface LinesJob {
  kid: string
  events: number
}

const program = (events: number, ms: number) => `
  export async function start(event, os) {
    const ids = []
    for (let i = 0; i < ${events}; i++) ids.push(await os.emit('line', i))
    await os.gather(ids, 'sum')
  }
  export async function line({ data }, os) {
    const until = performance.now() + ${ms}
    while (performance.now() < until);
    await os.print('line ' + data)
    return data
  }
  export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b, 0))`

/** @param ms that each event keeps a processor busy. */
export async function startLines(tab: Tab, events: number, ms = 100): Promise<LinesJob> {
  await tab.page.evaluate((source) => globalThis.os.fs.writeFile('/lines.js', source), program(events, ms))
  const { kid } = await tab.page.evaluate(() => globalThis.os.run('/lines.js', []))
  return { kid, events }
}

export async function rowOf(tab: Tab, { kid }: Pick<LinesJob, 'kid'>): Promise<ProcessRow | undefined> {
  return (await tab.json<ProcessRow[]>('ps --json')).find((row) => row.kid === kid)
}

export async function untilDone(tab: Tab, job: LinesJob, count: number): Promise<void> {
  await expect.poll(async () => (await rowOf(tab, job))?.done ?? 0, { intervals: [50] }).toBeGreaterThanOrEqual(count)
}

/** Every line once, and the sum. */
export function expectLines(output: string, { events }: LinesJob): void {
  const sum = `sum ${(events * (events - 1)) / 2}`
  const lines = [...Array.from({ length: events }, (_, i) => `line ${i}`), sum]
  expect(output.trimEnd().split('\n').sort()).toEqual(lines.sort())
}

export async function expectWhole(tab: Tab, job: LinesJob): Promise<void> {
  await expect.poll(async () => (await rowOf(tab, job))?.state, { timeout: 180_000 }).toBe('exited')
  expectLines(await tab.out(`cat /proc/${job.kid}/stdout`), job)
}
