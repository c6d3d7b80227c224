// Port: places where untrusted code runs. Real: adapters/sandbox (blob workers in opaque-origin frames);
// simulated: adapters/memory. It starts and ends them and carries messages; it does not read them:
// kernel/process validates every message against syscalls/task-protocol.ts.

export interface SandboxWorker {
  /** Structured-clone semantics; `transfer` moves buffers. A no-op after `terminate`. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void
  onMessage(listener: (message: unknown) => void): void
  /** The worker died by itself (crash, out of memory, failed to start). Not called after `terminate`. */
  onExit(listener: (reason: string) => void): void
  /** Ends it at once, whatever it is doing, and drops all queued messages. Idempotent. */
  terminate(): void
}

export interface Sandbox {
  /** How many workers can usefully compute at once on this node (its logical processors). */
  readonly slots: number
  /**
   * Starts a worker that runs the task runtime and nothing else yet.
   * @param domain workers of different domains share no frame, origin or storage (one domain per process).
   * @throws {OsError} ENOTSUP, ETIMEDOUT, ECANCELED.
   */
  spawn(options: { domain: string; signal: AbortSignal }): Promise<SandboxWorker>
  /** Ends every worker of the domain and frees its frame. Idempotent. */
  dropDomain(domain: string): void
  close(): void
}
