// Finds the relay: asks the page's origin for /relay.json until it answers, and again when the relay was lost (it
// may have come back with another key). What is said there is checked before it is believed.
import * as v from 'valibot'
import { errorLine, isOsError, OsError } from '../../src/base/errors.ts'
import type { Clock, Timer } from '../../src/ports/clock.ts'
import type { LogSink } from '../../src/ports/log.ts'

const text = (max: number) => v.pipe(v.string(), v.maxLength(max))
const iceServer = v.object({
  urls: v.union([text(512), v.pipe(v.array(text(512)), v.maxLength(8))]),
  username: v.optional(text(512)),
  credential: v.optional(text(512)),
})
const relayJson = v.object({
  v: v.literal(1),
  cluster: v.pipe(text(64), v.minLength(1)),
  peerId: text(128),
  multiaddrs: v.pipe(v.array(text(512)), v.maxLength(32)),
  iceServers: v.pipe(v.array(iceServer), v.maxLength(16)),
  secureUrl: v.nullable(text(512)),
})
export type RelayJson = v.InferOutput<typeof relayJson>

/** One that has not answered within the first is given the second: a machine that starts a dozen tabs is slow itself. */
const PATIENCE_MS = [4_000, 8_000] as const
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 10_000
const MAX_BYTES = 64 * 1024

/** @throws {OsError} EHOSTUNREACH, EPROTO; ETIMEDOUT. */
async function fetchRelayInfo(origin: string, timeoutMs: number): Promise<RelayJson> {
  let body: string
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(`${origin}/relay.json`, { signal, cache: 'no-store' })
    if (!response.ok) throw new OsError('EHOSTUNREACH', `it answered ${response.status}`)
    body = await response.text()
  } catch (error) {
    const code = signal.aborted ? 'ETIMEDOUT' : 'EHOSTUNREACH'
    throw new OsError(code, `the relay at ${origin} does not answer: ${errorLine(error)}`, { cause: error })
  }
  try {
    if (body.length > MAX_BYTES) throw new OsError('EPROTO', 'it is too long')
    return v.parse(relayJson, JSON.parse(body))
  } catch (error) {
    throw new OsError('EPROTO', `${origin}/relay.json is not what a relay says: ${errorLine(error)}`, { cause: error })
  }
}

/** @throws {OsError} EHOSTUNREACH, EPROTO; ETIMEDOUT. */
async function patiently(origin: string): Promise<RelayJson> {
  const [first, second] = PATIENCE_MS
  try {
    return await fetchRelayInfo(origin, first)
  } catch (error) {
    if (!isOsError(error, 'ETIMEDOUT')) throw error
    return fetchRelayInfo(origin, second)
  }
}

/** Keeps asking while `wanted`; tells what it learnt when that is new. */
export class RelayFinder {
  readonly #origin: string
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #onInfo: (info: RelayJson) => void
  #known = ''
  #timer: Timer | undefined
  #asking = false
  #delayMs = RETRY_MIN_MS
  info: RelayJson | undefined

  constructor(options: { origin: string; clock: Clock; log: LogSink; onInfo: (info: RelayJson) => void }) {
    this.#origin = options.origin
    this.#clock = options.clock
    this.#log = options.log
    this.#onInfo = options.onInfo
  }

  /** Resolves after the first answer, good or bad. */
  async ask(): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    this.#timer?.cancel()
    this.#timer = undefined
    try {
      const info = await patiently(this.#origin)
      this.#delayMs = RETRY_MIN_MS
      this.info = info
      const said = JSON.stringify(info)
      if (said !== this.#known) {
        this.#known = said
        this.#onInfo(info)
      }
    } catch (error) {
      this.#log.log('info', 'relay', errorLine(error))
      this.later()
    } finally {
      this.#asking = false
    }
  }

  /** Asks again after a pause that grows. */
  later(): void {
    if (this.#timer) return
    this.#timer = this.#clock.setTimer(
      () => {
        this.#timer = undefined
        void this.ask()
      },
      this.#delayMs,
      'relay.json',
    )
    this.#delayMs = Math.min(RETRY_MAX_MS, this.#delayMs * 2)
  }

  close(): void {
    this.#timer?.cancel()
  }
}
