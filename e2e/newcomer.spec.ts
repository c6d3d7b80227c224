// The first minutes of somebody who has just opened the page, by keyboard and eye; and what the README promises.
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { expect, Tab, test } from './fixtures.ts'

const README = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')

/** What the terminal shows, as text. */
function screen(tab: Tab): Promise<string> {
  return tab.page.evaluate(() => document.querySelector('.xterm-rows')?.textContent?.replaceAll('\u00a0', ' ') ?? '')
}

async function type(tab: Tab, line: string): Promise<void> {
  await tab.page.keyboard.type(line)
  await tab.page.keyboard.press('Enter')
}

test('a newcomer sees three things to try, types them, and finds them in the history after a reload', async ({
  tab,
}) => {
  const a = await tab()
  for (const hint of ['Three things to try', 'help', 'mandelbrot.js', 'invite']) {
    await expect.poll(() => screen(a)).toContain(hint)
  }
  await expect(a.page.getByRole('status')).toContainText('1 node')
  await type(a, 'echo typed by hand')
  await expect.poll(() => screen(a)).toContain('typed by hand')
  // What a font draws below its line, such as underscores, is not clipped.
  const row = a.page.locator('.xterm-rows > div').first()
  await expect(row).toHaveCSS('overflow', 'visible')
  await type(a, 'run /bin/examples/mandelbrot.js 60 20')
  await expect.poll(() => screen(a)).toContain('@@@@@@')
  await a.page.reload()
  await a.ready()
  await expect.poll(() => screen(a)).toContain('Three things to try')
  await a.page.keyboard.press('ArrowUp')
  await expect.poll(() => screen(a)).toContain('mandelbrot.js 60 20')
})

