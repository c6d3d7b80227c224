// How long it takes from opening a tab until it and all others list each other as directly connected; and from closing
// or killing one until nobody lists it.
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

/** Ms from the act, which ends one tab beside these, until none of them lists it. */
async function left(others: Tab[], act: () => Promise<unknown>): Promise<number> {
  await Promise.all(others.map((each) => each.untilPeers(others.length)))
  const began = performance.now()
  await Promise.all([act(), ...others.map((each) => each.untilPeers(others.length - 1))])
  return performance.now() - began
}

export async function join(lab: Lab): Promise<Row[]> {
  const second: number[] = []
  const eighth: number[] = []
  const closed: number[] = []
  const killed: number[] = []
  const unrelayed: number[] = []
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
      for (let repeat = 0; repeat < lab.pick(3, 1); repeat++) {
        const { tab, ms } = await join1(site, tabs)
        eighth.push(ms)
        closed.push(await left(tabs, () => tab.page.close({ runBeforeUnload: true })))
        await tab.context.close()
        const next = await join1(site, tabs)
        killed.push(await left(tabs, () => next.tab.crash()))
        await next.tab.context.close()
      }
      await site.relay.stop('SIGKILL')
      unrelayed.push(await left(tabs.splice(0, 6), () => (tabs[0] as Tab).crash()))
    })
  }
  return [
    row({ name: 'join: second tab, from opening it to both listing each other', unit: 'ms', samples: second }),
    row({ name: 'join: eighth tab, until all eight list each other', unit: 'ms', samples: eighth }),
    row({
      name: 'join: a tab of eight closed, until no list has it',
      unit: 'ms',
      samples: closed,
      target: { of: 'value', most: 1_000 },
    }),
    row({
      name: 'join: a tab of eight killed, until no list has it',
      unit: 'ms',
      samples: killed,
      target: { of: 'value', most: 5_000 },
    }),
    row({
      name: 'join: a tab of seven killed where the relay is dead, until no list has it',
      unit: 'ms',
      samples: unrelayed,
      target: { of: 'value', most: 5_000 },
    }),
  ]
}
