// Writing and reading a large file through `os.fs` in one tab, beside the same bytes through idb-keyval in a worker of
// an empty page: batches of eight blocks of 1 MiB, as the block store writes them.
import type { Lab, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'

interface Speed {
  write: number
  read: number
}

/**
 * Bytes that no two blocks share, so that each is stored; made in the page, where a dropped file comes from too.
 * @param text what they are to be like, over and over; else they are such as cannot be packed.
 */
export function writeFile(tab: Tab, path: string, mebibytes: number, text?: string): Promise<number> {
  return tab.page.evaluate(
    async ([name, count, like]) => {
      const block = like ? new TextEncoder().encode(like) : crypto.getRandomValues(new Uint8Array(65_536))
      const seed = crypto.getRandomValues(new Uint32Array(2))
      function* content() {
        for (let i = 0; i < count; i++) {
          const piece = new Uint8Array(2 ** 20)
          for (let at = 0; at < piece.length; at += block.length) piece.set(block.subarray(0, piece.length - at), at)
          new Uint32Array(piece.buffer, 0, 3).set([i, ...seed])
          yield piece
        }
      }
      const began = performance.now()
      await globalThis.os.fs.writeFile(name, content())
      return (count * 1000) / (performance.now() - began)
    },
    [path, mebibytes, text] as const,
  )
}

/** Resolves when every tab that keeps `/` has all that was written before: nothing is copied in the background then. */
export async function untilKept(tab: Tab): Promise<void> {
  await tab.page.evaluate(() => globalThis.os.fs.writeFile('/tmp/kept', 'x', { ack: 'all' }))
}

/** MiB/s of reading a file from its start to its end, dropping what was read. */
export function readFile(tab: Tab, path: string): Promise<number> {
  return tab.page.evaluate(async (name) => {
    const began = performance.now()
    let size = 0
    for await (const piece of globalThis.os.fs.read(name)) size += piece.byteLength
    return size / 2 ** 20 / ((performance.now() - began) / 1000)
  }, path)
}

async function product(lab: Lab, mebibytes: number): Promise<Speed[]> {
  return lab.site(async (site) => {
    const tab = await site.tab()
    const speeds: Speed[] = []
    for (let i = 0; i < lab.pick(3, 2); i++) {
      const write = await writeFile(tab, `/big-${i}`, mebibytes)
      speeds.push({ write, read: await readFile(tab, `/big-${i}`) })
      await tab.out(`rm /big-${i}`)
    }
    return speeds
  })
}

async function raw(lab: Lab, mebibytes: number): Promise<Speed[]> {
  return lab.site(async (site) => {
    const page = await site.page()
    await page.goto(site.pages.url)
    const speeds: Speed[] = []
    for (let i = 0; i < lab.pick(3, 2); i++)
      speeds.push(await page.evaluate(rawRun, [mebibytes, i, site.pages.url] as [number, number, string]))
    return speeds
  })
}

/** In the page: one worker that writes and reads all blocks and tells how fast it was. */
async function rawRun([mebibytes, run, origin]: [number, number, string]): Promise<Speed> {
  const source = `
    import { createStore, getMany, setMany } from '${origin}/idb-keyval.js'
    const store = createStore('raw-${run}', 'blocks')
    const block = crypto.getRandomValues(new Uint8Array(65536))
    const make = (i) => {
      const piece = new Uint8Array(2 ** 20)
      for (let at = 0; at < piece.length; at += block.length) piece.set(block, at)
      new Uint32Array(piece.buffer, 0, 1)[0] = i
      return piece
    }
    const batches = Array.from({ length: ${mebibytes} / 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => i * 8 + j))
    const timed = async (work) => {
      const began = performance.now()
      for (const batch of batches) await work(batch)
      return ${mebibytes} * 1000 / (performance.now() - began)
    }
    const write = await timed((batch) => setMany(batch.map((i) => ['block-' + i, make(i)]), store))
    const read = await timed((batch) => getMany(batch.map((i) => 'block-' + i), store))
    postMessage({ write, read })
  `
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  const worker = new Worker(url, { type: 'module' })
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    worker.onerror = ({ message }) => reject(new Error(message))
  })
}

export async function blocks(lab: Lab): Promise<Row[]> {
  const mebibytes = lab.pick(256, 64)
  const bare = await raw(lab, mebibytes)
  const ours = await product(lab, mebibytes)
  const what = 'idb-keyval'
  return [
    row({
      name: `blocks: write ${mebibytes} MiB through os.fs`,
      unit: 'MiB/s',
      samples: ours.map(({ write }) => write),
      beside: { what, samples: bare.map(({ write }) => write) },
    }),
    row({
      name: `blocks: read ${mebibytes} MiB through os.fs`,
      unit: 'MiB/s',
      samples: ours.map(({ read }) => read),
      beside: { what, samples: bare.map(({ read }) => read) },
    }),
  ]
}
