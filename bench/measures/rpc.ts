// A remote call on an open stream: `os.fs.stat` in a tab whose `/` is kept by another tab asks that tab for the head
// of the tree. The same call at home shows what the page, its kernel and the look-up cost by themselves. Beside it: a
// message to and fro over a raw data channel.
import type { Page } from 'playwright'
import type { Lab, Tab } from '../lab.ts'
import { connectRaw, pingRaw } from '../raw-channel.ts'
import { median, type Row, row } from '../report.ts'

const BLOCKED_MS = 5_000

/** Durations of `stat`, in ms, for `count` calls or until `untilMs` have passed. */
function stats(page: Page, count: number, untilMs = 60_000): Promise<number[]> {
  return page.evaluate(
    async ([wanted, limitMs]) => {
      const samples: number[] = []
      const end = performance.now() + limitMs
      while (samples.length < wanted && performance.now() < end) {
        const began = performance.now()
        await globalThis.os.fs.stat('/probe')
        samples.push(performance.now() - began)
      }
      return samples
    },
    [count, untilMs] as const,
  )
}

function block(page: Page, ms: number): Promise<void> {
  return page.evaluate((forMs) => {
    const end = performance.now() + forMs
    while (performance.now() < end);
  }, ms)
}

/** Samples taken while the page of `blocked` does nothing else but spin. */
async function whileBlocked(blocked: Page, measure: () => Promise<number[]>): Promise<number[]> {
  const blocking = block(blocked, BLOCKED_MS)
  await new Promise((resolve) => setTimeout(resolve, 200))
  const samples = await measure()
  await blocking
  return samples
}

async function tabs(lab: Lab, count: number) {
  return lab.site(async (site) => {
    const tabs = (await site.cluster(2)) as [Tab, Tab]
    await tabs[0].out('echo x > /probe')
    const treeHome = await tabs[1].page.evaluate(() => globalThis.os.node.treeHome)
    const [home, other] = treeHome === (await tabs[0].id()) ? tabs : [tabs[1], tabs[0]]
    if (treeHome !== (await home.id())) throw new Error('neither tab leads the tree')
    await stats(home.page, 100)
    await stats(other.page, 100)
    const local = await stats(home.page, count)
    const remote = await stats(other.page, count)
    const [peer] = await other.page.evaluate(() => globalThis.os.peers())
    const blocked = await whileBlocked(home.page, () => stats(other.page, 1e6, BLOCKED_MS - 700))
    return { local, remote, blocked, rttMs: peer?.rttMs ?? Number.NaN }
  })
}

async function raw(lab: Lab, count: number) {
  return lab.site(async (site) => {
    const pair = async (echo: 'page' | 'worker') => {
      const made = { caller: await site.page(), callee: await site.page() }
      for (const page of [made.caller, made.callee]) await page.goto(site.pages.url)
      await connectRaw(made, echo)
      await pingRaw(made.caller, 100)
      return made
    }
    const direct = await pair('page')
    const open = await pingRaw(direct.caller, count)
    const worker = await pair('worker')
    const inWorker = await pingRaw(worker.caller, count)
    const blocked = await whileBlocked(worker.callee, () => pingRaw(worker.caller, count))
    return { open, inWorker, blocked }
  })
}

export async function rpc(lab: Lab): Promise<Row[]> {
  const count = lab.pick(2_000, 300)
  const product = await tabs(lab, count)
  const channel = await raw(lab, count)
  const localMs = median(product.local)
  const net = product.remote.map((ms) => Math.max(0, ms - localMs))
  const beside = { what: 'raw channel', samples: channel.inWorker }
  return [
    row({ name: 'rpc: stat at home (page, kernel, look-up), p50', unit: 'ms', samples: product.local }),
    row({
      name: 'rpc: remote stat less that, p50',
      unit: 'ms',
      samples: net,
      beside: { what: 'raw channel, page to page', samples: channel.open },
    }),
    row({ name: 'rpc: remote stat less that, p50', unit: 'ms', samples: net, beside }),
    row({ name: 'rpc: remote stat less that, p99', unit: 'ms', samples: net, quantile: 0.99, beside }),
    row({ name: 'rpc: rttMs as peers shows it', unit: 'ms', samples: [product.rttMs] }),
    row({
      name: 'rpc: remote stat while the other page is blocked, p50',
      unit: 'ms',
      samples: product.blocked,
      beside: { what: 'raw channel in a worker', samples: channel.blocked },
    }),
    row({
      name: 'rpc: remote stat while the other page is blocked, p99',
      unit: 'ms',
      samples: product.blocked,
      quantile: 0.99,
      beside: { what: 'raw channel in a worker', samples: channel.blocked },
      target: { of: 'value', most: 50 },
    }),
  ]
}
