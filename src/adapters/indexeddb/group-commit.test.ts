import { describe, expect, it } from 'vitest'
import { GroupCommit } from './group-commit.ts'

const MOST = 8

/** A store whose transactions end when the test says so. @param room for so many writes. @param refuses writes of that name. */
function slowStore({ room = Number.POSITIVE_INFINITY, refuses = '' } = {}) {
  const disk: string[] = []
  const transactions: { names: readonly string[]; end(): void }[] = []
  const writes = new GroupCommit<string>(MOST, (names) => {
    const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<string, unknown>>()
    const end = () => {
      if (disk.length + names.length > room) return reject(new Error('full'))
      disk.push(...names.filter((name) => name !== refuses))
      resolve(new Map(names.filter((name) => name === refuses).map((name) => [name, new Error('refused')])))
    }
    transactions.push({ names, end })
    return promise
  })
  return { disk, transactions, writes }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0))

describe('writes', () => {
  it('that come while one is under way are stored together, in their order', async () => {
    const { transactions, writes, disk } = slowStore()
    const first = writes.write('a')
    await turn()
    const others = ['b', 'c', 'b'].map((name) => writes.write(name))
    await turn()
    expect(transactions.map(({ names }) => names)).toEqual([['a']])
    transactions[0]?.end()
    await first
    await turn()
    expect(transactions.map(({ names }) => names)).toEqual([['a'], ['b', 'c', 'b']])
    transactions[1]?.end()
    await Promise.all(others)
    expect(disk).toEqual(['a', 'b', 'c', 'b'])
  })

  it('fail alone where the disk is nearly full', async () => {
    const { transactions, writes, disk } = slowStore({ room: 2 })
    const results = Promise.allSettled(['a', 'b', 'c'].map((name) => writes.write(name)))
    for (let i = 0; i < 4; i++) {
      await turn()
      transactions[i]?.end()
    }
    expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(disk).toEqual(['a', 'b'])
  })

  it('that are refused do not keep the others of their group from being stored', async () => {
    const { transactions, writes, disk } = slowStore({ refuses: 'b' })
    const results = Promise.allSettled(['a', 'b', 'c'].map((name) => writes.write(name)))
    await turn()
    transactions[0]?.end()
    expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(disk).toEqual(['a', 'c'])
  })

  it('are no more than a bounded number in one transaction', async () => {
    const { transactions, writes } = slowStore()
    const all = Promise.all(Array.from({ length: MOST + 5 }, (_, i) => writes.write(`${i}`)))
    await turn()
    transactions[0]?.end()
    await turn()
    transactions[1]?.end()
    await all
    expect(transactions.map(({ names }) => names.length)).toEqual([MOST, 5])
  })

  it('are refused once it is closed; what was queued before is waited for', async () => {
    const { transactions, writes } = slowStore()
    const first = writes.write('a')
    const closed = writes.close()
    await expect(writes.write('b')).rejects.toMatchObject({ code: 'EIO' })
    await turn()
    transactions[0]?.end()
    await Promise.all([first, closed])
  })
})
