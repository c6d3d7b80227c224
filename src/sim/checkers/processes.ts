// Checker: the effects of every event of a process appear exactly once (design §8, invariant 3): the output of each line
// once, the sum of all results, every file whole.
import { fromUtf8 } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

export interface Started {
  kid: Kid
  events: number
  /** Its files are in /out/<name>. */
  name: string
  /** Where it was started, and when. */
  node: SimNode
  startMs: number
}

/** Longer than what a home keeps inline: lines of every third event travel as blocks. */
const LONG = 6_000
/** After this the process is not getting on. */
const WAIT_MS = 120_000

/** A task waits in virtual time: it gets a clock from the host that loads it (`programs.ts`). */
export const PROGRAM = `
  export async function start({ data }, os) {
    const [events, name] = data.args
    const ids = []
    for (let i = 0; i < Number(events); i++) ids.push(await os.emit('line', { i, name }))
    await os.gather(ids, 'sum')
  }
  export async function line({ data: { i, name } }, os) {
    await os.print('line ' + i + (i % 3 === 0 ? ' ' + 'x'.repeat(${LONG}) : ''))
    await globalThis.brittlestarSim.sleep(200)
    await os.fs.writeFile('/out/' + name + '/' + i, 'file ' + i)
    return i
  }
  export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b, 0))`

/** An event that took three tabs with it ends its process, which says so: no fault of the kernel where so many died. */
const QUARANTINED = /took 3 tabs with it/

/** A home without room for what a process leaves behind ends it, and says so. */
const NO_ROOM = /ENOSPC/

/** What happened that may end a process before its time. */
export interface Excuses {
  /** So many tabs died that one event may have had three of them. */
  deaths: boolean
  /** A disk was full. */
  full: boolean
}

/** @throws {Violation} */
export async function checkProcess(
  cluster: Cluster,
  reader: SimNode,
  { kid, events, name }: Omit<Started, 'node' | 'startMs'>,
  excuses: Excuses = { deaths: false, full: false },
): Promise<'exited' | 'failed'> {
  const { exits } = await cluster.run(reader.os.call('wait', { for: 'exit', kids: [kid] }), WAIT_MS)
  const [exit] = exits ?? []
  const error = exit?.state === 'failed' ? (exit.error ?? '') : ''
  if ((excuses.deaths && QUARANTINED.test(error)) || (excuses.full && NO_ROOM.test(error))) return 'failed'
  if (exit?.state !== 'exited' || exit.code !== 0)
    throw new Violation(`process ${name} ended as ${JSON.stringify(exit)}`)
  const text = fromUtf8(await cluster.run(reader.fs.readFile(`/proc/${kid}/stdout`)))
  checkOutput(name, events, text.trimEnd().split('\n'))
  for (let i = 0; i < events; i++) {
    const path = `/out/${name}/${i}`
    const content = await readOf(cluster, reader, path)
    if (content !== `file ${i}`) throw new Violation(`${path} of a process that ended well reads '${content}'`)
  }
  return 'exited'
}

function checkOutput(name: string, events: number, lines: readonly string[]): void {
  const short = (line: string) => line.slice(0, 20).trimEnd()
  const times = new Map<string, number>()
  for (const line of lines) times.set(short(line), (times.get(short(line)) ?? 0) + 1)
  const expected = Array.from({ length: events }, (_, i) =>
    short(`line ${i}${i % 3 === 0 ? ' xxxxxxxxxxxxxxxxxxxx' : ''}`),
  )
  const lost = expected.filter((line) => !times.has(line)).length
  const doubled = [...times.values()].filter((count) => count > 1).length
  const sum = `sum ${(events * (events - 1)) / 2}`
  if (lost + doubled === 0 && lines.at(-1) === sum && lines.length === events + 1) return
  const last = lines.at(-1)?.slice(0, 40)
  throw new Violation(
    `process ${name}: lost ${lost}, doubled ${doubled}, ${lines.length} lines, the last one '${last}'`,
  )
}

async function readOf(cluster: Cluster, reader: SimNode, path: string): Promise<string> {
  try {
    return fromUtf8(await cluster.run(reader.fs.readFile(path)))
  } catch (error) {
    if (isOsError(error)) return `${error.code}: ${error.message}`
    throw error
  }
}
