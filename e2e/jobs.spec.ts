// The main job: a large text file counted by three tabs, exactly as coreutils count it, whoever dies meanwhile.
import { execFileSync } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, type Tab, test } from './fixtures.ts'

const SIZE = 104 * 1024 * 1024
let folder: string
let file: string
let expected: string

test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'brittlestar-job-'))
  file = join(folder, 'big.txt')
  await writeText(file, SIZE)
  const pipeline = `LC_ALL=C tr -cs '[:alnum:]' '\\n' < "$0" | LC_ALL=C tr A-Z a-z | LC_ALL=C sort | uniq -c | awk '{print $2, $1}'`
  expected = execFileSync('bash', ['-c', pipeline, file], { maxBuffer: 1 << 28 }).toString()
})

test.afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Text with CRLF, long lines, non-ASCII bytes and no newline at its end. */
async function writeText(path: string, size: number): Promise<void> {
  const out = createWriteStream(path)
  let state = 20261120
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const words = Array.from({ length: 60_000 }, () =>
    Math.floor(random() * 2 ** 31)
      .toString(36)
      .slice(0, 1 + Math.floor(random() * 7)),
  )
  const between = [' ', ' ', ' ', '\n', '\r\n', ', ', '. ', '-', '\t', 'é', '\u0000']
  for (let written = 0; written < size; ) {
    let piece = ''
    for (let i = 0; i < 20_000; i++) {
      const word = words[Math.floor(random() ** 2 * words.length)] ?? ''
      piece +=
        (random() < 0.1 ? word.toUpperCase() : word) +
        between[Math.floor(random() * (written > size / 2 && written < size / 1.5 ? 3 : between.length))]
    }
    written += Buffer.byteLength(piece)
    if (!out.write(piece)) await new Promise<void>((resolve) => out.once('drain', () => resolve()))
  }
  await new Promise<void>((resolve) => out.end('theend', () => resolve()))
}

/** Drops the file onto the page, as a person would, and waits until it is stored. */
async function drop(tab: Tab): Promise<void> {
  await tab.drop([file])
  const size = statSync(file).size
  await expect.poll(async () => (await tab.sh('ls -l /big.txt')).stdout, { timeout: 240_000 }).toContain(String(size))
}

interface ProcessRow {
  state: string
  done: number
  total: number
  nodes: number
}

test('three tabs count the words of 100 MB exactly, also when an executor is killed in the middle', async ({
  tab,
  cluster,
}) => {
  test.setTimeout(600_000)
  const [a, b] = await cluster(2)
  const victim = await tab({ ignoreErrors: true })
  if (!a || !b) throw new Error('tabs')
  await a.untilPeers(2)
  await drop(a)

  await a.out('run /bin/examples/wordcount.js /big.txt > /counts.txt')
  expect(await b.page.evaluate(() => globalThis.os.fs.readFile('/counts.txt', 'utf8'))).toBe(expected)
  const [first] = await a.json<ProcessRow[]>('ps --json')
  expect(first).toMatchObject({ state: 'exited', nodes: 3 })

  const again = a.sh('run /bin/examples/wordcount.js /big.txt /counts-2.txt')
  await expect
    .poll(async () => (await a.json<ProcessRow[]>('ps --json')).find((row) => row.state === 'running')?.done ?? 0, {
      intervals: [50],
    })
    .toBeGreaterThan(3)
  await victim.crash()
  expect(await again).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await b.page.evaluate(() => globalThis.os.fs.readFile('/counts-2.txt', 'utf8'))).toBe(expected)
})
