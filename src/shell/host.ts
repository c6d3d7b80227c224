// What the shell needs from the place it runs in: time, and whatever a screen, a file picker or a browser can do.
// The page implements it (src/app/host.ts); tests and headless callers leave the optional parts out.

export interface HostFile {
  /** Relative to the target; contains `/` when a folder was chosen. */
  readonly path: string
  readonly size: number
  /** The content in pieces of at most TRANSFER_BYTES, read as they are asked for. */
  read(): AsyncIterable<Uint8Array>
}

export interface ShellHost {
  /** Unix time in ms. */
  now(): number
  /** @throws {OsError} ECANCELED when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  terminalSize?(): { columns: number; rows: number }
  /** Lets the user choose files, or a folder with all that is in it; none when they chose none. */
  pickFiles?(signal: AbortSignal, options?: { folder: boolean }): Promise<HostFile[]>
  /** Hands a file to the user, e.g. as a download. Resolves when all of it was taken. */
  download?(name: string, content: AsyncIterable<Uint8Array>): Promise<void>
  clearScreen?(): void
  /** @returns false when the browser refused to open it. */
  openLink?(url: string): boolean
  confirm?(question: string, signal: AbortSignal): Promise<boolean>
}
