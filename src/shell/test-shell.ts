// A shell on a fake kernel, for tests. Not part of any bundle.
import { FakeKernel } from './fake-kernel.ts'
import type { ShellHost } from './host.ts'
import { createShell, type Shell, type ShellOptions } from './shell.ts'

/** A host whose clock stands still and whose sleeps end when the test says so, or with their signal. */
export class FakeHost implements ShellHost {
  nowMs = 0
  readonly #sleepers: { untilMs: number; wake(): void }[] = []

  now(): number {
    return this.nowMs
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
      this.#sleepers.push({ untilMs: this.nowMs + ms, wake: resolve })
    })
  }

  advance(ms: number): void {
    this.nowMs += ms
    for (const sleeper of this.#sleepers) if (sleeper.untilMs <= this.nowMs) sleeper.wake()
  }
}

export interface TestShell {
  shell: Shell
  kernel: FakeKernel
  host: FakeHost
  /** stdout of a command that must succeed without a word on stderr. */
  out(line: string): Promise<string>
}

export function testShell(
  files: Readonly<Record<string, string | Uint8Array>> = {},
  options: Partial<ShellOptions> = {},
): TestShell {
  const kernel = new FakeKernel(files)
  const host = new FakeHost()
  const shell = createShell({ client: kernel.client, host, ...options })
  const out = async (line: string) => {
    const { stdout, stderr, code } = await shell.execute(line)
    if (code !== 0 || stderr !== '') throw new Error(`${line} ended with ${code}: ${stderr}`)
    return stdout
  }
  return { shell, kernel, host, out }
}
