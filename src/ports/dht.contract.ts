// What every Dht must do. The scenarios know no test runner: see network.contract.ts.
import { assert } from '../base/assert.ts'
import { fromUtf8, utf8 } from '../base/bytes.ts'
import type { Dht, DhtRules } from './dht.ts'
import type { Scenario } from './network.contract.ts'

/** Two nodes with these rules that are connected to each other, and one that is alone. */
export interface DhtTrio {
  readonly a: Dht
  readonly b: Dht
  readonly alone: Dht
  /** Lets time pass until the condition holds. Rejects when it does not in reasonable time. */
  until(condition: () => boolean, what: string): Promise<void>
  close(): Promise<void>
}

/** Values are `<number> <text>`: the highest number is the newest, and `0 …` is refused. */
export const contractRules: DhtRules = {
  async validate(_key, value) {
    if (version(value) === 0) throw new Error('version 0 is invalid')
  },
  select(_key, values) {
    return values.reduce((best, value, i) => (version(value) > version(values[best] ?? value) ? i : best), 0)
  },
}

function version(value: Uint8Array): number {
  return Number(fromUtf8(value).split(' ')[0])
}

const PATIENCE_MS = 20_000
let keys = 0

class Stage {
  readonly trio: DhtTrio
  /** A key of its own for each scenario. */
  readonly key = `/bs-peer/contract-${++keys}-${Math.random()}`

  constructor(trio: DhtTrio) {
    this.trio = trio
  }

  async put(dht: Dht, text: string): Promise<number> {
    return this.#settled(dht.put(this.key, utf8(text), { signal: AbortSignal.timeout(PATIENCE_MS) }))
  }

  /** All values, until the query ends. */
  async get(dht: Dht): Promise<string[]> {
    const read = async (): Promise<string[]> => {
      const values: string[] = []
      for await (const value of dht.get(this.key, { signal: AbortSignal.timeout(PATIENCE_MS) })) {
        values.push(fromUtf8(value))
      }
      return values
    }
    return this.#settled(read())
  }

  async #settled<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const end = (): void => {
      over = true
    }
    promise.then(end, end)
    await this.trio.until(() => over, 'a promise settles')
    return promise
  }
}

const scenarios: Record<string, (stage: Stage) => Promise<void>> = {
  async 'finds at one node what another has put, and says who confirmed'(stage) {
    const confirmed = await stage.put(stage.trio.a, '1 hello')
    assert(confirmed >= 1, `another node confirmed: ${confirmed}`)
    assert((await stage.get(stage.trio.b)).includes('1 hello'), 'it is found')
  },
  async 'keeps a value for a node that is alone'(stage) {
    assert((await stage.put(stage.trio.alone, '1 mine')) === 0, 'nobody confirmed')
    const values = await stage.get(stage.trio.alone)
    assert(values.length === 1 && values[0] === '1 mine', `it is found: ${values}`)
  },
  async 'ends without a value for a key that nobody has put'(stage) {
    assert((await stage.get(stage.trio.a)).length === 0, 'nothing is found')
    assert((await stage.get(stage.trio.alone)).length === 0, 'nor by a node that is alone')
  },
  async 'yields each distinct value once'(stage) {
    await stage.put(stage.trio.a, '1 same')
    await stage.put(stage.trio.b, '1 same')
    const values = await stage.get(stage.trio.a)
    assert(values.filter((value) => value === '1 same').length === 1, `one value: ${values}`)
  },
  async 'does not replace a newer value by an older one'(stage) {
    await stage.put(stage.trio.a, '2 newer')
    await stage.put(stage.trio.b, '1 older')
    const values = await stage.get(stage.trio.b)
    assert(values.includes('2 newer'), `the newer one is still found: ${values}`)
  },
  async 'does not give others what the rules refuse'(stage) {
    // Whether putting it fails is the adapter's choice; that others do not get it is not.
    await stage.put(stage.trio.a, '0 refused').catch(() => 0)
    assert(!(await stage.get(stage.trio.b)).includes('0 refused'), 'it is not found')
  },
}

export function dhtContract(make: () => Promise<DhtTrio>): Scenario[] {
  return Object.entries(scenarios).map(([name, act]) => ({
    name,
    async run() {
      const stage = new Stage(await make())
      try {
        await act(stage)
      } finally {
        await stage.trio.close()
      }
    },
  }))
}
