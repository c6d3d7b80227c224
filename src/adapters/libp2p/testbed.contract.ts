// Test support in Node: builds the harness page, runs a relay process that serves it, and drives tabs in Chromium.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright'
import { build } from 'vite'
import type { NetworkEvent } from '../../ports/network.ts'
import type { Tab } from './harness.contract.ts'

declare const tab: Tab

const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export async function buildHarness(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'brittlestar-harness-'))
  const root = join(import.meta.dirname, 'harness')
  await build({
    configFile: join(import.meta.dirname, '../../../vite.config.ts'), // with the parts of libp2p that the product replaces
    root,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true },
  })
  return outDir
}

export class Relay {
  readonly #dist: string
  readonly #data = mkdtempSync(join(tmpdir(), 'brittlestar-relay-'))
  #child: ChildProcess | undefined
  url = ''

  constructor(dist: string) {
    this.#dist = dist
  }

  /** The second start uses the same port and the same key. */
  async start(): Promise<void> {
    const port = this.url === '' ? '0' : new URL(this.url).port
    const main = join(import.meta.dirname, '../../../relay/main.ts')
    const child = spawn(process.execPath, [main, '--port', port, '--data', this.#data, '--log-level', 'warn'], {
      env: { ...process.env, BRITTLESTAR_DIST: this.#dist },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    this.url = await new Promise<string>((resolve, reject) => {
      child.on('message', (message) => resolve((message as { url: string }).url))
      child.on('exit', (code) => reject(new Error(`the relay ended with code ${code}`)))
    })
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null) return
    const over = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await over
  }

  async close(): Promise<void> {
    await this.kill()
    rmSync(this.#data, { recursive: true, force: true })
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(new URL('/metrics', this.url))).text()
    const line = text.split('\n').find((each) => each.startsWith(`${name} `))
    return Number(line?.slice(name.length))
  }
}

export class DrivenTab {
  readonly page: Page
  readonly #context: BrowserContext
  /** It lives on after the test. */
  readonly kept: boolean
  /** What a user would see as errors in the console. */
  readonly complaints: string[] = []
  id = ''

  constructor(context: BrowserContext, page: Page, kept: boolean) {
    this.#context = context
    this.kept = kept
    this.page = page
    page.on('pageerror', (error) => this.complaints.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text())
    })
  }

  async init(url: string, privateKey?: number[]): Promise<void> {
    await this.page.goto(url)
    this.id = (await this.page.evaluate((key) => tab.init(key), privateKey)) as string
  }

  run<T = unknown>(command: string, ...args: unknown[]): Promise<T> {
    return this.page.evaluate(([name, list]) => tab.run(name, ...list), [command, args] as const) as Promise<T>
  }

  events(): Promise<(NetworkEvent & { at: number })[]> {
    return this.run('events')
  }

  connections(): Promise<number> {
    return this.page.evaluate(() => tab.connections())
  }

  /** Keeps the page's thread busy; resolves when it is free again. */
  block(ms: number): Promise<void> {
    return this.page.evaluate((time) => tab.block(time), ms)
  }

  async found(other: DrivenTab): Promise<void> {
    const has = async () => (await this.events()).some((event) => event.type === 'found' && event.peer === other.id)
    await until(has, `${this.id} finds ${other.id}`)
  }

  async count(type: NetworkEvent['type'], peer: string): Promise<number> {
    return (await this.events()).filter((event) => event.type === type && 'peer' in event && event.peer === peer).length
  }

  close(): Promise<void> {
    return this.#context.close()
  }
}

/** `forward`: channels are not transferred; `plain`: connections have no side channels. */
export type Mode = '' | 'forward' | 'plain'

export class Testbed {
  readonly browser: Browser
  readonly relay: Relay
  readonly #dist: string
  #tabs: DrivenTab[] = []

  private constructor(browser: Browser, relay: Relay, dist: string) {
    this.browser = browser
    this.relay = relay
    this.#dist = dist
  }

  static async start(): Promise<Testbed> {
    const dist = await buildHarness()
    const relay = new Relay(dist)
    await relay.start()
    const known = process.env['CHROMIUM_PATH'] ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
    const browser = await chromium.launch({ args: flags, ...(known ? { executablePath: known } : {}) })
    return new Testbed(browser, relay, dist)
  }

  async tab(options: { mode?: Mode; privateKey?: number[]; kept?: boolean } = {}): Promise<DrivenTab> {
    const context = await this.browser.newContext()
    const driven = new DrivenTab(context, await context.newPage(), options.kept ?? false)
    this.#tabs.push(driven)
    await driven.init(`${this.relay.url}#${options.mode ?? ''}`, options.privateKey)
    return driven
  }

  /** Two tabs that have found each other and are connected. */
  async pair(options: { mode?: Mode } = {}): Promise<[DrivenTab, DrivenTab]> {
    const pair: [DrivenTab, DrivenTab] = [await this.tab(options), await this.tab(options)]
    await pair[0].found(pair[1])
    await pair[0].run('connect', pair[1].id)
    return pair
  }

  /** Process ids of the browser's renderers. */
  async renderers(): Promise<number[]> {
    const session = await this.browser.newBrowserCDPSession()
    const { processInfo } = await session.send('SystemInfo.getProcessInfo')
    await session.detach()
    return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id)
  }

  /** Closes the tabs; those that are kept only when asked to. @returns what they complained about since the last time. */
  async clear({ kept = false } = {}): Promise<string[]> {
    const tabs = this.#tabs
    this.#tabs = kept ? [] : tabs.filter((each) => each.kept)
    for (const each of tabs) if (kept || !each.kept) await each.close()
    return tabs.flatMap(({ complaints }) => complaints.splice(0))
  }

  async close(): Promise<void> {
    await this.browser.close()
    await this.relay.close()
    rmSync(this.#dist, { recursive: true, force: true })
  }
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`timed out: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
