// What many versions of a large file cost on the disk, cut every mebibyte and cut by content: changed in place, with
// something put in, and copied; and how fast each is written and read. In one tab, whose store is counted row by row.
import type { Lab, Site, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'
import { readFile, writeFile } from './blocks.ts'

type Chunks = 'fixed' | 'content'

const MIB = 2 ** 20
const EDIT_BYTES = 4096
const PUT_IN_BYTES = 100

/** Bytes of all blocks in the tab's store. */
function stored({ page }: Tab): Promise<number> {
  return page.evaluate(async () => {
    let sum = 0
    for (const { name } of await indexedDB.databases()) {
      const opened = indexedDB.open(name as string)
      const database = await new Promise<IDBDatabase>((resolve, reject) => {
        opened.onsuccess = () => resolve(opened.result)
        opened.onerror = () => reject(opened.error)
      })
      if (database.objectStoreNames.contains('blocks')) {
        const request = database.transaction('blocks').objectStore('blocks').openCursor()
        await new Promise<void>((resolve, reject) => {
          request.onerror = () => reject(request.error)
          request.onsuccess = () => {
            const cursor = request.result
            if (!cursor) return resolve()
            sum += cursor.value.byteLength
            cursor.continue()
          }
        })
      }
      database.close()
    }
    return sum
  })
}

/** Bytes of which no two leaves of any size are alike. @returns MiB/s. */
function noise(tab: Tab, path: string, mebibytes: number): Promise<number> {
  return tab.page.evaluate(
    async ([name, count]) => {
      function* content() {
        for (let i = 0; i < count; i++) {
          const piece = new Uint8Array(2 ** 20)
          for (let at = 0; at < piece.length; at += 65_536) crypto.getRandomValues(piece.subarray(at, at + 65_536))
          yield piece
        }
      }
      const began = performance.now()
      await globalThis.os.fs.writeFile(name, content())
      return (count * 1000) / (performance.now() - began)
    },
    [path, mebibytes] as const,
  )
}

async function tabWith(site: Site, chunks: Chunks): Promise<Tab> {
  const tab = await site.tab()
  await tab.out(`mkdir /images && keg chunks ${chunks} /images`)
  return tab
}

/** Versions of one file, each of which has some bytes changed somewhere. @returns stored bytes per byte of one and the changes. */
async function editedInPlace(lab: Lab, chunks: Chunks, mebibytes: number, versions: number): Promise<number> {
  return lab.site(async (site) => {
    const tab = await tabWith(site, chunks)
    await noise(tab, '/images/a', mebibytes)
    await tab.page.evaluate(
      async ([count, size, length]) => {
        for (let i = 0; i < count; i++) {
          const file = await globalThis.os.fs.open('/images/a', 'r+')
          const at = Math.floor(Math.random() * (size - length))
          await file.write(crypto.getRandomValues(new Uint8Array(length)), { position: at })
          await file.close()
        }
      },
      [versions, mebibytes * MIB, EDIT_BYTES] as const,
    )
    return (await stored(tab)) / (mebibytes * MIB + versions * EDIT_BYTES)
  })
}

/** The same with bytes put in somewhere, so that everything behind them moves, and the file is written anew. */
async function putIn(lab: Lab, chunks: Chunks, mebibytes: number, versions: number): Promise<number> {
  return lab.site(async (site) => {
    const tab = await tabWith(site, chunks)
    await tab.page.evaluate(
      async ([count, size, length]) => {
        let content = new Uint8Array(size)
        for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536))
        await globalThis.os.fs.writeFile('/images/a', [content])
        for (let i = 0; i < count; i++) {
          const at = Math.floor(Math.random() * content.length)
          const more = new Uint8Array(content.length + length)
          more.set(content.subarray(0, at))
          more.set(crypto.getRandomValues(new Uint8Array(length)), at)
          more.set(content.subarray(at), at + length)
          content = more
          await globalThis.os.fs.writeFile('/images/a', [content])
        }
      },
      [versions, mebibytes * MIB, PUT_IN_BYTES] as const,
    )
    return (await stored(tab)) / (mebibytes * MIB + versions * PUT_IN_BYTES)
  })
}

async function copied(lab: Lab, mebibytes: number, copies: number): Promise<number> {
  return lab.site(async (site) => {
    const tab = await tabWith(site, 'fixed')
    await writeFile(tab, '/images/a', mebibytes)
    await tab.page.evaluate(async (count) => {
      for (let i = 0; i < count; i++) await globalThis.os.fs.copyFile('/images/a', `/images/${i}`)
    }, copies)
    return (await stored(tab)) / (mebibytes * MIB)
  })
}

async function speeds(lab: Lab, chunks: Chunks, mebibytes: number) {
  return lab.site(async (site) => {
    const tab = await tabWith(site, chunks)
    const write: number[] = []
    const read: number[] = []
    for (let i = 0; i < lab.pick(3, 1); i++) {
      write.push(await noise(tab, `/images/${i}`, mebibytes))
      read.push(await readFile(tab, `/images/${i}`))
    }
    return { write, read }
  })
}

export async function versions(lab: Lab): Promise<Row[]> {
  const image = lab.pick(100, 10)
  const count = lab.pick(1_000, 100)
  // A tenth of both costs the same for each byte.
  const [small, few] = [lab.pick(10, 2), lab.pick(100, 20)]
  const gigabyte = lab.pick(1024, 32)
  const most = { of: 'value', most: 1.1 } as const
  const ratio = async (name: string, sample: Promise<number>, judged: boolean) =>
    row({ name, unit: '× one and the changes', samples: [await sample], ...(judged ? { target: most } : {}) })
  const edited = (chunks: Chunks, mebibytes: number, versions: number) =>
    ratio(
      `versions: ${versions} of ${mebibytes} MiB, ${EDIT_BYTES} bytes changed in each, cut ${chunks === 'content' ? 'by content' : 'every MiB'}`,
      editedInPlace(lab, chunks, mebibytes, versions),
      chunks === 'content',
    )
  const rows = [
    await edited('content', image, count),
    await edited('fixed', small, few),
    await ratio(
      `versions: ${few} of ${small} MiB, ${PUT_IN_BYTES} bytes put into each, cut by content`,
      putIn(lab, 'content', small, few),
      true,
    ),
    await ratio(
      `versions: ${few} of ${small} MiB, ${PUT_IN_BYTES} bytes put into each, cut every MiB`,
      putIn(lab, 'fixed', small, few),
      false,
    ),
    row({
      name: `versions: ${count} copies of ${gigabyte} MiB`,
      unit: '× one',
      samples: [await copied(lab, gigabyte, count)],
      target: most,
    }),
  ]
  const [content, fixed] = [await speeds(lab, 'content', image), await speeds(lab, 'fixed', image)]
  const beside = (samples: number[]) => ({ what: 'cut every MiB', samples })
  rows.push(
    row({
      name: 'versions: write, cut by content',
      unit: 'MiB/s',
      samples: content.write,
      beside: beside(fixed.write),
    }),
    row({ name: 'versions: read, cut by content', unit: 'MiB/s', samples: content.read, beside: beside(fixed.read) }),
  )
  return rows
}
