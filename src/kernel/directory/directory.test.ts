import { encode } from 'cborg'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { MemorySigner } from '../../adapters/memory/crypto.ts'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { Dht, DhtRules } from '../../ports/dht.ts'
import { Lab, nodeId, TestLog } from '../harness.contract.ts'
import { Directory, type DirectoryRecord, RECORD_TTL_MS } from './directory.ts'

const HOUR = 3600_000
const [A, B, C] = [nodeId('a'), nodeId('b'), nodeId('c')]
let lab: Lab
let networks: MemoryNetwork[]
let directories: Directory[]
const at = (index: number) => directories[index] as Directory
const network = (index: number) => networks[index] as MemoryNetwork

beforeEach(async () => {
  lab = new Lab()
  networks = [A, B, C].map((id) => new MemoryNetwork(lab.hub, id))
  directories = networks.map((dht, i) => {
    const signer = new MemorySigner([A, B, C][i] as NodeId)
    return new Directory({ dht, signer, clock: lab.clock, log: new TestLog() })
  })
  for (const each of networks) await each.start()
  for (const [x, y] of [[0, 1], [0, 2], [1, 2]] as const) await lab.run(network(x).connect(network(y).self)) // biome-ignore format: one line
})

const publish = (who: number, ...args: Parameters<Directory['publish']>) => lab.run(at(who).publish(...args))
const lookup = (who: number, ...args: Parameters<Directory['lookup']>) => lab.run(at(who).lookup(...args))

/** What a node could put into the DHT without asking its kernel. */
async function signed(change: Partial<DirectoryRecord>, by: NodeId, signer: Signer = new MemorySigner(by)) {
  const wallMs = lab.clock.wallMs()
  const record = { v: 1, ns: 'bs-home', name: 'x', node: by, seq: wallMs, expiresMs: wallMs + HOUR, nodes: [by], ...change } // biome-ignore format: one line
  const content = encode(record)
  return encode([content, await signer.sign(content)])
}
/** The rules that a directory sets, and what its look-ups get from the network. */
function alone(values: () => AsyncIterable<Uint8Array>) {
  let rules: DhtRules | undefined
  const dht: Dht = {
    setRules: (given) => {
      rules = given
    },
    put: async () => 0,
    get: () => values(),
  }
  const directory = new Directory({ dht, signer: new MemorySigner(A), clock: lab.clock, log: new TestLog() })
  return { directory, rules: rules as unknown as DhtRules }
}
const none = async function* (): AsyncIterable<Uint8Array> {}

describe('a name', () => {
  it('that one node has published is found by the others, with the node that said so', async () => {
    expect(await publish(0, 'bs-home', 'x', [A])).toBe(2)
    expect(await lookup(1, 'bs-home', 'x')).toMatchObject({ node: A, nodes: [A], ns: 'bs-home', name: 'x' })
    expect(await lookup(0, 'bs-home', 'x')).toMatchObject({ node: A })
    expect(await lookup(2, 'bs-home', 'unknown')).toBeUndefined()
    expect(await lookup(2, 'bs-prov', 'x')).toBeUndefined()
  })

  it('that was published again has its newest record, however quickly one followed the other', async () => {
    await lab.run(Promise.all([at(0).publish('bs-home', 'x', [A]), at(0).publish('bs-home', 'x', [B])]))
    expect(await lookup(1, 'bs-home', 'x')).toMatchObject({ nodes: [B] })
    await lab.advance(1)
    await publish(0, 'bs-home', 'x', [C])
    expect(await lookup(2, 'bs-home', 'x')).toMatchObject({ nodes: [C] })
  })

  it('is remembered for a while, until the node that it leads to has left', async () => {
    await publish(0, 'bs-home', 'x', [A])
    await lookup(1, 'bs-home', 'x')
    for (const each of [0, 2]) lab.hub.setPartition(B, network(each).self, true)
    await lab.advance(100)
    expect(await lookup(1, 'bs-home', 'x')).toMatchObject({ node: A })
    let asked = 0
    const get = network(1).get.bind(network(1))
    network(1).get = (key) => {
      asked++
      return get(key)
    }
    await lookup(1, 'bs-home', 'x')
    expect(asked).toBe(0)
    at(1).forgetNode(A)
    await lookup(1, 'bs-home', 'x')
    expect(asked).toBe(1)
    await lab.advance(31_000)
    await lookup(1, 'bs-home', 'x')
    expect(asked).toBe(2)
  })

  it('is published again before it expires, for as long as its node lives', async () => {
    await publish(0, 'bs-home', 'x', [A])
    for (let day = 0; day < 5; day++) {
      await lab.advance(RECORD_TTL_MS)
      expect(await lookup(1, 'bs-home', 'x')).toMatchObject({ node: A })
    }
    at(0).close()
    await lab.advance(2 * RECORD_TTL_MS)
    expect(await lookup(1, 'bs-home', 'x')).toBeUndefined()
  })

  it('that was withdrawn is no longer published again', async () => {
    await publish(0, 'bs-home', 'x', [A])
    at(0).withdraw('bs-home', 'x')
    await lab.advance(2 * RECORD_TTL_MS)
    expect(await lookup(1, 'bs-home', 'x')).toBeUndefined()
  })

  it('among a thousand is published again like the others, with one timer for all', async () => {
    for (let i = 0; i < 1_000; i++) await publish(0, 'bs-prov', `cid${i}`, [A])
    expect(lab.clock.pending().filter(({ reason }) => reason === 'republish')).toHaveLength(1)
    await lab.advance(RECORD_TTL_MS + HOUR)
    for (const i of [0, 500, 999]) expect(await lookup(1, 'bs-prov', `cid${i}`)).toMatchObject({ node: A })
  })
})

