// How long it takes from opening a tab until it and all others list each other as directly connected.
import { type Lab, type Site, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'

async function join1(site: Site, others: Tab[]): Promise<{ tab: Tab; ms: number }> {
  const tab = new Tab(await site.page())
  const began = performance.now()
  const waiting = others.map((other) => other.untilPeers(others.length))
  await tab.open(site.relay.url)
  await Promise.all([tab.untilPeers(others.length), ...waiting])
  return { tab, ms: performance.now() - began }
}

export async function join(lab: Lab): Promise<Row[]> {
  const second: number[] = []
  const eighth: number[] = []
  for (let i = 0; i < lab.pick(3, 1); i++) {
    await lab.site(async (site) => {
      const tabs: Tab[] = [await site.tab()]
      await tabs[0]?.untilRelay()
      for (let repeat = 0; repeat < lab.pick(3, 2); repeat++) {
        const { tab, ms } = await join1(site, tabs)
        second.push(ms)
        await tab.context.close()
        await tabs[0]?.untilPeers(0)
      }
      await site.cluster(7, tabs)
      for (let repeat = 0; repeat < lab.pick(2, 1); repeat++) {
        const { tab, ms } = await join1(site, tabs)
        eighth.push(ms)
        await tab.context.close()
        await Promise.all(tabs.map((each) => each.untilPeers(tabs.length - 1)))
      }
    })
  }
  return [
    row({ name: 'join: second tab, from opening it to both listing each other', unit: 'ms', samples: second }),
    row({ name: 'join: eighth tab, until all eight list each other', unit: 'ms', samples: eighth }),
  ]
}