test('somebody with a phone reads with a finger what has gone off the screen', async ({ chrome, relay }) => {
  const context = await chrome.newContext({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
  const phone = await new Tab(await context.newPage()).open(relay.url)
  await expect.poll(() => screen(phone)).toContain('$')
  await phone.page.touchscreen.tap(200, 300)
  await type(phone, 'help')
  await expect.poll(() => screen(phone)).toContain('work as in bash')
  expect(await screen(phone)).not.toContain('COMMAND --help')
  const session = await context.newCDPSession(phone.page)
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', y?: number) =>
    session.send('Input.dispatchTouchEvent', { type, touchPoints: y === undefined ? [] : [{ x: 200, y }] })
  for (let swipe = 0; swipe < 3; swipe++) {
    await touch('touchStart', 200)
    for (let y = 220; y <= 700; y += 20) await touch('touchMove', y)
    await touch('touchEnd')
  }
  await expect.poll(() => screen(phone)).toContain('COMMAND --help')
  await type(phone, 'echo back below')
  await expect.poll(() => screen(phone)).toContain('back below')
  expect(phone.errors).toEqual([])
  await context.close()
})

test('where the system forces its colours, the cursor is seen, and what is for screen readers is not', async ({
  tab,
}) => {
  const a = await tab()
  await a.page.emulateMedia({ forcedColors: 'active' })
  await a.page.getByRole('button', { name: 'Screen reader' }).press('Enter')
  await expect.poll(() => screen(a)).toContain('$')
  const backgroundOf = (selector: string) =>
    a.page.locator(selector).evaluate((element) => getComputedStyle(element).backgroundColor)
  await expect(a.page.locator('.xterm-accessibility-tree')).toHaveCSS('color', 'rgba(0, 0, 0, 0)')
  await a.page.locator('.xterm-helper-textarea').focus()
  expect(await backgroundOf('.xterm-cursor')).not.toBe(await backgroundOf('.xterm-scrollable-element'))
})

test('a screen reader says who comes and goes, and not the whole status after each file', async ({ tab }) => {
  const a = await tab()
  await expect(a.page.locator('#spoken')).toHaveText('1 node, relay connected')
  await a.page.evaluate(() => {
    const said: string[] = []
    Object.assign(globalThis, { said })
    for (const region of document.querySelectorAll('[aria-live=polite], [role=status]:not([aria-live=off])')) {
      new MutationObserver(() => said.push(region.textContent ?? '')).observe(region, {
        childList: true,
        subtree: true,
      })
    }
  })
  const before = await a.page.getByRole('status').textContent()
  await a.page.evaluate(async () => {
    const pieces = Array.from({ length: 64 }, () => crypto.getRandomValues(new Uint8Array(65_536)))
    await globalThis.os.fs.writeFile('/large', pieces)
  })
  await expect(a.page.getByRole('status')).not.toHaveText(before ?? '')
  await tab()
  await expect(a.page.locator('#spoken')).toHaveText('2 nodes, relay connected')
  const said = await a.page.evaluate(() => (globalThis as unknown as { said: string[] }).said)
  expect(said).toEqual(['2 nodes, relay connected'])
})

test('without JavaScript the page says what it needs, and not that it starts', async ({ chrome, relay }) => {
  const context = await chrome.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto(relay.url)
  await expect(page.locator('.trouble')).toBeInViewport() // texts in a noscript are not found by getByText
  await expect(page.getByText('starting…')).toBeHidden()
  await context.close()
})

interface OpenFile {
  write(bytes: Uint8Array, options: { position: number }): Promise<unknown>
  close(): Promise<void>
}

test('who changes a file that somebody else has changed meanwhile is told so in the terminal, and goes on typing', async ({
  cluster,
}) => {
  const [a, b] = (await cluster(2)) as [Tab, Tab]
  await a.out('echo one > /f')
  await a.page.evaluate(async () => {
    const fs = globalThis.os.fs as unknown as { open(path: string, flags: string): Promise<OpenFile> }
    const file = await fs.open('/f', 'r+')
    await file.write(new TextEncoder().encode('A'), { position: 0 })
    Object.assign(globalThis, { openFile: file })
  })
  await b.out('echo two > /f')
  await a.page.keyboard.type('false; echo half')
  await a.page.evaluate(() => (globalThis as unknown as { openFile: OpenFile }).openFile.close())
  await expect.poll(() => screen(a)).toContain('Note: /f was changed by somebody else meanwhile')
  await type(a, ' and half')
  await expect.poll(() => screen(a)).toContain('half and half')
  expect(await b.out('cat /f /f.conflict-*')).toBe('two\nAne\n')
})

test('a name has its directory on every device, and its own device remembers it', async ({ cluster }) => {
  const [a, b] = (await cluster(2)) as [Tab, Tab]
  await type(a, 'login ann')
  await expect.poll(() => screen(a)).toContain('~ $')
  await type(a, 'echo mine > note; echo I am $USER')
  await expect.poll(() => screen(a)).toContain('I am ann')
  await b.out('login ann')
  expect(await b.out('cat ~/note')).toBe('mine\n')
  await a.page.reload()
  await a.ready()
  await type(a, 'cd; cat note')
  await expect.poll(() => screen(a)).toContain('mine')
  expect(await a.out('whoami; echo ~')).toBe('ann\n/home/ann\n')
})

test('Ctrl-C ends the foreground process and gives the prompt back', async ({ tab }) => {
  const a = await tab()
  await a.out(`echo 'export const start = () => { for (;;) {} }' > /loop.js`)
  await type(a, 'run /loop.js')
  await expect
    .poll(async () => (await a.json<{ state: string }[]>('ps --json')).map((row) => row.state))
    .toEqual(['running'])
  await a.page.keyboard.press('Control+c')
  await expect
    .poll(async () => (await a.json<{ state: string }[]>('ps --json')).map((row) => row.state))
    .toEqual(['killed'])
  await type(a, 'echo back at the prompt')
  await expect.poll(() => screen(a)).toContain('back at the prompt')
})

test('every command of the README’s first five minutes works', async ({ tab }) => {
  const a = await tab()
  const b = await tab()
  await b.untilPeers(1)
  const block = /```brittlestar\n([\s\S]*?)```/.exec(README)?.[1]
  const lines = (block ?? '').trim().split('\n')
  expect(lines.length).toBeGreaterThan(5)
  for (const line of lines) expect(await a.sh(line), line).toMatchObject({ code: 0 })
})

test('the README’s program runs', async ({ tab }) => {
  const a = await tab()
  const source = /```js\n([\s\S]*?)```/.exec(README)?.[1] ?? ''
  await a.page.evaluate((text) => globalThis.os.fs.writeFile('/readme.js', text), source)
  expect(await a.out('run /readme.js')).toBe('1 4 9\n')
})

test('the README names scripts that exist and the packages that are installed', async () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'))
  for (const [, name] of README.matchAll(/npm (?:run )?(start|test|check|dev|sim|bench)\b/g)) {
    expect(Object.keys(manifest.scripts)).toContain(name)
  }
  const lock = JSON.parse(readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8'))
  const said = Number(/installs (\d+) packages/.exec(README)?.[1])
  const packages = Object.values<{ optional?: boolean }>(lock.packages).filter((each) => !each.optional).length
  expect(
    Math.abs(said - packages),
    `the README says ${said}, the lock has ${packages} that are not optional`,
  ).toBeLessThan(40)
})

test('a page from a LAN address on plain http explains itself and links to https, where it works', async ({
  tab,
  relay,
  chrome,
}) => {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === 'IPv4' && !each.internal)?.address
  if (!address) throw new Error('this machine has no address but loopback')
  const page = await (await chrome.newContext()).newPage()
  await page.goto(`http://${address}:${relay.port}/`)
  const link = page.getByRole('link', { name: new RegExp(`https://${address.replaceAll('.', '\\.')}`) })
  await expect(link).toBeVisible()
  await page.context().close()
  const secure = await tab({ url: `https://${address}:${relay.port}/` })
  const local = await tab()
  await secure.untilPeers(1)
  await local.out('echo across > /across.txt')
  expect(await secure.out('cat /across.txt')).toBe('across\n')
})

test('a lone tab whose relay cannot be reached works by itself', async ({ tab, chrome, relay }) => {
  const context = await chrome.newContext()
  await context.route('**/relay.json', (route) => route.abort())
  const page = await context.newPage()
  await page.goto(relay.url)
  await page.waitForFunction(() => 'os' in globalThis)
  await page.evaluate(() => globalThis.os.ready)
  const run = (line: string) => page.evaluate((text) => globalThis.os.sh(text), line)
  expect(await run('echo alone > /a.txt && cat /a.txt')).toMatchObject({ stdout: 'alone\n', code: 0 })
  expect(await run('run /bin/examples/primes.js 1000')).toMatchObject({ code: 0 })
  await expect(page.getByRole('status')).toContainText(/relay/i)
  await context.close()
  void tab
})
