// Large files that are interrupted, and large directories, by keyboard and in a real browser.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, type Tab, test } from './fixtures.ts'

const MIB = 1024 * 1024
const FILE_MIB = 96

/** What the terminal shows, as text. */
function screen(tab: Tab): Promise<string> {
  return tab.page.evaluate(() => document.querySelector('.xterm-rows')?.textContent?.replaceAll('\u00a0', ' ') ?? '')
}

/** From now on its kernel remembers the names of the large blocks that it writes to its disk. */
async function countWrites(tab: Tab): Promise<() => Promise<string[]>> {
  const worker = tab.kernelWorker()
  await worker.evaluate(() => {
    const written: string[] = []
    const { put } = IDBObjectStore.prototype
    IDBObjectStore.prototype.put = function (value: unknown, key?: IDBValidKey) {
      if (value instanceof Uint8Array && value.byteLength === 1024 * 1024) written.push(String(key))
      return put.call(this, value, key)
    }
    Object.assign(globalThis, { written })
  })
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
    let written = await countWrites(a)
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
    // The batch that was on its way when the page went is not here.
    expect(second.length + third.length).toBeLessThanOrEqual(FILE_MIB + 8)
    expect(await screen(a)).toContain(`${FILE_MIB - third.length} MiB were here already`)
    expect(await a.out('ls -l /big.bin')).toContain(String(FILE_MIB * MIB))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
