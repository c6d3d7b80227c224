// Runs the measurements one after the other, prints a table and writes JSON. Called by scripts/bench.mjs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { Lab } from './lab.ts'
import { blocks } from './measures/blocks.ts'
import { boot } from './measures/boot.ts'
import { bytes } from './measures/bytes.ts'
import { directory } from './measures/directory.ts'
import { files } from './measures/files.ts'
import { idle } from './measures/idle.ts'
import { job } from './measures/job.ts'
import { join } from './measures/join.ts'
import { journal } from './measures/journal.ts'
import { memory } from './measures/memory.ts'
import { peers } from './measures/peers.ts'
import { repair } from './measures/repair.ts'
import { rpc } from './measures/rpc.ts'
import { sources } from './measures/sources.ts'
import { transfer } from './measures/transfer.ts'
import { versions } from './measures/versions.ts'
import { wordcount } from './measures/wordcount.ts'
import { formatRows, type Row } from './report.ts'

/** In the order in which they run. */
export const measures: Readonly<Record<string, (lab: Lab) => Promise<Row[]>>> = {
  boot,
  bytes,
  join,
  rpc,
  directory,
  blocks,
  files,
  versions,
  transfer,
  sources,
  peers,
  repair,
  memory,
  job,
  wordcount,
  journal,
  idle,
}

export interface BenchOptions {
  only: readonly string[]
  quick: boolean
  json: string
  chromiumPath: string
}

/** A measurement that takes longer hangs: the slowest, a thousand versions of 100 MiB, takes ten minutes on an idle machine. */
const LIMIT_MS = 30 * 60_000

interface Result {
  name: string
  load: number
  seconds: number
  rows: Row[]
  error?: string
}

/** @returns the number of measurements that failed to measure; a missed target is no failure. */
export async function bench({ only, quick, json, chromiumPath }: BenchOptions): Promise<number> {
  const machine = {
    at: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  }
  console.log(
    `${machine.processors} × ${machine.cpu}, ${machine.memoryGiB} GiB, load ${machine.load.join(' ')}${quick ? ', quick: not for the record' : ''}`,
  )
  const results: Result[] = []
  for (const [name, measure] of Object.entries(measures)) {
    if (only.length > 0 && !only.includes(name)) continue
    results.push(await measured(name, measure, new Lab({ quick, chromiumPath })))
    mkdirSync(dirname(json), { recursive: true })
    writeFileSync(json, `${JSON.stringify({ machine, quick, results }, null, 2)}\n`)
  }
  const rows = results.flatMap((result) => result.rows)
  console.log(`\n${formatRows(rows)}\n`)
  const judged = rows.filter(({ ok }) => ok !== undefined)
  const failed = results.filter(({ error }) => error !== undefined)
  const words = [`${judged.filter(({ ok }) => ok).length} of ${judged.length} targets met`, `written to ${json}`]
  if (failed.length > 0) words.push(`could not measure: ${failed.map(({ name }) => name).join(', ')}`)
  console.log(words.join('; '))
  return failed.length
}

async function measured(name: string, measure: (lab: Lab) => Promise<Row[]>, lab: Lab): Promise<Result> {
  const began = performance.now()
  const load = Math.round((loadavg()[0] ?? 0) * 100) / 100
  console.log(`\n${name} (load ${load}) …`)
  const seconds = () => Math.round((performance.now() - began) / 100) / 10
  try {
    const rows = await limited(measure(lab), lab.pick(LIMIT_MS, LIMIT_MS / 5))
    console.log(formatRows(rows))
    return { name, load, seconds: seconds(), rows }
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.stack : error}`)
    return { name, load, seconds: seconds(), rows: [], error: String(error) }
  }
}

async function limited<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs / 1000} s`)), limitMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
