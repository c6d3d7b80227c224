// A process begins: its journal first, on enough nodes to survive this one, and with its first entry the word that it begins.
// Whoever finds a journal without that forgets it: the process may have begun again under another name. Above: processes.ts.
// Below: the journals.
import { encode } from 'cborg'
import { toHex } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
import { type Kid, kidFromHex, type NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { Random } from '../../ports/random.ts'
import { type BeginOptions, beginning, unanswered } from '../journal/beginnings.ts'
import type { Groups } from '../journal/groups.ts'
import type { Journal } from '../journal/journal.ts'
import { GROUP_BEGIN_MS } from '../limits.ts'
import { within } from '../timers.ts'
import { encodeData } from './data.ts'
import { encodeEntry, type ProcessBounds, type ProcessStep } from './entries.ts'

/** Of names of journals. */
export const PREFIX = 'process/'

export interface SpawnOptions {
  program: string
  args: string[]
  cwd: string
  eventMs: number
  bounds: ProcessBounds
  signal: AbortSignal
}

export interface SpawningOptions {
  self: NodeId
  journals: Groups
  clock: Clock
  hasher: Hasher
  signer: Signer
  random: Random
}

/** The word that a process begins. */
export interface Beginning {
  step: ProcessStep
  /** Whether it is in the journal. */
  written: Promise<boolean>
}

export class Spawning {
  readonly #options: SpawningOptions
  /** Those whose journals begin here now. */
  readonly #beginnings = new Map<Kid, PromiseWithResolvers<unknown>>()

  constructor(options: SpawningOptions) {
    this.#options = options
  }

  /**
   * Resolves when it is certain that it goes on, whatever becomes of this node.
   * @throws {OsError} ETIMEDOUT, ECANCELED: it does not go on, unless this node is cut off. Anything else that keeps its
   * beginning from being written comes with its name: perhaps it goes on elsewhere.
   */
  async spawn(options: SpawnOptions, programCid: string): Promise<{ kid: Kid; problem?: unknown }> {
    const { clock, journals } = this.#options
    const { signal } = options
    const { kid, begun } = await beginning(clock, (how) => this.#begin(options, programCid, how), signal)
    try {
      await within(begun, GROUP_BEGIN_MS, { clock, label: 'process begins', late: unanswered, signal })
      return { kid }
    } catch (problem) {
      if (!isOsError(problem, 'ETIMEDOUT') && !signal.aborted) return { kid, problem }
      await journals.retire(PREFIX + kid)
      throw problem
    }
  }

  /** This node leads the journal: if it begins just now, its first entry says so. */
  first(kid: Kid, journal: Journal): Beginning | undefined {
    const beginning = this.#beginnings.get(kid)
    if (!beginning) return undefined
    const { self, clock } = this.#options
    const step: ProcessStep = { t: 'home', node: self, why: 'it begins here', atMs: clock.wallMs() }
    beginning.resolve(journal.append([encodeEntry(step)]))
    const written = beginning.promise.then(
      () => true,
      () => false, // whoever began it is told why
    )
    return { step, written }
  }

  /** @returns its name, a new one each time. */
  async #begin(
    { program, args, cwd, eventMs, bounds }: SpawnOptions,
    programCid: string,
    how: BeginOptions,
  ): Promise<{ kid: Kid; begun: Promise<unknown> }> {
    const { self: home, journals, clock, random, hasher, signer } = this.#options
    const atMs = clock.wallMs()
    const nonce = random.bytes(16)
    const genesis = encode({ t: 'process', v: 1, program: programCid, args, cwd, home, atMs, nonce })
    const kid = kidFromHex(toHex(await hasher.sha256(genesis)))
    const signature = await signer.sign(genesis)
    const data = encodeData({ args, cwd })
    const birth = { t: 'spawned' as const, kid, program, programCid, args, cwd, home, atMs, eventMs, bounds, data }
    const entry: ProcessStep = { ...birth, genesis, signature }
    const begun = Promise.withResolvers<unknown>()
    this.#beginnings.set(kid, begun)
    try {
      await journals.create(PREFIX + kid, encodeEntry(entry), how)
    } finally {
      this.#beginnings.delete(kid)
    }
    return { kid, begun: begun.promise }
  }
}
