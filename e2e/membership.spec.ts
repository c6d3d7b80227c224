// Who is here and who is gone, as people see it: closed, killed, reloaded tabs; a relay that dies and returns.
import { chromium } from 'playwright/test'
import { chromiumPath, expect, FLAGS, Tab, test } from './fixtures.ts'

/** What a tab writes into its log about one that took its leave, itself or through its page. */
const GOODBYE = /left: (its tab closed|its page said goodbye)$/

async function reasonsOf(seenBy: Tab, gone: string): Promise<string[]> {
  const log = await seenBy.json<{ area: string; message: string }[]>('dmesg --json')
  const lines = log.filter(({ area }) => area === 'membership').map(({ message }) => message)
  return lines.filter((line) => line.includes(gone.slice(-8)) && line.includes(' left'))
}

test('tabs find each other and connect directly; a closed tab is gone from every list within 1 s', async ({
  cluster,
}) => {
  const [a, b, c] = await cluster(3)
  if (!a || !b || !c) throw new Error('three tabs')
  const gone = await c.id()
  await c.page.close({ runBeforeUnload: true }) // as a person closes it: the page is told
  await Promise.all([a.untilPeers(1), b.untilPeers(1)])
  expect((await a.peers()).map((peer) => peer.id)).not.toContain(gone)
  // How long it takes is measured by `bench join`. Here: that it took its leave, and nobody had to find out.
  for (const each of [a, b]) expect(await reasonsOf(each, gone)).toEqual([expect.stringMatching(GOODBYE)])
})

test('a tab whose worker is ended before it can take its leave is not waited for', async ({ tab, cluster }) => {
  const [a] = (await cluster(1)) as [Tab]
  const victim = await tab({ ignoreErrors: true })
  await a.untilPeers(1)
  const gone = await victim.id()
  await victim.page.evaluate(() => {
    Worker.prototype.postMessage = () => undefined // its kernel is told nothing: the page's own word must do
  })
  await victim.page.close({ runBeforeUnload: true })
  await a.untilPeers(0)
  expect(await reasonsOf(a, gone)).toEqual([expect.stringMatching(GOODBYE)])
})

test('a killed tab is gone from every list because the relay saw its connection close', async ({ tab, cluster }) => {
  const [a, b] = (await cluster(2)) as [Tab, Tab]
  const victim = await tab({ ignoreErrors: true })
  await Promise.all([a.untilPeers(2), b.untilPeers(2)])
  const gone = await victim.id()
  await victim.crash()
  await Promise.all([a.untilPeers(1), b.untilPeers(1)])
  // Not because ICE gave it up, which takes five times as long.
  const closed = expect.stringMatching(/left: (silent since its tab closed|its tab closed, as the relay saw)$/)
  for (const each of [a, b]) expect(await reasonsOf(each, gone)).toEqual([closed])
})

test('a reload keeps identity, files and history; a second tab is another node of the same device', async ({ tab }) => {
  const a = await tab()
  const before = await a.page.evaluate(() => globalThis.os.node)
  await a.out('echo kept > /kept.txt')
  await a.page.reload()
  await a.ready()
  const after = await a.page.evaluate(() => globalThis.os.node)
  expect(after.id).toBe(before.id)
  expect(after.slot).toBe(before.slot)
  expect(await a.out('cat /kept.txt')).toBe('kept\n')
  const b = await tab({ beside: a })
  const other = await b.page.evaluate(() => globalThis.os.node)
  expect(other.id).not.toBe(before.id)
  expect(other.device).toBe(before.device)
  await a.untilPeers(1)
  expect(await b.out('cat /kept.txt')).toBe('kept\n')
})

test('who goes to another page and back has a node that lives', async ({ relay, tab }) => {
  const a = await tab()
  const path = chromiumPath()
  // Playwright switches off what keeps a page for whoever goes back to it.
  const kept = { ignoreDefaultArgs: ['--disable-back-forward-cache'], args: [...FLAGS, '--headless=new'] }
  const browser = await chromium.launch({ ...(path ? { executablePath: path } : {}), ...kept })
  try {
    const b = await new Tab(await browser.newPage()).open(relay.url)
    await b.page.goto(`${relay.url}/relay.json`)
    await a.untilPeers(0)
    await b.page.evaluate(() => history.back())
    await a.untilPeers(1)
    await b.ready()
    await b.out('echo back > /back.txt')
    expect(await a.out('cat /back.txt')).toBe('back\n')
  } finally {
    await browser.close()
  }
})

test('when the relay dies the mesh goes on; when it returns, new tabs join', async ({ relay, tab, cluster }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  for (const each of [a, b]) await each.untilLoaded()
  await relay.stop('SIGKILL')
  await expect.poll(async () => (await a.sh('uname -a')).code).toBe(0)
  await a.out('echo still here > /still.txt')
  expect(await b.out('cat /still.txt')).toBe('still here\n')
  expect(await a.out('run /bin/examples/primes.js 100000')).toContain('9592')
  await a.untilPeers(1)
  await relay.start()
  const c = await tab()
  await c.untilPeers(2)
  await a.untilPeers(2)
  // The browser itself reports each refused connection while the relay is down; nothing else may have failed.
  for (const each of [a, b]) each.forgive(/net::ERR_CONNECTION_(REFUSED|RESET)/)
})

