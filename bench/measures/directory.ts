// Records of the directory: how long a put takes until the DHT has them, and a look-up until the first valid record is
// there, as the kernels measure them (`dmesg`, `lookup`). A look-up "from afar" is one by a tab that joined after the
// record was published, so that it does not hold it itself.
import type { Lab, Tab } from '../lab.ts'
import { type Row, row } from '../report.ts'

interface Found {
  found: number
  missing: number
  ms: number[]
}

const nothing = (): Found => ({ found: 0, missing: 0, ms: [] })

interface Name {
  kind: 'peer' | 'provider'
  name: string
}

/** Looks names up one after the other. */
async function look(tab: Tab, names: readonly Name[], into: Found): Promise<void> {
  const answers = await tab.page.evaluate(async (wanted) => {
    const all: ({ ms: number } | null)[] = []
    for (const { kind, name } of wanted) {
      const { stdout, stderr, code } = await globalThis.os.sh(`lookup --json ${kind} ${name}`)
      if (code !== 0 && stdout === '') throw new Error(stderr)
      all.push(JSON.parse(stdout))
    }
    return all
  }, names)
  for (const answer of answers) {
    if (answer) {
      into.found++
      into.ms.push(answer.ms)
    } else into.missing++
  }
}

/** Of many files that are written at once only the latest so many are published. */
const AT_ONCE = 16

/** Writes small files: each becomes a provider record. @returns their CIDs, and the puts as this tab's kernel has logged them. */
async function publish(tab: Tab, prefix: string, count: number): Promise<{ names: Name[]; puts: Put[] }> {
  const all = { names: [] as Name[], puts: [] as Put[] }
  for (let at = 0; at < count; at += AT_ONCE) {
    const names = await write(tab, `${prefix}-${at}`, Math.min(AT_ONCE, count - at))
    all.names.push(...names)
    all.puts.push(...(await puts(tab, names)))
  }
  return all
}

async function write(tab: Tab, prefix: string, count: number): Promise<Name[]> {
  const cids = await tab.page.evaluate(
    async ([name, wanted]) => {
      const paths: string[] = []
      for (let i = 0; i < wanted; i++) {
        const path = `/${name}-${i}`
        await globalThis.os.fs.writeFile(path, path)
        paths.push(path)
      }
      return (await globalThis.os.sh(`kid --cid ${paths.join(' ')}`)).stdout
    },
    [prefix, count] as const,
  )
  return cids
    .trim()
    .split('\n')
    .map((line) => ({ kind: 'provider', name: line.split(' ')[0] ?? '' }))
}

interface Put {
  ms: number
  holders: number
}

interface LogLine {
  area: string
  message: string
  fields: { ms?: number; holders?: number }
}

/** The puts of these names as this tab's kernel has logged them; waits until all are there. */
async function puts(tab: Tab, names: readonly Name[]): Promise<Put[]> {
  const wanted = new Set(names.map(({ name }) => `put /bs-prov/${name}`))
  for (let attempt = 0; attempt < 100; attempt++) {
    const lines = (await tab.json<LogLine[]>('dmesg --json')).filter((line) => wanted.has(line.message))
    if (lines.length >= wanted.size) {
      return lines.map(({ fields: { ms = Number.NaN, holders = 0 } }) => ({ ms, holders }))
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error('not every put was logged within 20 s')
}

/** Every tab looks up the peer record of every other one. */
async function allPairs(tabs: readonly Tab[]): Promise<Found> {
  const ids = await Promise.all(tabs.map((tab) => tab.id()))
  const pairs = nothing()
  for (const [i, tab] of tabs.entries()) {
    const others: Name[] = ids.filter((_, j) => j !== i).map((name) => ({ kind: 'peer', name }))
    await look(tab, others, pairs)
  }
  return pairs
}

export async function directory(lab: Lab): Promise<Row[]> {
  const each = lab.pick(40, 8)
  const two = await lab.site(async (site) => {
    const tabs = await site.cluster(1)
    const [first] = tabs as [Tab]
    await first.untilRelay()
    const { names: early } = await publish(first, 'early', each)
    const second = (await site.cluster(2, tabs))[1] as Tab
    const get = nothing()
    await look(second, early, get)
    const { puts: put } = await publish(first, 'late', each)
    return { get, put, pairs: await allPairs(tabs) }
  })
  const eight = await lab.site(async (site) => {
    const tabs = await site.cluster(3)
    const [first] = tabs as [Tab]
    const { names: early } = await publish(first, 'early', each * 14)
    await site.cluster(8, tabs)
    const get = nothing()
    const readers = tabs.slice(3, 7)
    for (const [i, reader] of readers.entries()) await look(reader, early.slice(i * each, (i + 1) * each), get)
    const pairs = await allPairs(tabs)
    const { puts: put } = await publish(first, 'late', each)
    const unseen = early.slice(readers.length * each)
    const names = (count: number): Name[] => unseen.splice(0, count)
    const atOnce = async (into: Found): Promise<Found> => {
      await Promise.all(readers.map((tab) => look(tab, names(each), into)))
      return into
    }
    const busy = await atOnce(nothing())
    const afterKill = nothing()
    await tabs[7]?.crash()
    // At once, before anybody can have noticed, and few enough to be done by then.
    for (let turn = 0; turn < each / 4; turn++) for (const reader of readers) await look(reader, names(2), afterKill)
    for (const tab of tabs.slice(0, 7)) await tab.untilPeers(6)
    await tabs[2]?.crash()
    const busyAfterKill = await atOnce(nothing())
    return { get, put, pairs, afterKill, busy, busyAfterKill }
  })
  const gets = (name: string, found: Found): Row[] => {
    const note = found.missing > 0 ? `${found.missing} of ${found.missing + found.found} not found` : undefined
    const both = { unit: 'ms', samples: found.ms, note }
    return [
      row({ ...both, name: `${name}, p50`, target: { of: 'value', most: 50 } }),
      row({ ...both, name: `${name}, p99`, quantile: 0.99, target: { of: 'value', most: 500 } }),
    ]
  }
  // Four tabs that look up at the same time share the machine's cores: what a kill costs then is told by the same
  // without one.
  const besideBusy = (name: string, quantile: number): Row =>
    row({
      name: `directory: four tabs get at once, one just killed, ${name}`,
      unit: 'ms',
      samples: eight.busyAfterKill.ms,
      quantile,
      beside: { what: 'none killed', samples: eight.busy.ms },
    })
  const putRow = (name: string, list: readonly Put[]) => {
    const holders = list.map((one) => one.holders)
    const note = `stored by ${Math.min(...holders)}…${Math.max(...holders)} others`
    return row({ name, unit: 'ms', samples: list.map(({ ms }) => ms), note })
  }
  return [
    ...gets('directory: get from afar, 2 tabs', two.get),
    ...gets('directory: get from afar, 8 tabs', eight.get),
    ...gets('directory: get from afar, 8 tabs, one just killed', eight.afterKill),
    besideBusy('p50', 0.5),
    besideBusy('p99', 0.99),
    ...gets('directory: peer records, all pairs of 2 tabs', two.pairs),
    ...gets('directory: peer records, all pairs of 8 tabs', eight.pairs),
    putRow('directory: put, 2 tabs, p50', two.put),
    putRow('directory: put, 8 tabs, p50', eight.put),
  ]
}
