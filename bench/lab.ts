// Where measurements happen: relays, browsers and tabs of the product, and pages of our own (pages.ts) for what stands
// beside it. It drives the product from outside, as a person or a script would, and imports nothing of it.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type CDPSession, chromium, type Page, type Worker } from 'playwright'
import { Relay } from '../e2e/relay.ts'
import { Pages } from './pages.ts'

export interface PeerRow {
  id: string
  direct: boolean
  rttMs: number | null
}

interface OpenFile {
  write(bytes: Uint8Array, options: { position: number }): Promise<unknown>
  close(): Promise<void>
}

declare global {
  /** In the kernel's worker of a build with switches (vite.config.ts). */
  var benchSources: number | undefined
  var benchKeep: 'always' | undefined
  var benchSend: ((bytes: number) => Promise<void>) | undefined
  /** The public surface of the product's page, as far as measurements use it. */
  var os: {
    ready: Promise<unknown>
    node: { id: string; slots: number; relay: string; treeHome: string | null }
    sh(line: string): Promise<{ stdout: string; stderr: string; code: number }>
    peers(): Promise<PeerRow[]>
    fs: {
      read(path: string): AsyncIterable<Uint8Array>
      mkdir(path: string): Promise<unknown>
      readFile(path: string): Promise<Uint8Array>
      readFile(path: string, encoding: 'utf8'): Promise<string>
      stat(path: string): Promise<{ size: number }>
      copyFile(from: string, to: string): Promise<unknown>
      open(path: string, flags: string): Promise<OpenFile>
      writeFile(
        path: string,
        data: string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
        options?: { ack: 'majority' | 'all' },
      ): Promise<unknown>
    }
  }
}

const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const JOIN_TIMEOUT_MS = 60_000

/** One tab of the product. */
export class Tab {
  readonly page: Page
  readonly context: BrowserContext

  constructor(page: Page) {
    this.page = page
    this.context = page.context()
  }

  async open(url: string): Promise<this> {
    await this.page.goto(url, { waitUntil: 'commit' })
    await this.page.waitForFunction(() => 'os' in globalThis, undefined, { polling: 10 })
    await this.page.evaluate(() => globalThis.os.ready)
    return this
  }

  id(): Promise<string> {
    return this.page.evaluate(() => globalThis.os.node.id)
  }

  /** stdout of a command that must succeed. */
  async out(line: string): Promise<string> {
    const { stdout, stderr, code } = await this.page.evaluate((text) => globalThis.os.sh(text), line)
    if (code !== 0) throw new Error(`${line}: exit code ${code}: ${stderr}`)
    return stdout
  }

  async json<T>(line: string): Promise<T> {
    return JSON.parse(await this.out(line)) as T
  }

  /** Resolves when this tab lists `count` others, all directly connected. */
  async untilPeers(count: number): Promise<void> {
    const seen = await this.page.evaluate(
      async ([wanted, limitMs]) => {
        const untilMs = performance.now() + limitMs
        for (;;) {
          const peers = await globalThis.os.peers()
          if (peers.length === wanted && peers.every((peer) => peer.direct)) return undefined
          if (performance.now() > untilMs) return JSON.stringify(peers)
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      },
      [count, JOIN_TIMEOUT_MS] as const,
    )
    if (seen !== undefined) throw new Error(`not ${count} direct peers within ${JOIN_TIMEOUT_MS} ms, but ${seen}`)
  }

  async untilRelay(): Promise<void> {
    await this.page.waitForFunction(() => globalThis.os.node.relay === 'connected', undefined, { polling: 20 })
  }

  /** In a build with switches: of how many other nodes it reads blocks, the same each time. */
  async limitSources(count: number): Promise<void> {
    await this.#kernel().evaluate((most) => {
      globalThis.benchSources = most
    }, count)
  }

  /** In a build with switches: it keeps a copy of all that it reads. */
  async keepCopies(): Promise<void> {
    await this.#kernel().evaluate(() => {
      globalThis.benchKeep = 'always'
    })
  }

  /** In a build with switches: how many bytes of blocks it sends in each ms, to all others together; 0: as it can. */
  async limitSending(bytesPerMs: number): Promise<void> {
    await this.#kernel().evaluate((rate) => {
      // What a timer is late is made up for; so much may go at once.
      const burstMs = 50
      let freeMs = 0
      globalThis.benchSend = async (bytes) => {
        if (rate === 0) return
        freeMs = Math.max(freeMs, performance.now() - burstMs) + bytes / rate
        const waitMs = freeMs - performance.now()
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
      }
    }, bytesPerMs)
  }

  #kernel(): Worker {
    const worker = this.page.workers().find((each) => each.url().includes('kernel'))
    if (!worker) throw new Error('this tab has no kernel worker')
    return worker
  }

  /** Ends the tab's renderer at once. */
  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent('crash')
    const session = await this.context.newCDPSession(this.page)
    session.send('Page.crash').catch(() => undefined) // there is nobody left to answer
    await crashed
  }
}

/** One process of the browser. */
export interface ProcessInfo {
  id: number
  type: string
  /** Seconds since it began. */
  cpuTime: number
}

const VIEWPORT = { width: 1280, height: 800 }