test('a hidden tab is not declared dead', async ({ cluster, chrome }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  void chrome
  await b.page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true })
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  })
  await expect.poll(async () => (await a.peers())[0]?.state).toBe('hidden')
})

test('a page thread blocked for 5 s is not felt: calls go on and membership does not blink', async ({ cluster }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  await a.out('echo x > /x.txt') // the head of / is at one of the two
  const states = await statesDuring(a, async () => {
    await b.page.evaluate(() => {
      const until = performance.now() + 5_000
      while (performance.now() < until);
    })
    expect(await b.out('cat /x.txt')).toBe('x\n')
  })
  expect(states).toEqual(['alive'])
})

/** Everything that `watcher` says of its only peer while `action` runs. */
async function statesDuring(watcher: Tab, action: () => Promise<unknown>): Promise<string[]> {
  const seen = new Set<string>()
  let over = false
  const done = action().finally(() => {
    over = true
  })
  while (!over) {
    const [peer] = await watcher.peers()
    seen.add(peer?.state ?? 'gone')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await done
  return [...seen]
}

test('a tab whose kernel is busy is shown as stalled, never as gone, and comes back', async ({ cluster }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  const states = await statesDuring(a, () =>
    b.kernelWorker().evaluate(() => {
      // Longer than the most patient observer waits: on a loaded machine all are.
      const until = performance.now() + 14_000
      while (performance.now() < until);
    }),
  )
  expect(states).toContain('stalled')
  expect(states).not.toContain('gone')
  await expect.poll(async () => (await a.peers())[0]?.state).toBe('alive')
})

test('a frozen tab says so before, is never declared dead, and goes on when it thaws', async ({ cluster }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  // Headless Chromium never hides a page, so it cannot be told to freeze one: the page's event and the silence of its
  // worker are made here as a freeze makes them.
  const states = await statesDuring(a, async () => {
    await b.page.evaluate(() => document.dispatchEvent(new Event('freeze')))
    await expect.poll(async () => (await a.peers())[0]?.state).toBe('frozen')
    await b.kernelWorker().evaluate(() => {
      const until = performance.now() + 12_000
      while (performance.now() < until);
    })
    await b.page.evaluate(() => document.dispatchEvent(new Event('resume')))
  })
  expect(states).not.toContain('gone')
  await expect.poll(async () => (await a.peers())[0]?.state).toMatch(/alive|hidden/)
  await a.out('echo after the thaw > /thaw.txt')
  expect(await b.out('cat /thaw.txt')).toBe('after the thaw\n')
})

test('a relay that died for good leaves a killed tab to be noticed by the transport', async ({
  relay,
  tab,
  cluster,
}) => {
  const [a] = await cluster(1)
  const victim = await tab({ ignoreErrors: true })
  if (!a) throw new Error('a tab')
  await a.untilPeers(1)
  await a.untilLoaded()
  await relay.stop('SIGKILL')
  await victim.crash()
  const tookMs = await a.untilPeers(0, 30_000)
  test.info().annotations.push({ type: 'noticed after', description: `${Math.round(tookMs)} ms` })
  a.forgive(/net::ERR_CONNECTION_(REFUSED|RESET)/)
})

test('a tab whose relay dies in the middle of its boot goes on when the relay is back', async ({
  chrome,
  relay,
  tab,
}) => {
  const context = await chrome.newContext()
  const page = await context.newPage()
  // Everything that is loaded after the prompt fails at first, as when the relay dies at that moment.
  const refused: string[] = []
  await page.route(/assets\/(window-parts|engine).*\.js/, (route) => {
    refused.push(route.request().url())
    return route.abort('connectionrefused')
  })
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  await page.goto(relay.url)
  await page.waitForFunction(() => performance.getEntriesByName('prompt').length > 0)
  expect(await page.evaluate(() => globalThis.os.sh('echo too early'))).toMatchObject({ code: 126 })
  // Of the page, and of the network in the kernel's worker.
  for (const part of ['window-parts', 'engine']) await expect.poll(() => refused.join()).toContain(`assets/${part}`)
  await page.unroute(/assets\/(window-parts|engine).*\.js/)
  await expect
    .poll(() => page.evaluate(() => globalThis.os.sh('echo works')), { timeout: 30_000 })
    .toMatchObject({ code: 0 })
  const other = await tab()
  await other.untilPeers(1, 40_000)
  expect(errors).toEqual([])
  await context.close()
})

test('a tab whose kernel could not be loaded has one when the relay is back', async ({ chrome, relay, tab }) => {
  const context = await chrome.newContext()
  const page = await context.newPage()
  let refused = 0
  await context.route(/assets\/kernel\.worker.*\.js/, (route) => {
    refused++
    return route.abort('connectionrefused')
  })
  await page.goto(relay.url)
  await expect.poll(() => refused).toBeGreaterThan(1)
  await expect(page.locator('#status')).toHaveText(/starting/)
  await context.unroute(/assets\/kernel\.worker.*\.js/)
  await page.evaluate(() => globalThis.os.ready)
  const other = await tab()
  await other.untilPeers(1, 40_000)
  expect(await page.evaluate(() => globalThis.os.sh('echo works'))).toMatchObject({ stdout: 'works\n' })
  await context.close()
})
