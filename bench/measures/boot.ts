// From navigation to a painted prompt and to a node that works: in a fresh browser and after a reload. Beside it a
// page that holds nothing but xterm.
import type { Page } from 'playwright'
import { Relay } from '../../e2e/relay.ts'
import type { Lab } from '../lab.ts'
import { Pages } from '../pages.ts'
import { type Row, row } from '../report.ts'

interface Seen {
  promptMs?: number
  readyMs?: number
}

declare global {
  var benchSeen: Seen
}

/** Runs before the page's own scripts, in the product and in the bare page alike. */
function watchBoot(): void {
  const seen: Seen = {}
  globalThis.benchSeen = seen
  let asked = false
  const look = () => {
    if (!asked && 'os' in globalThis) {
      asked = true
      void globalThis.os.ready.then(() => {
        seen.readyMs = performance.now()
      })
    }
    if (seen.promptMs === undefined && document.querySelector('.xterm-rows')?.textContent?.includes('$')) {
      // A task of its own comes after this frame's paint.
      const { port1, port2 } = new MessageChannel()
      port1.onmessage = () => {
        seen.promptMs ??= performance.now()
      }
      port2.postMessage(0)
    }
    if (seen.promptMs === undefined || !asked) requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}

interface Boot {
  prompt: number
  ready: number
}

async function seen(page: Page, withNode: boolean): Promise<Boot> {
  await page.waitForFunction(
    (node) => globalThis.benchSeen.promptMs !== undefined && (!node || globalThis.benchSeen.readyMs !== undefined),
    withNode,
    { polling: 50 },
  )
  const { promptMs = Number.NaN, readyMs = Number.NaN } = await page.evaluate(() => globalThis.benchSeen)
  return { prompt: promptMs, ready: readyMs }
}

/** One fresh browser, then reloads in it. */
async function visit(lab: Lab, url: string, withNode: boolean): Promise<{ cold: Boot; warm: Boot[] }> {
  return lab.freshBrowser(async (page) => {
    await page.addInitScript(watchBoot)
    await page.goto(url)
    const cold = await seen(page, withNode)
    const warm: Boot[] = []
    for (let i = 0; i < 3; i++) {
      await page.waitForTimeout(1_000) // what a visit does after its boot must not run into the next one
      await page.reload()
      warm.push(await seen(page, withNode))
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
