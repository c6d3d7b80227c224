// What a tab fetches, and that it lives without what it does not.
import { expect, Tab, test } from './fixtures.ts'

test('all JavaScript of a connected tab that has run a job is within 400 kB as it is sent, and none is left', async ({
  chrome,
  relay,
}) => {
  const context = await chrome.newContext()
  const tab = new Tab(await context.newPage())
  const scripts = new Map<string, number>()
  // Includes what workers import.
  context.on('response', (response) => {
    const { pathname } = new URL(response.url())
    if (pathname.endsWith('.js')) scripts.set(pathname, Number(response.headers()['content-length']))
  })
  await tab.open(relay.url)
  await tab.untilLoaded()
  await tab.page.waitForFunction(() => globalThis.os.node.relay === 'connected')
  await tab.out('run /bin/examples/primes.js 1000')
  const sizes = [...scripts.values()]
  expect(sizes.length).toBeGreaterThan(3)
  const sentBytes = sizes.reduce((sum, size) => sum + size, 0)
  expect(sentBytes, JSON.stringify([...scripts])).toBeLessThanOrEqual(400_000)
  // Everything goes on when the relay is gone.
  const before = scripts.size
  await tab.out('invite; mkdir /d; echo text > /d/file; keg create /k; keg log /k; ls -lR /; find / | wc; fsck')
  expect([...scripts.keys()].slice(before)).toEqual([])
  // What the parser is sent without is refused by name, as it is with it.
  for (const text of ['echo $((1 + a[2]))', 'for ((i=0; i<3; i++)); do echo; done', '((1 ? 2 : 3))']) {
    expect((await tab.sh(text)).stderr).toMatch(/not supported: (arithmetic|for loops|\(\()/)
  }
  expect(tab.errors).toEqual([])
  await context.close()
})

test('a browser without Ed25519 of its own is a node like any other', async ({ chrome, relay, tab }) => {
  // A worker whose script this journey hands out counts as one from elsewhere, which has to ask for the relay.
  const context = await chrome.newContext({ permissions: ['local-network-access'] })
  const page = await context.newPage()
  await page.route(/assets\/kernel\.worker.*\.js/, async (route) => {
    const response = await route.fetch()
    const refuse = `{
      const { subtle } = crypto
      for (const method of ['importKey', 'generateKey']) {
        const real = subtle[method].bind(subtle)
        subtle[method] = async (...args) => {
          if (JSON.stringify(args).includes('Ed25519')) throw new DOMException('no Ed25519', 'NotSupportedError')
          return real(...args)
        }
      }
    }`
    await route.fulfill({ response, body: `${refuse}\n${await response.text()}` })
  })
  const loaded: string[] = []
  context.on('response', (response) => loaded.push(new URL(response.url()).pathname))
  const old = await new Tab(page).open(relay.url)
  const other = await tab()
  await Promise.all([old.untilPeers(1), other.untilPeers(1)])
  expect(loaded.join()).toContain('assets/ed25519')
  await old.out('echo of the old one > /old.txt')
  expect(await other.out('cat /old.txt; echo and back > /new.txt')).toBe('of the old one\n')
  expect(await old.out('cat /new.txt')).toBe('and back\n')
  const id = await old.id()
  // What it has signed holds for others.
  await expect.poll(() => other.sh(`lookup peer ${id}`)).toMatchObject({ code: 0, stdout: expect.stringContaining(id) })
  expect(old.errors).toEqual([])
  await context.close()
})
