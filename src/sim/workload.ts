// The work of a schedule: starts it without waiting, and remembers what was acknowledged, and how. What it knows in the
// end is what the checkers compare with what is there.
import { SeededRandom } from '../adapters/memory/random.ts'
import { errorLine } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import { Keg } from '../syscalls/keg.ts'
import type { Ack } from '../syscalls/types.ts'
import type { FileClaim } from './checkers/files.ts'
import { PROGRAM, type Started } from './checkers/processes.ts'
import type { Cluster, SimNode } from './cluster.ts'
import type { Faults } from './faults.ts'
import type { Work } from './schedule.ts'
import { Violation } from './violation.ts'

const PROGRAM_PATH = '/lines.js'

/** One write as its writer knows it. */
interface Written {
  text: string
  startMs: number
  /** When it was acknowledged; undefined: it failed, or nobody knows. */
  ackMs: number | undefined
  level: Ack['level'] | undefined
}

export class Workload {
  readonly #cluster: Cluster
  readonly #faults: Faults
  readonly #note: (line: string) => void
  readonly #files = new Map<string, Written[]>()
  /** Lines of each file that is appended to, one append at a time. */
  readonly #lines = new Map<string, Written[]>()
  readonly #appending = new Set<string>()
  readonly #under = new Set<Promise<void>>()
  readonly started: Started[] = []
  #count = 0

  constructor(cluster: Cluster, faults: Faults, note: (line: string) => void) {
    this.#cluster = cluster
    this.#faults = faults
    this.#note = note
  }

  /** Everybody needs the program, and somewhere to write. */
  async prepare(keg: boolean): Promise<void> {
    const node = this.#faults.at(0)
    for (const path of ['/log', '/past', ...(keg ? [] : ['/work'])]) await this.#cluster.run(node.fs.mkdir(path))
    if (keg) await this.#cluster.run(new Keg(node.os).create('/work'))
    await this.#cluster.run(this.#faults.at(0).fs.writeFile(PROGRAM_PATH, PROGRAM, { ack: 'majority' }))
  }

