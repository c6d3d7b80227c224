// Blocks that other tabs of this browser have stored: they are on this very disk, so nobody is asked for them over a link.
// They are not believed either. Above: blocks.ts. Below: the device store port.
import { errorLine } from '../../base/errors.ts'
import type { DeviceStore } from '../../ports/blockstore.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from './cid.ts'

export interface DeviceBlocksOptions {
  store: DeviceStore
  /** Whether another tab of this device is here: else what they have stored may be old, and is not looked for. */
  shared(): boolean
}

export class DeviceBlocks {
  readonly #options: DeviceBlocksOptions
  readonly #verify: (cid: CidText, bytes: Uint8Array) => Promise<boolean>
  readonly #log: LogSink

  constructor(
    options: DeviceBlocksOptions,
    { verify, log }: { verify: (cid: CidText, bytes: Uint8Array) => Promise<boolean>; log: LogSink },
  ) {
    this.#options = options
    this.#verify = verify
    this.#log = log
  }

  /** Those that are on this disk, whole. */
  async get(
    cids: readonly CidText[],
    onBlock: (cid: CidText, bytes: Uint8Array) => void,
  ): Promise<Map<CidText, Uint8Array>> {
    const found = new Map<CidText, Uint8Array>()
    const { store, shared } = this.#options
    if (!shared()) return found
    const stored = await this.#read(store, cids)
    await Promise.all(
      cids.map(async (cid, i) => {
        const bytes = stored[i]
        if (!bytes) return
        if (!(await this.#verify(cid, bytes))) {
          this.#log.log('warn', 'blocks', `another tab of this browser has a corrupt copy of ${cid}`)
          return
        }
        found.set(cid, bytes)
        onBlock(cid, bytes)
      }),
    )
    return found
  }

  async #read(store: DeviceStore, cids: readonly CidText[]): Promise<(Uint8Array | undefined)[]> {
    try {
      return await store.getMany(cids)
    } catch (error) {
      this.#log.log('info', 'blocks', `what other tabs of this browser have cannot be read: ${errorLine(error)}`)
      return []
    }
  }
}
