// How well this node can keep what others count on, as it tells them: room on its disk, and whether the browser may evict
// it. Above: kernel.ts. Below: the block store, the reserve.
import { errorLine } from '../../base/errors.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import { type StorageClass, storageClasses } from '../../syscalls/types.ts'
import { AMPLE_BYTES, FULL_BYTES, RESERVE_FROM_BYTES, STORAGE_CLASS_MS } from '../limits.ts'
import type { Reserve } from './reserve.ts'

export interface StorageGaugeOptions {
  store: Pick<BlockStore, 'usage'>
  reserve: Pick<Reserve, 'short' | 'refill'>
  clock: Clock
  log: LogSink
}

export class StorageGauge {
  readonly #options: StorageGaugeOptions
  #class: StorageClass = 'scarce'
  #looking: Promise<void> | undefined
  #grownBytes = 0
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor(options: StorageGaugeOptions) {
    this.#options = options
  }

  /** As it was when it was looked at last; looks again when that is long ago. @returns its number in storageClasses. */
  get level(): 0 | 1 | 2 | 3 | 4 {
    return storageClasses.indexOf(this.class) as 0 | 1 | 2 | 3 | 4
  }

  /** The same by its name. */
  get class(): StorageClass {
    void this.look(STORAGE_CLASS_MS)
    return this.#options.reserve.short ? 'exhausted' : this.#class
  }

  /** @param ms so old what is known may be. Resolves when it is not older. */
  look(ms: number): Promise<void> {
    const { clock, log } = this.#options
    if (this.#looking || clock.nowMs() - this.#lookedMs < ms) return this.#looking ?? Promise.resolve()
    this.#grownBytes = 0
    this.#lookedMs = clock.nowMs()
    this.#looking = this.#look()
      .catch((error: unknown) => log.log('debug', 'blocks', `how full the disk is: ${errorLine(error)}`))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** So much more was stored. */
  grown(bytes: number): void {
    this.#grownBytes += bytes
    if (this.#grownBytes >= RESERVE_FROM_BYTES) void this.look(0)
  }

  async #look(): Promise<void> {
    const usage = await this.#options.store.usage()
    this.#class = classOf(usage)
    await this.#options.reserve.refill(usage.usedBytes)
  }
}

/** @param usage `quotaBytes` 0: the browser does not tell, and mostly grants what there is. */
export function classOf({ usedBytes, quotaBytes, persisted }: StorageUsage): StorageClass {
  const free = quotaBytes === 0 ? AMPLE_BYTES : quotaBytes - usedBytes
  if (free < FULL_BYTES) return 'full'
  if (free < AMPLE_BYTES) return 'scarce'
  return persisted ? 'persistent' : 'ample'
}
