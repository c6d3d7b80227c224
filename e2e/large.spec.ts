// Large files that are interrupted, and large directories, by keyboard and in a real browser.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CarWriter } from '@ipld/car'
import { importer } from 'ipfs-unixfs-importer'
import type { CID } from 'multiformats/cid'
import { expect, type Tab, test } from './fixtures.ts'

const MIB = 1024 * 1024
const FILE_MIB = 96

/** What the terminal shows, as text. */
function screen(tab: Tab): Promise<string> {
  return tab.page.evaluate(() => document.querySelector('.xterm-rows')?.textContent?.replaceAll('\u00a0', ' ') ?? '')
}

/**
 * From now on its kernel remembers the names of the large blocks that it writes to its disk.
 * @param paceMs it takes so much longer for each, so that it can be interrupted wherever it is.
 */
async function countWrites(tab: Tab, paceMs = 0): Promise<() => Promise<string[]>> {
  const worker = tab.kernelWorker()
  await worker.evaluate((ms) => {
    const digest = crypto.subtle.digest.bind(crypto.subtle)
    crypto.subtle.digest = async (algorithm: AlgorithmIdentifier, data: BufferSource) => {
      if (ms > 0 && data.byteLength === 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, ms))
      return digest(algorithm, data)
    }
    const written: string[] = []
    const { put } = IDBObjectStore.prototype
    IDBObjectStore.prototype.put = function (value: unknown, key?: IDBValidKey) {
      if (value instanceof Uint8Array && value.byteLength === 1024 * 1024) written.push(String(key))
      return put.call(this, value, key)
    }
    Object.assign(globalThis, { written })
  }, paceMs)
  return () => worker.evaluate(() => (globalThis as unknown as { written: string[] }).written)
}

/** Types `put` and chooses the file. */
async function put(tab: Tab, file: string): Promise<void> {
  const chooser = tab.page.waitForEvent('filechooser')
  await tab.page.keyboard.type('put /big.bin')
  await tab.page.keyboard.press('Enter')
  await (await chooser).setFiles(file)
}

test('put goes on where it was, after Ctrl-C and after a reload', async ({ tab }) => {
  const folder = mkdtempSync(join(tmpdir(), 'brittlestar-large-'))
  try {
    const file = join(folder, 'big.bin')
    const descriptor = openSync(file, 'w')
    const piece = randomBytes(MIB)
    for (let i = 0; i < FILE_MIB; i++) {
      piece.writeUInt32LE(i)
      writeSync(descriptor, piece)
    }
    const a = await tab()
    let written = await countWrites(a, 50)
    const atLeast = (count: number) =>
      expect.poll(async () => (await written()).length, { intervals: [5] }).toBeGreaterThan(count)

    await put(a, file)
    await atLeast(16)
    await a.page.keyboard.press('Control+c')
    await expect.poll(() => screen(a)).toContain('^C')
    const first = await written()
    expect(first.length).toBeLessThan(FILE_MIB)
    expect((await a.sh('ls /big.bin')).code).not.toBe(0)

    await put(a, file)
    await atLeast(first.length + 16)
    const second = await written()
    expect(second.length).toBeLessThan(FILE_MIB)
    expect(new Set(second).size).toBe(second.length)
    await a.page.reload()
    await a.ready()

    written = await countWrites(a)
    expect((await a.sh('ls /big.bin')).code).not.toBe(0)
    await put(a, file)
    await expect.poll(() => screen(a)).toContain('were here already')
    const third = await written()
    // The two batches that were on their way when the page went are not here.
    expect(second.length + third.length).toBeLessThanOrEqual(FILE_MIB + 16)
    expect(await screen(a)).toContain(`${FILE_MIB - third.length} MiB were here already`)
    expect(await a.out('ls -l /big.bin')).toContain(String(FILE_MIB * MIB))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

const MANY = 5_000

/** What an IPFS importer makes of a folder of many small files: sharded directories, in a CAR. */
async function carOfMany(): Promise<{ root: string; bytes: Buffer }> {
  const blocks: [CID, Uint8Array][] = []
  const store = {
    put: async (cid: CID, block: Uint8Array) => {
      blocks.push([cid, block])
      return cid
    },
  }
  const files = Array.from({ length: MANY }, (_, i) => {
    return { path: `many/file-${String(i).padStart(6, '0')}.txt`, content: Buffer.from(`this is file ${i}\n`) }
  })
  let root: CID | undefined
  for await (const { cid } of importer(files, store as never, { profile: 'unixfs-v1-2025' })) root = cid
  const { writer, out } = CarWriter.create([root as CID])
  const parts = (async () => {
    const all: Uint8Array[] = []
    for await (const part of out) all.push(part)
    return Buffer.concat(all)
  })()
  for (const [cid, bytes] of blocks) await writer.put({ cid, bytes })
  await writer.close()
  return { root: String(root), bytes: await parts }
}

test('a directory of many files comes in, is listed as it is read, changed, and goes out', async ({ tab }) => {
  const { root, bytes } = await carOfMany()
  const a = await tab()
  const chooser = a.page.waitForEvent('filechooser')
  const stored = a.sh('put /in.car')
  await (await chooser).setFiles({ name: 'in.car', mimeType: 'application/octet-stream', buffer: bytes })
  expect(await stored).toMatchObject({ code: 0 })

  expect(await a.out('keg import /in.car /many')).toBe(`/many: ${root}\n`)
  expect(await a.out('keg export /many /out.car')).toContain(root)
  expect(await a.out('wc -c /out.car')).toBe(`${bytes.byteLength} /out.car\n`)
  expect(await a.out('ls /many | head -n 2')).toBe('file-000000.txt\nfile-000001.txt\n')
  expect(await a.out('ls /many | wc -l')).toBe(`${MANY}\n`)
  expect(await a.out('find /many | wc -l')).toBe(`${MANY + 1}\n`)
  expect(await a.out('ls -l /many | tail -n 1')).toMatch(/ 18 .* file-004999\.txt$/m)
  expect(await a.out('stat /many/file-004711.txt')).toContain('Size:     18')
  expect(await a.out('cat /many/file-004711.txt')).toBe('this is file 4711\n')
  await a.out('touch /many/one-more && rm /many/file-000000.txt')
  expect(await a.out('ls /many | wc -l')).toBe(`${MANY}\n`)
  expect(await a.out('kid --cid /many')).not.toContain(root)

  // In the terminal, in the middle of it.
  await a.page.keyboard.type('ls -1R /many /many /many /many')
  await a.page.keyboard.press('Enter')
  await expect.poll(() => screen(a)).toContain('file-00')
  await a.page.keyboard.press('Control+c')
  await a.page.keyboard.type('clear; echo and the prompt is ba""ck')
  await a.page.keyboard.press('Enter')
  await expect.poll(() => screen(a)).toContain('and the prompt is back')

  await a.out('rm -r /many')
  expect((await a.sh('ls /many')).code).not.toBe(0)
  await a.out('keg undo /many')
  expect(await a.out('ls /many | wc -l')).toBe(`${MANY}\n`)
})
