// Blocks that other tabs of this browser have stored: they are on this very disk, so nobody is asked for them over a link.
// They are not believed either, nor waited for longer than a link would take. Above: blocks.ts. Below: the device store port.
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import type { DeviceStore } from '../../ports/blockstore.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import { within } from '../timers.ts'
import type { CidText } from './cid.ts'

export interface DeviceBlocksOptions {
  store: DeviceStore
  /** Whether another tab of this device is here: else what they have stored may be old, and is not looked for. */
  shared(): boolean
}

interface Wiring {
  verify: (cid: CidText, bytes: Uint8Array) => Promise<boolean>
  clock: Clock
  log: LogSink
}

type Found = readonly (Uint8Array | undefined)[]

export class DeviceBlocks {
  readonly #options: DeviceBlocksOptions
  readonly #wiring: Wiring
  /** Reads that are late: a tab that stands still may hold them up. */
  #late = 0
  /** Until then the disk is left alone, since it was late. */
  #leftAloneMs = Number.NEGATIVE_INFINITY

  constructor(options: DeviceBlocksOptions, wiring: Wiring) {
    this.#options = options
    this.#wiring = wiring
  }

  /**
   * Hands over those that are on this disk, whole.
   * @param patient nobody else has them, so that a disk that is slow is waited for, and what tabs have left that are closed counts.
   * @throws {OsError} ECANCELED.
   */
  async get(
    cids: readonly CidText[],
    onBlock: (cid: CidText, bytes: Uint8Array) => void,
    { signal, patient = false }: { signal?: AbortSignal | undefined; patient?: boolean } = {},
  ): Promise<void> {
    const { verify, log, clock } = this.#wiring
    const leftAlone = this.#late > 0 || clock.nowMs() < this.#leftAloneMs
    if (!patient && (leftAlone || !this.#options.shared())) return
    const stored = await this.#read(cids, patient ? limits.DEVICE_LAST_MS : limits.DEVICE_PATIENCE_MS, signal)
    await Promise.all(
      cids.map(async (cid, i) => {
        const bytes = stored[i]
        if (!bytes) return
        if (!(await verify(cid, bytes))) {
          log.log('warn', 'blocks', `another tab of this browser has a corrupt copy of ${cid}`)
          return
        }
        onBlock(cid, bytes)
      }),
    )
  }

  async #read(cids: readonly CidText[], patienceMs: number, signal: AbortSignal | undefined): Promise<Found> {
    const { clock, log } = this.#wiring
    let [ended, late] = [false, false]
    const reading = this.#options.store.getMany(cids).finally(() => {
      ended = true
      if (late) this.#late--
    })
    reading.catch(() => undefined) // said below, unless nobody waits for it any more
    try {
      const wait = { clock, label: 'blocks on this disk', late: slow, ...(signal ? { signal } : {}) }
      return await within<Found>(reading, patienceMs, wait)
    } catch (error) {
      if (signal?.aborted) throw toOsError(signal.reason, 'ECANCELED')
      if (!ended) {
        late = true
        this.#late++
        this.#leftAloneMs = clock.nowMs() + limits.DEVICE_LEFT_ALONE_MS
      }
      log.log('info', 'blocks', `what other tabs of this browser have cannot be read: ${errorLine(error)}`)
      return []
    }
  }
}

const slow = () => new OsError('ETIMEDOUT', 'their storage does not answer')