  begin(work: Work): void {
    const node = this.#faults.at(work.seat)
    if (!node.awake) return
    const task = this.#do(node, work).catch((error: unknown) => {
      if (error instanceof Violation) this.failure ??= error
      else this.#note(`${node.id.slice(-4)} ${work.do} failed: ${errorLine(error)}`)
    })
    this.#under.add(task)
    void task.finally(() => this.#under.delete(task))
  }

  /** What an acknowledgement claimed that was not so. */
  failure: Violation | undefined

  /** Whatever was begun has an outcome. */
  async finish(): Promise<void> {
    await this.#cluster.run(Promise.all(this.#under), 300_000)
  }

  #do(node: SimNode, work: Work): Promise<void> {
    switch (work.do) {
      case 'write':
        return this.#write(node, work.path, work.bytes)
      case 'append':
        return this.#append(node, work.path)
      case 'restore':
        return this.#restore(node, work.back)
      case 'run':
        return this.#run(node, work.events)
    }
  }

  async #write(node: SimNode, path: string, bytes: number): Promise<void> {
    const number = this.#count++
    // Of one file in two nothing can be packed on its way.
    const text = `${number}:${number % 2 === 0 ? '.'.repeat(bytes) : noise(number, bytes)}`
    const writes = this.#files.get(path) ?? []
    this.#files.set(path, writes)
    await this.#noted(node, path, writes, text, () => node.fs.writeFile(path, text))
  }

  /** Nobody counts on what is in that folder: what counts is that it is there whole, whichever version of it. */
  async #restore(node: SimNode, back: number): Promise<void> {
    const { cid } = await node.fs.writeFile(`/past/${this.#count % 5}`, `${this.#count++}`.repeat(100))
    await new Keg(node.os).checkout(`HEAD~${back}`, '/past', { remove: true })
    this.#note(`${node.id.slice(-4)} restored /past after ${cid}, ${back} versions back`)
  }

  async #append(node: SimNode, path: string): Promise<void> {
    if (this.#appending.has(path)) return
    this.#appending.add(path)
    const lines = this.#lines.get(path) ?? []
    this.#lines.set(path, lines)
    const line = `${this.#count++}\n`
    try {
      await this.#noted(node, path, lines, line, () => node.fs.appendFile(path, line))
    } finally {
      this.#appending.delete(path)
    }
  }

  async #noted(
    node: SimNode,
    path: string,
    writes: Written[],
    text: string,
    act: () => Promise<{ ack?: Ack; cid?: string }>,
  ): Promise<void> {
    const { clock } = this.#cluster
    const written: Written = { text, startMs: clock.nowMs(), ackMs: undefined, level: undefined }
    writes.push(written)
    const { ack, cid } = await act()
    written.ackMs = clock.nowMs()
    written.level = ack?.level
    this.#note(`${node.id.slice(-4)} wrote ${path} (${ack?.level}, ${ack?.devices} devices)`)
    if (ack && cid !== undefined) this.#checkAck(path, cid, ack, written)
  }

  /** Checker: as many devices have it as the acknowledgement says (design §8, invariant 5). */
  #checkAck(path: string, cid: string, ack: Ack, { startMs }: Written): void {
    const lost = this.#faults.lost.filter(({ atMs }) => atMs >= startMs).map(({ node }) => node)
    const holders = [...this.#cluster.nodes, ...lost].filter(({ disk }) => disk.blocks.has(cid))
    const devices = new Set(holders.map(({ device }) => device)).size
    if (devices >= ack.devices) return
    throw new Violation(`${path} was acknowledged as on ${ack.devices} devices, and is on ${devices}`)
  }

  async #run(node: SimNode, events: number): Promise<void> {
    const name = `p${this.#count++}`
    const startMs = this.#cluster.clock.nowMs()
    const { kid } = await node.os.call('run', { program: PROGRAM_PATH, args: [String(events), name], cwd: '/' })
    this.#note(`${node.id.slice(-4)} started ${kid.slice(0, 10)}`)
    this.started.push({ kid: kid as Kid, events, name, node, startMs })
  }

  /** What has to be there in the end. */
  claims(): FileClaim[] {
    const claims: FileClaim[] = []
    for (const [path, writes] of this.#files) {
      if (writes.some((write) => this.#safe(write)))
        claims.push({ path, allows: (found) => this.#anyOf(writes, found) })
    }
    for (const [path, lines] of this.#lines) {
      if (lines.some((line) => this.#safe(line))) claims.push({ path, allows: (found) => this.#allOf(lines, found) })
    }
    return claims
  }

  /** Acknowledged, and not only on a disk that was lost before others had it. */
  #safe({ ackMs, level, startMs }: Written): boolean {
    if (ackMs === undefined) return false
    return level !== 'local' || !this.#faults.lost.some(({ atMs }) => atMs >= startMs)
  }

  /**
   * Whoever wrote last has won, or both have a copy: what is there was written, and nothing written after it had been
   * acknowledged is acknowledged as well.
   */
  #anyOf(writes: readonly Written[], found: readonly string[]): boolean {
    const overwritten = (write: Written) =>
      writes.some((other) => this.#safe(other) && write.ackMs !== undefined && other.startMs > write.ackMs)
    const present = writes.filter(({ text }) => found.includes(text))
    return present.some((write) => !overwritten(write))
  }

  /** One writer, one line after the other: every acknowledged one is there, in one of the copies. */
  #allOf(lines: readonly Written[], found: readonly string[]): boolean {
    const there = new Set(found.flatMap((text) => text.split('\n').map((line) => `${line}\n`)))
    return lines.every((line) => there.has(line.text) || !this.#safe(line))
  }

  get acknowledged(): number {
    const all = [...this.#files.values(), ...this.#lines.values()].flat()
    return all.filter(({ ackMs }) => ackMs !== undefined).length
  }
}

/** ASCII of which no run comes twice. */
function noise(seed: number, length: number): string {
  const bytes = new SeededRandom(seed).bytes(length)
  return new TextDecoder().decode(bytes.map((byte) => 0x21 + (byte % 94)))
}
