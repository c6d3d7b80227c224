// When all tabs of a browser were closed and one comes back, what is kept here may need a majority that the closed tabs
// are part of. Their slots are in this browser: their kernels are started again in the background, without programs,
// until what is kept has other keepers. Above: kernel.ts. Below: kernels like the page's own.
import type { SyscallClient } from '../syscalls/client.ts'
import type { Booted } from '../syscalls/control.ts'
import * as limits from './limits.ts'

/** A kernel of another slot, started by this page. */
export interface OrphanKernel {
  readonly booted: Promise<Booted>
  /** Takes its leave from the cluster and ends. Idempotent. */
  close(): Promise<void>
}

export interface OrphanOptions {
  client: Pick<SyscallClient, 'info'>
  /** Slots of this browser that have data and no tab. */
  orphans(): Promise<number[]>
  start(slot: number): OrphanKernel
  sleep(ms: number): Promise<void>
}

/**
 * Looks once whether journals here wait for a majority, and if so starts one slot after the other until they do not.
 * Resolves when all of them are closed again.
 */
export async function keepOrphans({ client, orphans, start, sleep }: OrphanOptions): Promise<void> {
  const waiting = async () => (await client.info('node')).waiting
  /** @returns whether nothing waits any longer, at the latest after so many looks. */
  const settled = async (looks: number) => {
    for (let i = 0; i < looks; i++) {
      if ((await waiting()) === 0) return true
      await sleep(limits.ORPHAN_LOOK_MS)
    }
    return false
  }
  if (await settled(limits.ORPHAN_PATIENCE_LOOKS)) return
  const started: OrphanKernel[] = []
  try {
    for (const slot of (await orphans()).slice(0, limits.MAX_ORPHANS)) {
      const orphan = start(slot)
      started.push(orphan)
      // Its slot may be taken meanwhile, or its storage broken: then the next one is tried.
      const runs = await orphan.booted.then(
        () => true,
        () => false,
      )
      if (runs && (await settled(limits.ORPHAN_PATIENCE_LOOKS))) break
    }
    // What they keep gets its copies here, and elsewhere, before they go one after the other.
    if (started.length > 0) await sleep(limits.ORPHAN_STAY_MS)
  } finally {
    for (const orphan of started) {
      await orphan.close()
      await settled(limits.ORPHAN_PATIENCE_LOOKS)
    }
  }
}
