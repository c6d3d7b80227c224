// Journals that begin: their owners wait here until enough nodes have them. Above: groups.ts; who begins one. Below: liveness.
import { isOsError, OsError, toOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import { GROUP_AGAIN_MS, GROUP_BEGIN_MS, GROUP_MUTE_MS } from '../limits.ts'
import type { Liveness } from './liveness.ts'
import { type Candidate, firstConfig } from './policy.ts'
import type { GroupConfig } from './raft/config.ts'

export interface BeginOptions {
  signal?: AbortSignal | undefined
  /** Whoever wants it begins again, under another name, where those who should keep it do not answer. */
  again?: boolean
}

interface Beginning {
  /** Who was chosen to keep it, beside this node; empty: nobody, or it is not known yet. */
  others: readonly NodeId[]
  again: boolean
  resolve: () => void
  reject: (error: OsError) => void
}

export class Beginnings {
  readonly #self: NodeId
  readonly #clock: Clock
  readonly #liveness: Pick<Liveness, 'nodes'>
  readonly #waiting = new Map<string, Beginning>()
  /** Until when no journal counts on these, which stored nothing of one. */
  readonly #mute = new Map<NodeId, number>()

  constructor(self: NodeId, clock: Clock, liveness: Pick<Liveness, 'nodes'>) {
    this.#self = self
    this.#clock = clock
    this.#liveness = liveness
  }

  /**
   * Resolves when enough have it. @param begin stores it here, and tells who was chosen to keep it besides.
   * @throws {OsError} what `begin` throws; ETIMEDOUT: those who should keep it do not answer; ECANCELED.
   */
  async wait(
    name: string,
    begin: () => Promise<readonly NodeId[]>,
    { signal, again = false }: BeginOptions = {},
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => undefined) // reported below, perhaps later
    const beginning: Beginning = { others: [], again, resolve, reject }
    const waitMs = again ? GROUP_AGAIN_MS : GROUP_BEGIN_MS
    const timer = this.#clock.setTimer(() => reject(unanswered()), waitMs, 'journal begins')
    const onAbort = () => reject(toOsError(signal?.reason, 'ECANCELED'))
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#waiting.set(name, beginning)
    try {
      beginning.others = await begin()
      this.#look(name, beginning)
      await promise
    } finally {
      this.#waiting.delete(name)
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Who is to keep a journal that begins here. */
  firstConfig(name: string): GroupConfig {
    return firstConfig(this.#self, this.#nodes(name))
  }

  /** A journal was given up of which these have stored nothing, though they seem to be well. */
  mute(ids: readonly NodeId[]): void {
    for (const id of ids) this.#mute.set(id, this.#clock.nowMs() + GROUP_MUTE_MS)
  }

  /** It left: whoever comes back may be well. */
  left(id: NodeId): void {
    this.#mute.delete(id)
  }

  #nodes(name: string): Candidate[] {
    const nowMs = this.#clock.nowMs()
    const well = ({ id, fit }: Candidate) => fit && (this.#mute.get(id) ?? 0) <= nowMs
    return this.#liveness.nodes(name).map((node) => ({ ...node, fit: well(node) }))
  }

  arrived(name: string): void {
    this.#waiting.get(name)?.resolve()
  }

  /** The disk here takes no more. */
  full(name: string, error: OsError): void {
    this.#waiting.get(name)?.reject(error)
  }

  /** Somebody has gone, or fallen silent: a journal for which nobody is left who could keep it is not waited for. */
  changed(): void {
    for (const [name, beginning] of this.#waiting) this.#look(name, beginning)
  }

  #look(name: string, { others, again, reject }: Beginning): void {
    if (others.length === 0 || !again) return
    const nodes = this.#nodes(name)
    if (nodes.some(({ id, fit }) => fit && others.includes(id))) return
    // Who is only busy answers yet: a journal that this node keeps alone would not survive it.
    const busy = nodes.some(({ id }) => others.includes(id))
    if (!busy || firstConfig(this.#self, nodes).voters.length > 1) reject(unanswered())
  }
}

export const unanswered = () =>
  new OsError('ETIMEDOUT', 'the nodes that should keep its journal do not answer: try again')

/**
 * Begins something that has a journal, and again where those who should have kept it did not answer, for as long as one
 * beginning may take: they are known to be silent then, so that others are chosen, or nobody if nobody else is left.
 * @param begin gives it a new name each time: those who were silent may still come to know of the old one.
 * @throws {OsError} what `begin` throws.
 */
export async function beginning<T>(
  clock: Clock,
  begin: (options: BeginOptions) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const untilMs = clock.nowMs() + GROUP_BEGIN_MS
  for (;;) {
    try {
      return await begin({ signal, again: true })
    } catch (error) {
      if (clock.nowMs() >= untilMs || signal?.aborted || !isOsError(error, 'ETIMEDOUT')) throw error
    }
  }
}
