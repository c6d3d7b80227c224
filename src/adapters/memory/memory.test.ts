import { readFileSync } from 'node:fs'
import { describe, expect, it, test } from 'vitest'
import { toHex, utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import { blockStoreContract, deviceStoreContract } from '../../ports/blockstore.contract.ts'
import { clockContract } from '../../ports/clock.contract.ts'
import { contractRules, type DhtTrio, dhtContract } from '../../ports/dht.contract.ts'
import { logStoreContract } from '../../ports/logstore.contract.ts'
import { networkContract } from '../../ports/network.contract.ts'
import { sandboxContract } from '../../ports/sandbox.contract.ts'
import { Gate, GatedClock, VirtualClock } from './clock.ts'
import { MemoryHasher, MemorySigner } from './crypto.ts'
import { MemoryHub } from './hub.ts'
import { MemoryNetwork } from './network.ts'
import { SeededRandom } from './random.ts'
import { MemorySandbox } from './sandbox.ts'
import { Disk, MemoryBlockStore, MemoryDeviceStore, MemoryLogStore } from './stores.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Virtual time that passes only while somebody waits. */
async function passUntil(clock: VirtualClock, condition: () => boolean, what: string): Promise<void> {
  for (let steps = 0; !condition(); steps++) {
    await turn()
    if (!condition() && !clock.step(clock.nowMs() + 120_000) && steps > 1_000) throw new Error(`never: ${what}`)
  }
}

for (const [name, wrap] of [
  ['the virtual clock', (clock: VirtualClock) => clock],
  ['the clock of a tab', (clock: VirtualClock) => new GatedClock(clock, new Gate(clock))],
] as const) {
  clockContract(name, () => {
    const clock = new VirtualClock()
    const pass = async (ms: number) => {
      const untilMs = clock.nowMs() + ms
      while (clock.step(untilMs)) await turn()
      clock.jump(untilMs - clock.nowMs())
    }
    return { clock: wrap(clock), pass }
  })
}

blockStoreContract('the memory block store', async () => {
  const disk = new Disk()
  return { store: new MemoryBlockStore(disk), reopen: async () => new MemoryBlockStore(disk), cleanup: () => undefined }
})

deviceStoreContract('the memory device store', async () => {
  const [own, one, two] = [new Disk(), new Disk(), new Disk()]
  const others = [one, two]
  return {
    device: new MemoryDeviceStore(() => others),
    own: new MemoryBlockStore(own),
    others: [new MemoryBlockStore(one), new MemoryBlockStore(two)],
    async deleteSecond() {
      others.pop()
    },
    cleanup: () => undefined,
  }
})

logStoreContract('the memory log store', async () => {
  const disk = new Disk()
  return { store: new MemoryLogStore(disk), reopen: async () => new MemoryLogStore(disk), cleanup: () => undefined }
})

sandboxContract('the memory sandbox', async () => {
  const clock = new VirtualClock()
  const load = (source: string) => import(`data:text/javascript,${encodeURIComponent(`${source}\n//${Math.random()}`)}`)
  // The contract waits in real time: virtual time passes beside it.
  const ticking = setInterval(() => clock.step(), 0)
  return { sandbox: new MemorySandbox({ clock, slots: 2, load }), close: () => clearInterval(ticking) }
})

const id = (name: string) => `12D3KooW${name.padEnd(8, 'z')}` as NodeId
function hub(options: { split?: boolean } = {}) {
  const clock = new VirtualClock()
  return { clock, hub: new MemoryHub({ clock, random: new SeededRandom(1), latencyMs: [1, 5], ...options }) }
}

for (const split of [false, true]) {
  describe(`the memory network keeps the network contract${split ? ' with chunks cut anywhere' : ''}`, () => {
    test.each(
      networkContract(async () => {
        const { clock, hub: between } = hub({ split })
        const [a, b] = [new MemoryNetwork(between, id('a')), new MemoryNetwork(between, id('b'))]
        const close = async () => {
          await a.close()
          await b.close()
        }
        return { a, b, until: (condition, what) => passUntil(clock, condition, what), close }
      }),
    )('$name', ({ run }) => run())
  })
}

describe('the memory DHT keeps the DHT contract', () => {
  test.each(
    dhtContract(async (): Promise<DhtTrio> => {
      const { clock, hub: between } = hub()
      const nodes = [id('a'), id('b'), id('c')].map((each) => new MemoryNetwork(between, each))
      for (const node of nodes) {
        node.setRules(contractRules)
        await node.start()
      }
      const [a, b, alone] = nodes as [MemoryNetwork, MemoryNetwork, MemoryNetwork]
      between.connect(a, b.self)
      const close = async () => {
        for (const node of nodes) await node.close()
      }
      return { a, b, alone, until: (condition, what) => passUntil(clock, condition, what), close }
    }),
  )('$name', ({ run }) => run())
})

describe('a full disk', () => {
  it('refuses a write with ENOSPC and stores nothing of it', async () => {
    const disk = new Disk(100)
    const blocks = new MemoryBlockStore(disk)
    const logs = new MemoryLogStore(disk)
    await blocks.putMany([['a', new Uint8Array(60)]])
    const two = [['b', new Uint8Array(30)], ['c', new Uint8Array(30)]] as const // biome-ignore format: one line
    await expect(blocks.putMany(two)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await blocks.keys()).toEqual(['a'])
    await expect(logs.append('x', 1, [new Uint8Array(50)])).rejects.toMatchObject({ code: 'ENOSPC' })
    expect((await logs.load('x')).entries).toEqual([])
    expect(await blocks.usage()).toMatchObject({ usedBytes: 60, quotaBytes: 100 })
  })
})

describe('a tab that stands still', () => {
  it('fires no timer meanwhile, and all of them in order when it goes on', () => {
    const clock = new VirtualClock()
    const gate = new Gate(clock)
    const own = new GatedClock(clock, gate)
    const fired: number[] = []
    for (const ms of [30, 10, 20]) own.setTimer(() => fired.push(ms), ms, 'test')
    const cancelled = own.setTimer(() => fired.push(15), 15, 'test')
    gate.freeze()
    while (clock.step());
    expect([fired, own.nowMs()]).toEqual([[], 30])
    cancelled.cancel()
    gate.thaw()
    while (clock.step());
    expect(fired).toEqual([10, 20, 30])
  })
})

describe('the seeded generator', () => {
  it('repeats itself for a seed and differs between seeds and forks', () => {
    const draw = (random: SeededRandom) => Array.from({ length: 20 }, () => random.uint32())
    expect(draw(new SeededRandom(7))).toEqual(draw(new SeededRandom(7)))
    expect(draw(new SeededRandom(7))).not.toEqual(draw(new SeededRandom(8)))
    const parent = new SeededRandom(7)
    expect(draw(parent.fork())).not.toEqual(draw(parent.fork()))
  })

  it('is even', () => {
    const random = new SeededRandom(1)
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 100_000; i++) {
      const digit = random.below(10)
      counts[digit] = (counts[digit] ?? 0) + 1
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
    for (let i = 0; i < 1_000; i++) expect(random.float()).toSatisfy((x: number) => x >= 0 && x < 1)
  })
})

describe('hashing and signing', () => {
  it('hashes as everybody does', async () => {
    expect(toHex(await new MemoryHasher().sha256(utf8('abc')))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })

  it('accepts a signature of its signer only, over these bytes only', async () => {
    const signer = new MemorySigner(id('a'))
    const signature = await signer.sign(utf8('x'))
    expect(await signer.verify(id('a'), utf8('x'), signature)).toBe(true)
    expect(await signer.verify(id('b'), utf8('x'), signature)).toBe(false)
    expect(await signer.verify(id('a'), utf8('y'), signature)).toBe(false)
    expect(await signer.verify(id('a'), utf8('x'), new Uint8Array(0))).toBe(false)
  })
})

it('nothing here reads the real time or real randomness', () => {
  for (const file of [
    'clock',
    'conditions',
    'crypto',
    'disk',
    'hub',
    'link',
    'network',
    'random',
    'sandbox',
    'stores',
  ]) {
    const source = readFileSync(new URL(`./${file}.ts`, import.meta.url), 'utf8')
    expect(source).not.toMatch(/Math\.random|Date\.now|performance\.now|setTimeout|setInterval/)
  }
})
