// Many real kernels in one thread over virtual time. Deterministic: the same seed gives the same run, because
// time, randomness, network, disks and hashing all come from here, and events run one at a time to the end.

import { VirtualClock } from '../adapters/memory/clock.ts'
import { MemoryHub } from '../adapters/memory/hub.ts'
import { SeededRandom } from '../adapters/memory/random.ts'
import { Disk } from '../adapters/memory/stores.ts'
import type { DeviceId, NodeId } from '../base/ids.ts'
import type { LoadProgram } from '../syscalls/task-runtime.ts'
import { SimNode } from './node.ts'
import { Violation } from './violation.ts'
import { SimWitness } from './witness.ts'

export { SimNode }

export interface ClusterOptions {
  seed: number
  latencyMs?: readonly [number, number]
  split?: boolean
  /** How long writes take; without it they are made at once. */
  flushMs?: readonly [number, number]
  slots?: number
  load?: LoadProgram
  builtin?: Record<string, string>
  /** Timers that may fire in one second of virtual time; more, and the cluster does not come to rest. */
  busiest?: number
  /** Lets everything that is not a timer run to its end; supplied by the host (Node: setImmediate). */
  settle: () => Promise<void>
  onLog?: (line: string) => void
}

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export class Cluster {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly hub: MemoryHub
  readonly options: ClusterOptions
  readonly nodes: SimNode[] = []
  /** Timers that fired within the present second. */
  #fired = 0
  #second = 0

  constructor(options: ClusterOptions) {
    this.options = options
    this.random = new SeededRandom(options.seed)
    this.hub = new MemoryHub({
      clock: this.clock,
      random: this.random.fork(),
      latencyMs: options.latencyMs ?? [0.5, 3],
      split: options.split ?? false,
    })
    this.hub.witness = new SimWitness(this.clock)
  }

  /** @param device another tab of the same browser; undefined: a device of its own. */
  addNode(device?: DeviceId): SimNode {
    const { clock, options, random } = this
    const id = `12D3KooW${Array.from({ length: 12 }, () => ALPHABET[random.below(ALPHABET.length)]).join('')}`
    const own = [...random.bytes(16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    const { flushMs } = options
    const speed = flushMs && { clock, random: random.fork(), flushMs }
    const node = new SimNode(this, {
      id: id as NodeId,
      device: device ?? (own as DeviceId),
      disk: new Disk(Number.POSITIVE_INFINITY, speed),
      random: random.fork(),
    })
    this.nodes.push(node)
    return node
  }

  /** The node is gone for good, with its disk: nobody with its identity will be back. */
  forget(node: SimNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1)
  }

  up(): SimNode[] {
    return this.nodes.filter((node) => node.up)
  }

  /** Lets `ms` of virtual time pass. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms
    await this.options.settle()
    while (this.#step(untilMs)) await this.options.settle()
    this.clock.jump(untilMs - this.clock.nowMs())
  }

  /** @throws {Violation} */
  #step(untilMs: number): boolean {
    const stepped = this.clock.step(untilMs)
    const second = Math.floor(this.clock.nowMs() / 1000)
    this.#fired = second === this.#second ? this.#fired + 1 : 0
    this.#second = second
    const { busiest = Number.POSITIVE_INFINITY } = this.options
    if (this.#fired > busiest) throw new Violation(`more than ${busiest} things happened within second ${second}`)
    return stepped
  }

  /** Lets time pass until the promise settles. @throws when it has not within `limitMs` of virtual time. */
  async run<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    let settled = false
    const watched = promise.finally(() => {
      settled = true
    })
    watched.catch(() => undefined) // rethrown below
    const untilMs = this.clock.nowMs() + limitMs
    for (;;) {
      await this.options.settle()
      if (settled) return watched
      if (!this.#step(untilMs)) throw new Error(`nothing happened for ${limitMs} ms of virtual time`)
    }
  }

  /** Lets time pass until the condition holds. @returns virtual ms that it took. */
  async until(condition: () => boolean | Promise<boolean>, what: string, limitMs = 60_000): Promise<number> {
    const startMs = this.clock.nowMs()
    while (!(await this.run(Promise.resolve(condition())))) {
      if (this.clock.nowMs() - startMs > limitMs) throw new Error(`not within ${limitMs} ms of virtual time: ${what}`)
      await this.advance(20)
    }
    return this.clock.nowMs() - startMs
  }
}