describe('a name that can wait', () => {
  let puts: string[]
  beforeEach(() => {
    puts = []
    const put = network(0).put.bind(network(0))
    network(0).put = (path: string, value: Uint8Array) => {
      puts.push(path)
      return put(path, value)
    }
  })
  const later = (...names: string[]) => {
    for (const each of names) at(0).publishLater('bs-prov', each, [A])
  }

  it('is published in a moment', async () => {
    later('x')
    await lab.advance(1_000)
    expect(await lookup(1, 'bs-prov', 'x')).toMatchObject({ node: A })
    expect(lab.clock.pending().filter(({ reason }) => reason === 'publish later')).toEqual([])
  })

  it('is not while others come, and of too many only the latest are, each once', async () => {
    for (let i = 0; i < 40; i++) {
      later(`cid${i}`, 'again')
      await lab.advance(100)
    }
    expect(puts).toEqual([])
    await lab.advance(60_000)
    expect(puts).toHaveLength(16)
    expect(puts.filter((path) => path.endsWith('/again'))).toHaveLength(1)
    expect(puts).toContain('/bs-prov/cid39')
    expect(puts).not.toContain('/bs-prov/cid0')
  })

  it('is published now and then also where it never is quiet', async () => {
    for (let i = 0; i < 600; i++) {
      later(`cid${i}`)
      await lab.advance(100)
    }
    expect(puts.length).toBeGreaterThan(10)
    expect(puts.length).toBeLessThan(60)
  })

  it('waits again when others come while those before are published', async () => {
    later('a', 'b', 'c')
    await lab.until(() => puts.length === 1)
    later('d')
    await lab.advance(150)
    expect(puts).toHaveLength(1)
    await lab.advance(10_000)
    expect(puts).toHaveLength(4)
  })

  it('is published at once when this node is asked for it', async () => {
    later('x')
    expect(await lab.run(at(0).query('bs-prov', 'x'), 150)).toMatchObject({ node: A })
    expect(puts).toEqual(['/bs-prov/x'])
  })

  it('lets others go first', async () => {
    later(...Array.from({ length: 200 }, (_, i) => `cid${i}`))
    await lab.until(() => puts.length === 1)
    await publish(0, 'bs-home', 'x', [A])
    expect(puts.indexOf('/bs-home/x')).toBeLessThan(3)
  })

  it('goes on with the next when one cannot be published', async () => {
    const put = network(0).put.bind(network(0))
    network(0).put = (path: string, value: Uint8Array) =>
      path.endsWith('/a') ? Promise.reject(new OsError('EIO', 'no')) : put(path, value)
    later('a', 'b')
    await lab.advance(1_000)
    expect(await lookup(1, 'bs-prov', 'b')).toMatchObject({ node: A })
  })

  it('is not published once its node closes, or takes it back', async () => {
    later('x', 'y')
    at(0).withdraw('bs-prov', 'x')
    await lab.advance(1_000)
    expect(puts).toEqual(['/bs-prov/y'])
    later('z')
    at(0).close()
    await lab.advance(1_000)
    expect(puts).toHaveLength(1)
  })
})

