// Starts the product as a user would: the relay's own program on a free port, with a data folder of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../relay/main.ts')

export class Relay {
  readonly data = mkdtempSync(join(tmpdir(), 'brittlestar-e2e-'))
  port = 0
  #child: ChildProcess | undefined
  stderr = ''
  readonly #dist: string | undefined

  /** @param dist the built page that it serves, if not the product's. */
  constructor(dist?: string) {
    this.#dist = dist
  }

  get url(): string {
    return `http://localhost:${this.port}`
  }

  /** Starts it, or starts it again on the same port with the same data. */
  async start(flags: string[] = []): Promise<this> {
    const args = [MAIN, '--port', String(this.port), '--data', this.data, '--log-level', 'info', ...flags]
    const env = { ...process.env, ...(this.#dist === undefined ? {} : { BRITTLESTAR_DIST: this.#dist }) }
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
    this.#child = child
    this.port = await new Promise<number>((resolve, reject) => {
      let out = ''
      child.stdout.on('data', (chunk) => {
        out += chunk
        const port = /http:\/\/localhost:(\d+)/.exec(out)?.[1]
        if (port) resolve(Number(port))
      })
      child.stderr.on('data', (chunk) => {
        this.stderr += chunk
      })
      child.on('exit', (code) => reject(new Error(`the relay ended with ${code}: ${this.stderr}`)))
    })
    return this
  }

  /** SIGTERM, or SIGKILL for a relay that dies. @returns its exit code (null when killed). */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null) return child?.exitCode ?? null
    return new Promise((resolve) => {
      child.once('exit', (code) => resolve(code))
      child.kill(signal)
    })
  }

  async dispose(): Promise<void> {
    await this.stop()
    rmSync(this.data, { recursive: true, force: true })
  }
}
