// One line on the terminal that is redrawn in place, below the output that scrolls above it. Draws nothing where
// stderr is no terminal.
import { concat, formatBytes, utf8 } from '../base/bytes.ts'
import type { CallOptions } from '../syscalls/client.ts'
import type { Progress } from '../syscalls/types.ts'
import { PROGRESS_INTERVAL_MS } from './limits.ts'
import type { ProgramContext } from './program.ts'
import type { ByteWriter, Sink } from './streams.ts'

const ERASE_LINE = '\r\x1b[K'

/** A terminal, which all programs of a command share: whoever writes, its status line makes room. */
export function terminalWriter(sink: Sink): ByteWriter {
  let shown = false
  let lineStart = true
  return {
    isTerminal: true,
    async write(bytes) {
      if (bytes.byteLength === 0) return
      const all = shown ? concat([utf8(ERASE_LINE), bytes]) : bytes
      shown = false
      lineStart = bytes.at(-1) === 10
      await sink(all)
    },
    async status(line) {
      // Never into the middle of somebody's line.
      if (line === undefined ? !shown : !lineStart) return
      shown = line !== undefined
      await sink(utf8(ERASE_LINE + (line ?? '')))
    },
    close: () => Promise.resolve(),
  }
}

export class ProgressLine {
  readonly #context: ProgramContext
  #drawn = false
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(context: ProgramContext) {
    this.#context = context
  }

  get visible(): boolean {
    return this.#context.stderr.status !== undefined
  }

  /** Shows `text`, unless the last drawing was a moment ago. */
  async show(text: string): Promise<void> {
    const { host, stderr } = this.#context
    const now = host.now()
    if (now - this.#lastMs < PROGRESS_INTERVAL_MS) return
    this.#lastMs = now
    this.#drawn = true
    await stderr.status?.(text.slice(0, (host.terminalSize?.().columns ?? 80) - 1))
  }

  async clear(): Promise<void> {
    if (!this.#drawn) return
    this.#drawn = false
    await this.#context.stderr.status?.(undefined)
  }
}

/** Makes a call that takes long, and shows how far it is. @param what it does, for people. */
export async function showing<T>(
  context: ProgramContext,
  what: string,
  call: (options: Pick<CallOptions, 'signal' | 'onProgress'>) => Promise<T>,
): Promise<T> {
  const line = new ProgressLine(context)
  if (!line.visible) return call(context.cancel)
  const ended = new AbortController()
  let latest: Progress | undefined
  let late = false
  const draw = () => {
    if (!late || !latest) return
    line.show(callText(what, latest)).catch(() => undefined) // nobody looks any more
  }
  const onLate = () => {
    late = true
    draw()
  }
  // What is done at once is not worth a line.
  context.host.sleep(PROGRESS_INTERVAL_MS, ended.signal).then(onLate, () => undefined) // it ended sooner
  const onProgress = (progress: Progress) => {
    latest = progress
    draw()
  }
  try {
    return await call({ ...context.cancel, onProgress })
  } finally {
    ended.abort()
    await line.clear().catch(() => undefined) // a terminal that is gone does not take the answer with it
  }
}

function callText(what: string, { done, total, unit }: Progress): string {
  const count = (n: number) => (unit === 'bytes' ? formatBytes(n) : String(n))
  const far = total === undefined ? count(done) : `${bar(done / total, 24)} ${count(done)} of ${count(total)}`
  return `${what}  ${far}${unit === 'bytes' ? '' : ` ${unit}`}`
}

/** `[#####-----]`, `fraction` from 0 to 1. */
export function bar(fraction: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`
}