describe('a look-up', () => {
  it('takes the first valid answer and does not wait for the rest of the query', async () => {
    const good = await signed({}, B)
    const { directory } = alone(async function* () {
      yield good
      await new Promise(() => undefined)
    })
    expect(await lab.run(directory.lookup('bs-home', 'x'))).toMatchObject({ node: B })
  })

  it('passes over invalid answers that a DHT lets through', async () => {
    const bad = [new Uint8Array(3), await signed({ name: 'y' }, B), await signed({ expiresMs: 5 }, B)]
    const good = await signed({}, C)
    const { directory } = alone(async function* () {
      yield* bad
      yield good
    })
    expect(await lab.run(directory.lookup('bs-home', 'x'))).toMatchObject({ node: C })
  })

  it('gives up after a while, and at once when it is cancelled', async () => {
    const hanging = (key: string, options: { signal: AbortSignal }) => ({
      [Symbol.asyncIterator]: () => ({
        next: () =>
          new Promise<never>((_resolve, reject) => {
            options.signal.addEventListener('abort', () => reject(options.signal.reason), { once: true })
          }),
      }),
      key,
    })
    const dht = { setRules: () => undefined, put: async () => 0, get: hanging } as unknown as Dht
    const directory = new Directory({ dht, signer: new MemorySigner(A), clock: lab.clock, log: new TestLog() })
    await expect(lab.run(directory.lookup('bs-home', 'x'))).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    const controller = new AbortController()
    const pending = directory.lookup('bs-home', 'x', controller.signal)
    controller.abort()
    await expect(lab.run(pending)).rejects.toBeTruthy()
    expect(lab.clock.pending().filter(({ reason }) => reason.startsWith('directory'))).toEqual([])
  })
})

describe('a record is refused', () => {
  const { rules } = { rules: () => alone(none).rules }
  const refused = async (value: Uint8Array, key = '/bs-home/x') => {
    await expect(rules().validate(key, value)).rejects.toMatchObject({ code: expect.any(String) })
  }

  it('unless it is signed by the node that it names', async () => {
    await expect(rules().validate('/bs-home/x', await signed({}, B))).resolves.toBeUndefined()
    await refused(await signed({ node: C }, B, new MemorySigner(B)))
    const content = await signed({}, B)
    content[content.length - 1] = (content.at(-1) ?? 0) ^ 1
    await refused(content)
  })

  it('when it has expired, or comes from the future', async () => {
    const wallMs = lab.clock.wallMs()
    await refused(await signed({ expiresMs: wallMs - 1 }, B))
    await refused(await signed({ seq: wallMs + HOUR }, B))
    await refused(await signed({ seq: Number.MAX_SAFE_INTEGER }, B))
    await refused(await signed({ expiresMs: wallMs + 10 * RECORD_TTL_MS }, B))
    // Clocks of laptops differ by minutes.
    await expect(rules().validate('/bs-home/x', await signed({ seq: wallMs + 60_000 }, B))).resolves.toBeUndefined()
  })

  it('when it stands under another key or in another namespace', async () => {
    await refused(await signed({}, B), '/bs-home/y')
    await refused(await signed({}, B), '/bs-prov/x')
    await refused(await signed({ ns: 'bs-evil' as never }, B), '/bs-evil/x')
  })

  it('when a node speaks for another peer', async () => {
    await refused(await signed({ ns: 'bs-peer', name: C }, B), `/bs-peer/${C}`)
    await expect(
      rules().validate(`/bs-peer/${B}`, await signed({ ns: 'bs-peer', name: B }, B)),
    ).resolves.toBeUndefined()
  })

  it('when it is malformed or too large, whatever its bytes', async () => {
    await refused(encode([encode({ v: 2 }), new Uint8Array(32)]))
    await refused(await signed({ nodes: Array(33).fill(B) }, B))
    await refused(await signed({ name: 'x'.repeat(201) }, B), `/bs-home/${'x'.repeat(201)}`)
    await refused(new Uint8Array(9 * 1024))
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => refused(bytes)))
  })
})

describe('of several records', () => {
  it('the newest wins, in whatever order they come; what is malformed loses', async () => {
    const { rules } = alone(none)
    const wallMs = lab.clock.wallMs()
    const values = [await signed({ seq: wallMs - 5 }, A), await signed({ seq: wallMs }, B), new Uint8Array(4), await signed({ seq: wallMs - 9 }, C)] // biome-ignore format: one line
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), (order) => {
        const shuffled = order.map((i) => values[i] as Uint8Array)
        expect(shuffled[rules.select('/bs-home/x', shuffled)]).toBe(values[1])
      }),
    )
    expect(rules.select('/bs-home/x', [new Uint8Array(1), new Uint8Array(2)])).toBe(0)
  })

  it('of equal age all nodes choose the same', async () => {
    const { rules } = alone(none)
    const [one, two] = [await signed({}, A), await signed({}, B)]
    expect(rules.select('/bs-home/x', [one, two])).toBe(1)
    expect(rules.select('/bs-home/x', [two, one])).toBe(0)
  })
})