/** A browser of its own with a relay of its own. */
export class Site {
  readonly browser: Browser
  readonly relay: Relay
  readonly pages: Pages
  readonly #newProfile: () => Promise<BrowserContext>
  #cdp: CDPSession | undefined

  /** @param newProfile default: another private window of `browser`. */
  constructor(browser: Browser, relay: Relay, pages: Pages, newProfile?: () => Promise<BrowserContext>) {
    this.browser = browser
    this.relay = relay
    this.pages = pages
    this.#newProfile = newProfile ?? (() => browser.newContext({ viewport: VIEWPORT }))
  }

  /** An empty page of a new profile. */
  async page(): Promise<Page> {
    const context = await this.#newProfile()
    return context.newPage()
  }

  /** @param beside another tab of the same browser; undefined: on a device of its own. */
  async tab(beside?: Tab): Promise<Tab> {
    const page = beside ? await beside.context.newPage() : await this.page()
    return new Tab(page).open(this.relay.url)
  }

  /** That many tabs, fully connected. The first one is the home of `/`. @param together in one browser, else each on a device of its own. */
  async cluster(count: number, tabs: Tab[] = [], together = false): Promise<Tab[]> {
    while (tabs.length < count) {
      tabs.push(await this.tab(together ? tabs[0] : undefined))
      for (const each of tabs) await each.untilPeers(tabs.length - 1)
    }
    return tabs
  }

  async processes(): Promise<ProcessInfo[]> {
    this.#cdp ??= await this.browser.newBrowserCDPSession()
    const { processInfo } = (await this.#cdp.send('SystemInfo.getProcessInfo')) as { processInfo: ProcessInfo[] }
    return processInfo
  }

  /** Id of the process that runs a page: the one that becomes busy when the page does. */
  async rendererOf(page: Page): Promise<number> {
    for (let attempt = 0; attempt < 10; attempt++) {
      const before = new Map((await this.processes()).map(({ id, cpuTime }) => [id, cpuTime]))
      await page.evaluate(() => {
        const end = performance.now() + 300
        while (performance.now() < end);
      })
      const used = (await this.processes())
        .filter(({ type }) => type === 'renderer')
        .map(({ id, cpuTime }) => ({ id, seconds: cpuTime - (before.get(id) ?? 0) }))
        .sort((a, b) => b.seconds - a.seconds)
      const [first, second] = used
      if (first && first.seconds > 2 * (second?.seconds ?? 0)) return first.id
    }
    throw new Error('no renderer became busy with its page')
  }
}

export class Lab {
  readonly quick: boolean
  readonly chromiumPath: string

  constructor(options: { quick: boolean; chromiumPath: string }) {
    this.quick = options.quick
    this.chromiumPath = options.chromiumPath
  }

  /** How often, or how much: the number for the record, or a small one that only shows that it works. */
  pick(full: number, quick: number): number {
    return this.quick ? quick : full
  }

  /** The product built so that its journals are written to memory only. @returns its folder. */
  builtWithMemoryJournals(): string {
    return this.#built('memory-journals', { BRITTLESTAR_BENCH_JOURNALS: 'memory' })
  }

  /** The product built so that its kernels can be told whom to ask for blocks (`Tab.limitSources`). @returns its folder. */
  builtWithSwitches(): string {
    return this.#built('switches', { BRITTLESTAR_BENCH_SWITCHES: 'blocks' })
  }

  #built(name: string, more: Record<string, string>): string {
    const folder = join(import.meta.dirname, `../.cache/bench-${name}`)
    const env = { ...process.env, ...more }
    const vite = join(import.meta.dirname, '../node_modules/vite/bin/vite.js')
    execFileSync(process.execPath, [vite, 'build', '--outDir', folder, '--logLevel', 'error'], {
      env,
      stdio: 'inherit',
    })
    return folder
  }

  launchOptions(flags: string[] = []) {
    return { executablePath: this.chromiumPath, args: [...FLAGS, ...flags] }
  }

  /** A browser process with a profile on disk that nobody has used. */
  async freshBrowser<T>(work: (page: Page) => Promise<T>): Promise<T> {
    const context = await this.#newBrowser()
    try {
      const [page = await context.newPage()] = context.pages()
      return await work(page)
    } finally {
      await context.close()
    }
  }

  #newBrowser(): Promise<BrowserContext> {
    return chromium.launchPersistentContext('', { ...this.launchOptions(), viewport: VIEWPORT })
  }

  /**
   * @param dist the built page, if not the product's.
   * @param apart each device is a browser of its own with a profile on disk, as laptops are, instead of a private window.
   */
  async site<T>(
    work: (site: Site) => Promise<T>,
    { dist, apart }: { dist?: string; apart?: boolean } = {},
  ): Promise<T> {
    const relay = await new Relay(dist).start()
    const pages = await new Pages().start()
    const browser = await chromium.launch(this.launchOptions())
    const others: BrowserContext[] = []
    const newProfile = async () => {
      const context = await this.#newBrowser()
      others.push(context)
      return context
    }
    try {
      return await work(new Site(browser, relay, pages, apart ? newProfile : undefined))
    } finally {
      for (const context of others) await context.close()
      await browser.close()
      await pages.stop()
      await relay.dispose()
    }
  }
}
