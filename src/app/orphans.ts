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
  /** Slots of this browser that have data and no tab; those that were of no use lately are left out. */
  orphans(): Promise<number[]>
  start(slot: number): OrphanKernel
  /** A tab has come that wants to have its slot back. */
  wanted(slot: number): Promise<boolean>
  /** It was of no use. */
  useless(slot: number): void
  sleep(ms: number): Promise<void>
}

/**
 * Looks once whether journals here wait for a majority, and if so starts one slot after the other until they do not.
 * Resolves when all of them are closed again.
 */
export async function keepOrphans({ client, orphans, start, wanted, useless, sleep }: OrphanOptions): Promise<void> {
  const waiting = async () => (await client.info('node')).waiting
  /** @returns whether nothing waits any longer, at the latest after so many looks. */
  const settled = async () => {
    for (let i = 0; i < limits.ORPHAN_PATIENCE_LOOKS; i++) {
      if ((await waiting()) === 0) return true
      await sleep(limits.ORPHAN_LOOK_MS)
    }
    return false
  }
  if (await settled()) return
  const kept = new Map<number, OrphanKernel>()
  try {
    for (const slot of (await orphans()).slice(0, limits.MAX_ORPHAN_TRIES)) {
      const before = await waiting()
      const kernel = start(slot)
      // Its slot may be taken meanwhile, or its storage broken.
      const runs = kernel.booted.then(
        () => true,
        () => false,
      )
      const late = sleep(limits.ORPHAN_BOOT_MS).then(() => false)
      const helps = (await Promise.race([runs, late])) && ((await settled()) || (await waiting()) < before)
      if (helps) kept.set(slot, kernel)
      else {
        useless(slot)
        await kernel.close()
      }
      if (kept.size === limits.MAX_ORPHANS || (await waiting()) === 0) break
    }
    // What they keep is copied to those who stay.
    for (let i = 0; i < limits.ORPHAN_STAY_LOOKS && kept.size > 0; i++) {
      await sleep(limits.ORPHAN_LOOK_MS)
      for (const [slot, kernel] of kept) {
        if (!(await wanted(slot))) continue
        kept.delete(slot)
        await kernel.close()
      }
    }
  } finally {
    for (const kernel of kept.values()) {
      await kernel.close()
      // Who has taken its leave may be waited for by journals before another takes its place.
      await sleep(limits.ORPHAN_LEAVE_MS)
      await settled().catch(() => false) // this page's own kernel may have ended: the others have to, all the same
    }
  }
}
