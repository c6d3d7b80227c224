import { describe, expect, it } from 'vitest'
import { MAX_SMALL_WRITES, SMALL_WRITE_BYTES } from './limits.ts'
import { type Entry, SmallWrites } from './small-writes.ts'

/** A store whose transactions end when the test says so. */
function slowStore(mostKeys = Number.POSITIVE_INFINITY) {
  const disk = new Map<string, number>()
  const transactions: { keys: string[]; end(): void }[] = []
  const writes = new SmallWrites((entries: Entry[]) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const end = () => {
      const fresh = entries.filter(([key]) => !disk.has(key))
      if (disk.size + fresh.length > mostKeys) return reject(new Error('full'))
      for (const [key, block] of entries) disk.set(key, block[0] as number)
      resolve()
    }
    transactions.push({ keys: entries.map(([key]) => key), end })
    return promise
  })
  return { disk, transactions, writes }
}

const entry = (key: string, value = 1, bytes = 1): Entry => [key, new Uint8Array(bytes).fill(value)]
const turn = () => new Promise((resolve) => setTimeout(resolve, 0))

describe('small writes of blocks', () => {
  it('that come while one is under way are stored together, in their order', async () => {
    const { transactions, writes, disk } = slowStore()
    const first = writes.put([entry('a')])
    await turn()
    const others = [writes.put([entry('b', 1), entry('c')]), writes.put([entry('b', 2)])]
    await turn()
    expect(transactions.map(({ keys }) => keys)).toEqual([['a']])
    transactions[0]?.end()
    await first
    await turn()
    expect(transactions.map(({ keys }) => keys)).toEqual([['a'], ['b', 'c', 'b']])
    transactions[1]?.end()
    await Promise.all(others)
    await writes.close()
    expect(disk.get('b')).toBe(2)
    await expect(writes.put([entry('z')])).rejects.toMatchObject({ code: 'EIO' })
  })

  it('do not keep a large one waiting', async () => {
    const { transactions, writes } = slowStore()
    const small = writes.put([entry('a')])
    await turn()
    const large = writes.put([entry('large', 1, SMALL_WRITE_BYTES + 1)])
    expect(transactions.map(({ keys }) => keys)).toEqual([['a'], ['large']])
    for (const { end } of transactions) end()
    await Promise.all([small, large])
  })

  it('fail alone where the disk is nearly full', async () => {
    const { transactions, writes, disk } = slowStore(2)
    const results = Promise.allSettled([
      writes.put([entry('a')]),
      writes.put([entry('b'), entry('c')]),
      writes.put([entry('d')]),
    ])
    for (let i = 0; i < 4; i++) {
      await turn()
      transactions[i]?.end()
    }
    expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect([...disk.keys()]).toEqual(['a', 'd'])
  })

  it('are no more than a bounded number in one transaction', async () => {
    const { transactions, writes } = slowStore()
    const all = Promise.all(Array.from({ length: MAX_SMALL_WRITES + 5 }, (_, i) => writes.put([entry(`k${i}`)])))
    await turn()
    transactions[0]?.end()
    await turn()
    transactions[1]?.end()
    await all
    expect(transactions.map(({ keys }) => keys.length)).toEqual([MAX_SMALL_WRITES, 5])
  })
})
