// Journals that begin: their owners wait here until enough nodes have them. Above: groups.ts; who begins one. Below: liveness.
import { isOsError, OsError, toOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import { GROUP_BEGIN_MS } from '../limits.ts'
import type { Liveness } from './liveness.ts'

interface Beginning {
  /** Who was chosen to keep it, beside this node; empty: nobody, or it is not known yet. */
  others: readonly NodeId[]
  resolve: () => void
  reject: (error: OsError) => void
}

export class Beginnings {
  readonly #clock: Clock
  readonly #liveness: Pick<Liveness, 'nodes'>
  readonly #waiting = new Map<string, Beginning>()

  constructor(clock: Clock, liveness: Pick<Liveness, 'nodes'>) {
    this.#clock = clock
    this.#liveness = liveness
  }

  has(name: string): boolean {
    return this.#waiting.has(name)
  }

  /**
   * Resolves when enough have it. @param begin stores it here, and tells who was chosen to keep it besides.
   * @throws {OsError} what `begin` throws; ETIMEDOUT: those who should keep it do not answer; ECANCELED.
   */
  async wait(name: string, begin: () => Promise<readonly NodeId[]>, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => undefined) // reported below, perhaps later
    const beginning: Beginning = { others: [], resolve, reject }
    const timer = this.#clock.setTimer(() => reject(unanswered()), GROUP_BEGIN_MS, 'journal begins')
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

  arrived(name: string): void {
    this.#waiting.get(name)?.resolve()
  }

  /** Somebody has gone, or fallen silent: a journal for which nobody is left who could keep it is not waited for. */
  changed(): void {
    for (const [name, beginning] of this.#waiting) this.#look(name, beginning)
  }

  #look(name: string, { others, reject }: Beginning): void {
    if (others.length === 0) return
    const fit = new Set(this.#liveness.nodes(name).flatMap((node) => (node.fit ? [node.id] : [])))
    if (!others.some((id) => fit.has(id))) reject(unanswered())
  }
}

const unanswered = () => new OsError('ETIMEDOUT', 'the nodes that should keep its journal do not answer: try again')

/**
 * Begins something that has a journal, and again where those who should have kept it did not answer, for as long as one
 * beginning may take: they are known to be silent then, so that others are chosen.
 * @param begin gives it a new name each time: those who were silent may still come to know of the old one.
 * @throws {OsError} what `begin` throws.
 */
export async function beginning<T>(clock: Clock, begin: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const untilMs = clock.nowMs() + GROUP_BEGIN_MS
  for (;;) {
    try {
      return await begin()
    } catch (error) {
      if (clock.nowMs() >= untilMs || signal?.aborted || !isOsError(error, 'ETIMEDOUT')) throw error
    }
  }
}
