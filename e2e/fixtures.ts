// What the journeys share: a relay, tabs (each in a browser profile of its own unless told), and the rule that no
// tab may print an error to its console. It drives the product from outside and imports nothing of it.
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type Browser, type BrowserContext, test as base, chromium, type Page } from 'playwright/test'
import { Relay } from './relay.ts'

export { expect } from 'playwright/test'

export interface ShellResult {
  stdout: string
  stderr: string
  code: number
}

export interface PeerRow {
  id: string
  device: string
  state: string
  direct: boolean
  rttMs: number | null
}

export const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Undefined where Playwright brings its own. */
export function chromiumPath(): string | undefined {
  return process.env.CHROMIUM_PATH ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
}

/** One tab of the product. */
export class Tab {
  readonly page: Page
  readonly context: BrowserContext
  readonly errors: string[] = []

  constructor(page: Page) {
    this.page = page
    this.context = page.context()
    page.on('pageerror', (error) => this.errors.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error') this.errors.push(message.text())
    })
  }

  async open(url: string): Promise<this> {
    await this.page.goto(url)
    return this.ready()
  }

  async ready(): Promise<this> {
    await this.page.waitForFunction(() => 'os' in globalThis)
    await this.page.evaluate(() => globalThis.os.ready)
    return this
  }

  sh(line: string): Promise<ShellResult> {
    return this.page.evaluate((text) => globalThis.os.sh(text), line)
  }

  /** stdout of a command that must succeed. */
  async out(line: string): Promise<string> {
    const { stdout, stderr, code } = await this.sh(line)
    if (code !== 0) throw new Error(`${line}: exit code ${code}: ${stderr}`)
    return stdout
  }

  async json<T>(line: string): Promise<T> {
    return JSON.parse(await this.out(line)) as T
  }

  peers(): Promise<PeerRow[]> {
    return this.page.evaluate(() => globalThis.os.peers())
  }

  id(): Promise<string> {
    return this.page.evaluate(() => globalThis.os.node.id)
  }

  /** Resolves when this tab lists exactly `count` others, all directly connected. @returns ms it took. */
  async untilPeers(count: number, timeout = 60_000): Promise<number> {
    const began = performance.now()
    const seen = await this.page.evaluate(
      async ([wanted, limitMs]) => {
        const untilMs = performance.now() + limitMs
        for (;;) {
          const peers = await globalThis.os.peers()
          if (peers.length === wanted && peers.every((peer) => peer.direct)) return undefined
          if (performance.now() > untilMs) return JSON.stringify(peers)
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      },
      [count, timeout] as const,
    )
    if (seen !== undefined) throw new Error(`not ${count} peers within ${timeout} ms, but ${seen}`)
    return performance.now() - began
  }

  kernelWorker(): ReturnType<Page['workers']>[number] {
    const worker = this.page.workers().find((each) => each.url().includes('kernel'))
    if (!worker) throw new Error('this tab has no kernel worker')
    return worker
  }

  /** Resolves when nothing is left to load from the relay. */
  async untilLoaded(): Promise<void> {
    await this.page.waitForFunction(() => performance.getEntriesByName('loaded').length > 0)
  }

  /** What its kernel has logged lately, and what it sees, for whoever looks into a failure. */
  async story(): Promise<string> {
    const gone = new Promise<string>((resolve) => setTimeout(() => resolve('it does not answer'), 5_000))
    const told = this.out('node; peers; ls -l /; ps; dmesg').catch((error: unknown) => `it is gone: ${error}`)
    return Promise.race([told, gone])
  }

  /** Drops errors that a journey provokes on purpose. */
  forgive(pattern: RegExp): void {
    const others = this.errors.filter((error) => !pattern.test(error))
    this.errors.splice(0, this.errors.length, ...others)
  }

  /** Drops files and folders of this machine onto the page, with the events that a person's drag makes. */
  async drop(paths: readonly string[]): Promise<void> {
    const session = await this.context.newCDPSession(this.page)
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      const data = { items: [], files: [...paths], dragOperationsMask: 1 }
      await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data })
    }
    await session.detach()
  }

  /** Ends the tab's renderer at once, as a crash or the task manager does. */
  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent('crash')
    const session = await this.context.newCDPSession(this.page)
    session.send('Page.crash').catch(() => undefined) // there is nobody left to answer
    await crashed
  }
}

declare global {
  // The public surface that the page offers (design §9), as far as the journeys use it.
  var os: {
    ready: Promise<unknown>
    node: { id: string; device: string; slot: number; relay: string }
    sh(line: string): Promise<ShellResult>
    peers(): Promise<PeerRow[]>
    run(program: string, args: string[]): Promise<{ kid: string }>
    fs: {
      readFile(path: string): Promise<Uint8Array>
      readFile(path: string, encoding: 'utf8'): Promise<string>
      writeFile(path: string, data: unknown): Promise<{ ack?: { level: string; devices: number } }>
    }
  }
}

interface Fixtures {
  relay: Relay
  /** Opens a tab: in a new profile, or in the profile of another tab. */
  tab: (options?: { beside?: Tab; url?: string; ignoreErrors?: boolean }) => Promise<Tab>
  /** That many tabs, each on a device of its own, fully connected. */
  cluster: (count: number) => Promise<Tab[]>
}

export const test = base.extend<Fixtures, { chrome: Browser }>({
  chrome: [
    // biome-ignore lint/correctness/noEmptyPattern: playwright reads the pattern
    async ({}, use) => {
      const path = chromiumPath()
      const browser = await chromium.launch({ ...(path ? { executablePath: path } : {}), args: FLAGS })
      await use(browser)
      await browser.close()
    },
    { scope: 'worker' },
  ],
  // biome-ignore lint/correctness/noEmptyPattern: playwright reads the pattern
  relay: async ({}, use) => {
    const relay = await new Relay().start()
    await use(relay)
    await relay.dispose()
  },
  tab: async ({ chrome, relay }, use, info) => {
    const tabs: { tab: Tab; ignoreErrors: boolean }[] = []
    await use(async ({ beside, url, ignoreErrors = false } = {}) => {
      const options = { viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true }
      const context = beside?.context ?? (await chrome.newContext(options))
      const tab = new Tab(await context.newPage())
      tabs.push({ tab, ignoreErrors })
      return tab.open(url ?? relay.url)
    })
    if (info.status !== info.expectedStatus) {
      for (const [i, { tab }] of tabs.entries()) await writeFile(info.outputPath(`tab-${i}.log`), await tab.story())
    }
    const errors = tabs.flatMap(({ tab, ignoreErrors }) => (ignoreErrors ? [] : tab.errors))
    for (const { tab } of tabs) await tab.context.close()
    if (errors.length > 0) throw new Error(`tabs printed errors:\n${errors.join('\n')}`)
  },
  cluster: async ({ tab }, use) => {
    await use(async (count) => {
      const tabs: Tab[] = []
      for (let i = 0; i < count; i++) tabs.push(await tab())
      for (const each of tabs) await each.untilPeers(count - 1)
      return tabs
    })
  },
})
