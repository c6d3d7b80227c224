// From navigation to a painted prompt and to a node that works: in a fresh browser and after a reload. Beside it a
// page that holds nothing but xterm.
import type { Page } from 'playwright'
import { Relay } from '../../e2e/relay.ts'
import type { Lab } from '../lab.ts'
import { Pages } from '../pages.ts'
import { type Row, row } from '../report.ts'

/**
 * Runs before the page's own scripts, in the product and in the bare page alike. It tells the console what it saw: to ask
 * the page would have it run scripts of Playwright's between the page's own (60 ms on a slow machine).
 */
function watchBoot(): void {
  let prompted = false
  let asked = false
  const look = () => {
    if (!asked && 'os' in globalThis) {
      asked = true
      void globalThis.os.ready.then(() => console.info(`bench ready ${performance.now()}`))
    }
    if (!prompted && document.querySelector('.xterm-rows')?.textContent?.includes('$')) {
      prompted = true
      // A task of its own comes after this frame's paint.
      const { port1, port2 } = new MessageChannel()
      port1.onmessage = () => console.info(`bench prompt ${performance.now()}`)
      port2.postMessage(0)
    }
    if (!prompted || !asked) requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}

interface Boot {
  prompt: number
  ready: number
}

/** What the page says of the visit that `go` begins. */
async function seen(page: Page, withNode: boolean, go: () => Promise<unknown>): Promise<Boot> {
  const told = (what: string) =>
    page
      .waitForEvent('console', (message) => message.text().startsWith(`bench ${what} `))
      .then((message) => Number(message.text().split(' ').at(-1)))
  const both = Promise.all([told('prompt'), withNode ? told('ready') : Number.NaN])
  await go()
  const [prompt, ready] = await both
  return { prompt, ready }
}

/** One fresh browser, then reloads in it. */
async function visit(lab: Lab, url: string, withNode: boolean): Promise<{ cold: Boot; warm: Boot[] }> {
  return lab.freshBrowser(async (page) => {
    await page.addInitScript(watchBoot)
    const cold = await seen(page, withNode, () => page.goto(url))
    const warm: Boot[] = []
    for (let i = 0; i < 3; i++) {
      await page.waitForTimeout(1_000) // what a visit does after its boot must not run into the next one
      warm.push(await seen(page, withNode, () => page.reload()))
    }
    return { cold, warm }
  })
}

export async function boot(lab: Lab): Promise<Row[]> {
  const relay = await new Relay().start()
  const pages = await new Pages().start()
  const visits: Awaited<ReturnType<typeof visit>>[] = []
  const bare: Awaited<ReturnType<typeof visit>>[] = []
  try {
    for (let i = 0; i < lab.pick(7, 2); i++) {
      visits.push(await visit(lab, relay.url, true))
      bare.push(await visit(lab, `${pages.url}/xterm`, false))
    }
  } finally {
    await pages.stop()
    await relay.dispose()
  }
  const cold = (of: typeof visits, what: keyof Boot) => of.map((each) => each.cold[what])
  const warm = (of: typeof visits, what: keyof Boot) => of.flatMap((each) => each.warm.map((boot) => boot[what]))
  const what = 'bare xterm'
  return [
    row({
      name: 'boot: prompt painted, fresh browser',
      unit: 'ms',
      samples: cold(visits, 'prompt'),
      beside: { what, samples: cold(bare, 'prompt') },
      target: { of: 'value', most: 300 },
    }),
    row({
      name: 'boot: prompt painted, reload',
      unit: 'ms',
      samples: warm(visits, 'prompt'),
      beside: { what, samples: warm(bare, 'prompt') },
      target: { of: 'value', most: 150 },
    }),
    row({
      name: 'boot: node ready, fresh browser',
      unit: 'ms',
      samples: cold(visits, 'ready'),
      target: { of: 'value', most: 600 },
    }),
    row({
      name: 'boot: node ready, reload',
      unit: 'ms',
      samples: warm(visits, 'ready'),
      target: { of: 'value', most: 350 },
    }),
  ]
}
