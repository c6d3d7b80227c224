// Which of a browser profile's slots this tab holds: identity and storage belong to a slot, not to a tab, so that a
// reload finds both again and two tabs never share them. A slot is held by a Web Lock, which the browser frees when
// the tab's worker ends, however it ends.
import { OsError } from '../../base/errors.ts'

export interface SlotClaim {
  slot: number
  /** Gives it back before the worker ends. Idempotent. */
  release(): void
}

export interface ClaimOptions {
  /** Slot that this tab held before, from sessionStorage; null for a new tab. */
  preferred: number | null
  /** True after a reload: the old worker may hold the slot a moment longer. A duplicated tab is no reload. */
  reloaded: boolean
  /** No other slot than the preferred one will do. */
  only?: boolean
  waitMs?: number
}

/** A reload's old worker ends within some ms, on a busy machine within a second or two. */
const WAIT_MS = 5000
/** More tabs than any browser survives; ends the search when the lock manager misbehaves. */
const MAX_SLOTS = 1024

/** Slots that have a database. Empty where the browser does not list databases. */
export async function storedSlots(): Promise<number[]> {
  if (!indexedDB.databases) return []
  const databases = await indexedDB.databases()
  const found = databases.map(({ name }) => Number(/^brittlestar-slot-(\d+)$/.exec(name ?? '')?.[1] ?? Number.NaN))
  return found.filter(isSlot).sort((a, b) => a - b)
}

/** The same of those that have no tab. */
export async function orphanSlots(): Promise<number[]> {
  const [stored, { held = [] }] = await Promise.all([storedSlots(), navigator.locks.query()])
  const taken = new Set(held.map(({ name }) => name))
  return stored.filter((slot) => !taken.has(slotLockName(slot)))
}

/** Whether a tab waits for that slot. */
export async function isSlotWanted(slot: number): Promise<boolean> {
  const { pending = [] } = await navigator.locks.query()
  return pending.some(({ name }) => name === slotLockName(slot))
}

export function slotLockName(slot: number): string {
  return `brittlestar-slot-${slot}`
}

/** @throws {OsError} EBUSY when no slot is free, ENOTSUP without Web Locks. */
export async function claimSlot({
  preferred,
  reloaded,
  only = false,
  waitMs = WAIT_MS,
}: ClaimOptions): Promise<SlotClaim> {
  if (!navigator.locks) throw new OsError('ENOTSUP', 'this browser has no Web Locks here')
  if (preferred !== null && isSlot(preferred)) {
    const claim = await hold(preferred, reloaded ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true })
    if (claim) return claim
    if (only) throw new OsError('EBUSY', `slot ${preferred} is taken`)
  }
  for (let slot = 0; slot < MAX_SLOTS; slot++) {
    const claim = await hold(slot, { ifAvailable: true })
    if (claim) return claim
  }
  throw new OsError('EBUSY', `all ${MAX_SLOTS} slots of this browser are taken`)
}

function isSlot(slot: number): boolean {
  return Number.isInteger(slot) && slot >= 0 && slot < MAX_SLOTS
}

/** The slot, or undefined when somebody else holds it (for longer than `signal` allows). */
function hold(slot: number, options: LockOptions): Promise<SlotClaim | undefined> {
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(slotLockName(slot), options, (lock) => {
      if (!lock) return resolve(undefined)
      return new Promise<void>((release) => resolve({ slot, release }))
    })
    held.catch((error: unknown) => {
      if (options.signal?.aborted) resolve(undefined)
      else reject(error)
    })
  })
}
