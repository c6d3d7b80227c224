// Port: time. The kernel has no other clock and no other timer. Real: adapters/system; virtual: adapters/memory.

export interface Timer {
  /** Idempotent; a cancelled timer never fires. */
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary origin. Never goes back, may jump ahead (a frozen tab). */
  nowMs(): number
  /** Unix time in milliseconds: for records that people read and for expiry, never for durations. */
  wallMs(): number
  /** Runs `callback` once, not before `delayMs` have passed. Reason: what the timer is for, shown in traces. */
  setTimer(callback: () => void, delayMs: number, reason: string): Timer
}
