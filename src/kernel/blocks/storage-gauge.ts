// How well this node can keep what others count on, as it tells them: room on its disk, and whether the browser may evict
// it. Above: kernel.ts. Below: the block store.
import { errorLine } from '../../base/errors.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import { type StorageClass, storageClasses } from '../../syscalls/types.ts'
import { AMPLE_BYTES, FULL_BYTES, STORAGE_CLASS_MS } from '../limits.ts'

export interface StorageGaugeOptions {
  store: Pick<BlockStore, 'usage'>
  clock: Clock
  log: LogSink
}

export class StorageGauge {
  readonly #options: StorageGaugeOptions
  #class: StorageClass = 'scarce'
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor(options: StorageGaugeOptions) {
    this.#options = options
  }

  /** As it was when it was looked at last; looks again when that is long ago. @returns its number in storageClasses. */
  get level(): 0 | 1 | 2 | 3 {
    return storageClasses.indexOf(this.class) as 0 | 1 | 2 | 3
  }

  /** The same by its name. */
  get class(): StorageClass {
    const { clock, log } = this.#options
    if (clock.nowMs() - this.#lookedMs >= STORAGE_CLASS_MS) {
      this.look().catch((error: unknown) => log.log('debug', 'blocks', `how full the disk is: ${errorLine(error)}`))
    }
    return this.#class
  }

  /** @throws {OsError} EIO. */
  async look(): Promise<void> {
    this.#lookedMs = this.#options.clock.nowMs()
    this.#class = classOf(await this.#options.store.usage())
  }
}

/** @param usage `quotaBytes` 0: the browser does not tell, and mostly grants what there is. */
export function classOf({ usedBytes, quotaBytes, persisted }: StorageUsage): StorageClass {
  const free = quotaBytes === 0 ? AMPLE_BYTES : quotaBytes - usedBytes
  if (free < FULL_BYTES) return 'full'
  if (free < AMPLE_BYTES) return 'scarce'
  return persisted ? 'persistent' : 'ample'
}
