// How much JavaScript a visitor fetches before the prompt and in all: compressed as `gzip -9` does, and as a browser is sent
// it over localhost or https. How many packages an installation brings.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Lab } from '../lab.ts'
import { type Row, row } from '../report.ts'

const ROOT = join(import.meta.dirname, '../..')

interface Fetched {
  url: string
  atMs: number
  /** As they came, without headers. */
  sentBytes: number
}

export async function bytes(lab: Lab): Promise<Row[]> {
  const { scripts, promptMs } = await lab.site(async (site) => {
    const page = await site.page()
    const requests: Fetched[] = []
    // Includes what workers import.
    page.on('response', (response) => {
      if (!new URL(response.url()).pathname.endsWith('.js')) return
      const sentBytes = Number(response.headers()['content-length'])
      requests.push({ url: response.url(), atMs: response.request().timing().startTime, sentBytes })
    })
    await page.goto(site.relay.url)
    await page.waitForFunction(() => 'os' in globalThis)
    await page.evaluate(() => globalThis.os.ready)
    await page.waitForFunction(() => globalThis.os.node.relay === 'connected')
    await page.evaluate(() => globalThis.os.sh('run /bin/examples/primes.js 1000; ls'))
    const mark = await page.evaluate(
      () => performance.timeOrigin + (performance.getEntriesByName('prompt')[0]?.startTime ?? Number.NaN),
    )
    return { scripts: requests, promptMs: mark }
  })
  const kilobytes = (list: readonly Fetched[]) => list.reduce((sum, { url }) => sum + gzipped(url), 0) / 1000
  const before = scripts.filter(({ atMs }) => atMs < promptMs)
  const page = before.filter(({ url }) => !/worker|engine|keys/.test(url))
  const names = (list: readonly Fetched[]) =>
    list.map(({ url }) => `${basename(url)} ${(gzipped(url) / 1000).toFixed(0)}`).join(', ')
  return [
    row({
      name: 'bytes: JavaScript before the prompt',
      unit: 'kB gz',
      samples: [kilobytes(page)],
      target: { of: 'value', most: 120 },
      note: names(page),
    }),
    row({
      name: 'bytes: the same with the kernel’s worker, which starts beside it',
      unit: 'kB gz',
      samples: [kilobytes(before)],
      note: names(before),
    }),
    row({
      name: 'bytes: JavaScript in all, connected, after a job',
      unit: 'kB gz',
      samples: [kilobytes(scripts)],
      target: { of: 'value', most: 400 },
      note: names(scripts.filter((each) => !before.includes(each))),
    }),
    row({
      name: 'bytes: the same as the relay sends it to a browser that takes brotli',
      unit: 'kB',
      samples: [scripts.reduce((sum, { sentBytes }) => sum + sentBytes, 0) / 1000],
      target: { of: 'value', most: 400 },
    }),
    row({ name: 'packages installed', unit: 'packages', samples: [installed()] }),
  ]
}

const basename = (url: string) => new URL(url).pathname.split('/').at(-1) ?? url

function gzipped(url: string): number {
  return gzipSync(readFileSync(join(ROOT, 'dist', new URL(url).pathname)), { level: 9 }).byteLength
}

/** Those that npm put there: packages for other platforms are in the lock but not installed. */
function installed(): number {
  const lock = JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>
  }
  return Object.keys(lock.packages).filter((path) => path !== '').length
}
