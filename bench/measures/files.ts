// Small files in one tab: made, looked at and read, beside lightning-fs (a file system in IndexedDB without peers, versions
// or journals) on an empty page. And how long a file takes to be safe on most of three tabs' disks.
import type { Lab, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'

interface SmallFiles {
  mkdir(path: string): Promise<unknown>
  writeFile(path: string, data: Uint8Array): Promise<unknown>
  stat(path: string): Promise<unknown>
  readFile(path: string): Promise<unknown>
}

declare global {
  /** Which file system is measured; `done` resolves when all is on the disk. */
  var benchFiles: () => Promise<{ fs: SmallFiles; done(): Promise<unknown> }>
  var LightningFS: new (name: string) => { promises: SmallFiles & { flush(): Promise<void> } }
}

interface Rates {
  create: number
  stat: number
  read: number
}

/** So many are under way at a time. */
const TOGETHER = 64
const BYTES = 1024

/** In the page: files in each second. */
async function run([count, together, bytes]: readonly [number, number, number]): Promise<Rates> {
  const { fs, done } = await globalThis.benchFiles()
  const content = crypto.getRandomValues(new Uint8Array(bytes))
  const rate = async (work: (path: string, i: number) => Promise<unknown>): Promise<number> => {
    const began = performance.now()
    let next = 0
    const worker = async () => {
      for (let i = next++; i < count; i = next++) await work(`/small/d${i % 100}/f${i}`, i)
    }
    await Promise.all(Array.from({ length: together }, worker))
    await done()
    return (count * 1000) / (performance.now() - began)
  }
  await fs.mkdir('/small')
  for (let i = 0; i < 100; i++) await fs.mkdir(`/small/d${i}`)
  return {
    create: await rate((path, i) => {
      const own = content.slice()
      new Uint32Array(own.buffer)[0] = i
      return fs.writeFile(path, own)
    }),
    stat: await rate((path) => fs.stat(path)),
    read: await rate((path) => fs.readFile(path)),
  }
}

/** In the first of so many tabs, of which three keep each file. */
async function product(lab: Lab, count: number, tabs: number): Promise<Rates> {
  return lab.site(async (site) => {
    const { page } = (await site.cluster(tabs))[0] as Tab
    await page.evaluate(() => {
      globalThis.benchFiles = async () => ({ fs: globalThis.os.fs, done: async () => undefined })
    })
    return page.evaluate(run, [count, TOGETHER, BYTES] as const)
  })
}

async function lightning(lab: Lab, count: number): Promise<Rates> {
  return lab.site(async (site) => {
    const page = await site.page()
    await page.goto(site.pages.url)
    await page.addScriptTag({ url: '/lightning-fs.js' })
    await page.evaluate(() => {
      globalThis.benchFiles = async () => {
        const fs = new globalThis.LightningFS('bench').promises
        return { fs, done: () => fs.flush() }
      }
    })
    return page.evaluate(run, [count, TOGETHER, BYTES] as const)
  })
}

/** ms of each of `count` writes, one after the other, on three tabs, of which the last writes. */
async function commits(lab: Lab, count: number): Promise<number[]> {
  return lab.site(async (site) => {
    const tabs = await site.cluster(3)
    return (tabs[2] as Tab).page.evaluate(
      async ([times, bytes]) => {
        const samples: number[] = []
        await globalThis.os.fs.writeFile('/commit', 'first', { ack: 'majority' })
        for (let i = 0; i < times; i++) {
          const began = performance.now()
          await globalThis.os.fs.writeFile('/commit', [crypto.getRandomValues(new Uint8Array(bytes))], {
            ack: 'majority',
          })
          samples.push(performance.now() - began)
        }
        return samples
      },
      [count, BYTES] as const,
    )
  })
}

export async function files(lab: Lab): Promise<Row[]> {
  const count = lab.pick(10_000, 1_000)
  const theirs = await lightning(lab, count)
  const ours = await product(lab, count, 1)
  const kept = await product(lab, count, 3)
  const what = 'lightning-fs'
  const rated = (name: string, key: keyof Rates) =>
    row({
      name: `files: ${name} ${count} of 1 KiB`,
      unit: 'files/s',
      samples: [ours[key]],
      beside: { what, samples: [theirs[key]] },
    })
  const samples = await commits(lab, lab.pick(300, 50))
  const committed = 'files: 1 KiB written until it is on most of three tabs’ disks'
  return [
    rated('create', 'create'),
    rated('stat', 'stat'),
    rated('read', 'read'),
    row({
      name: `files: create ${count} of 1 KiB that three tabs keep`,
      unit: 'files/s',
      samples: [kept.create],
      beside: { what: 'by one tab alone', samples: [ours.create] },
    }),
    row({ name: `${committed}, p50`, unit: 'ms', samples }),
    row({ name: `${committed}, p99`, unit: 'ms', samples, quantile: 0.99 }),
  ]
}
