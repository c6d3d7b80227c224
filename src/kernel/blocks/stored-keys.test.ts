import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StoredKeys } from './stored-keys.ts'

class Disk {
  readonly here = new Set<string>()
  /** Keys that were asked for alone. */
  asked = 0
  /** Times that all keys were read. */
  reads = 0
  /** Runs while they are read, after it was seen which there are. */
  meanwhile = async () => {}

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    this.asked += keys.length
    return keys.map((key) => this.here.has(key))
  }

  async keys(): Promise<string[]> {
    this.reads++
    const keys = [...this.here]
    await this.meanwhile()
    return keys
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`)

describe('keys of what is stored', () => {
  it('are read when many were asked for, and the disk is asked no more', async () => {
    const disk = new Disk()
    for (const key of ['a', 'b']) disk.here.add(key)
    const keys = new StoredKeys({ store: disk, most: 100, looks: 10 })
    expect(await keys.look(['b', 'x', 'a'])).toEqual([true, false, true])
    expect([disk.asked, disk.reads]).toEqual([3, 0])
    for (let i = 0; i < 50; i++) expect(await keys.look(['b', 'x', 'a'])).toEqual([true, false, true])
    expect([disk.asked, disk.reads]).toEqual([9, 1])
    disk.here.add('x')
    keys.add(['x'])
    keys.missed(['y'])
    expect(await keys.look(['b', 'x', 'a'])).toEqual([true, true, true])
    expect([disk.asked, disk.reads]).toEqual([9, 1])
    disk.here.delete('a')
    keys.missed(['a'])
    expect(await keys.look(['b', 'x', 'a'])).toEqual([true, true, false])
    expect([disk.asked, disk.reads]).toEqual([12, 1])
  })

  it('are asked for again where one was stored while it was looked for in vain', async () => {
    const disk = new Disk()
    const keys = new StoredKeys({ store: disk, most: 10, looks: 1 })
    await keys.look(['a'])
    disk.here.add('a')
    keys.add(['a'])
    keys.missed(['a'])
    for (let i = 0; i < 3; i++) expect(await keys.look(['a'])).toEqual([true])
  })

  it('are not read again before as many were asked for as that is worth', async () => {
    const disk = new Disk()
    for (const key of numbered(1_200)) disk.here.add(key)
    const keys = new StoredKeys({ store: disk, most: 10_000, looks: 10 })
    for (let i = 0; i < 200; i++) {
      await keys.look(['n1'])
      if (i === 9) keys.forget()
    }
    expect([disk.asked, disk.reads]).toEqual([9 + 99, 2])
  })

  it('are not remembered of a store that is too large, nor read again', async () => {
    const disk = new Disk()
    for (const key of numbered(11)) disk.here.add(key)
    const keys = new StoredKeys({ store: disk, most: 10, looks: 1 })
    for (let i = 0; i < 5; i++) expect(await keys.look(['n3'])).toEqual([true])
    expect([disk.asked, disk.reads]).toEqual([5, 1])
    const smaller = new Disk()
    const growing = new StoredKeys({ store: smaller, most: 2, looks: 2 })
    await growing.look(['a', 'b'])
    for (const key of ['a', 'b', 'c']) {
      smaller.here.add(key)
      growing.add([key])
    }
    expect(await growing.look(['c'])).toEqual([true])
    expect(smaller.asked).toBe(1)
  })

  it('are read anew after a disk that did not answer', async () => {
    const disk = new Disk()
    disk.meanwhile = () => Promise.reject(new Error('the disk does not answer'))
    const keys = new StoredKeys({ store: disk, most: 10, looks: 2 })
    await expect(keys.look(['a', 'b'])).rejects.toThrow('the disk does not answer')
    disk.meanwhile = async () => {}
    expect(await keys.look(['a'])).toEqual([false])
    expect(await keys.look(['a'])).toEqual([false])
    expect([disk.asked, disk.reads]).toEqual([1, 2])
  })

  it('say what the disk says, whatever is stored, deleted and lost while they are read', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
    const change = fc.record({ what: fc.constantFrom('store', 'delete', 'lose'), key })
    const step = fc.record({ changes: fc.array(change), meanwhile: fc.array(change), looked: fc.array(key) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 6 }), async (steps, looks) => {
        const disk = new Disk()
        const keys = new StoredKeys({ store: disk, most: 4, looks })
        const apply = async (changes: readonly { what: string; key: string }[]) => {
          for (const { what, key: each } of changes) {
            if (what === 'delete') keys.forget()
            if (what === 'store') disk.here.add(each)
            else disk.here.delete(each)
            await undefined
            if (what === 'store') keys.add([each])
            else if (what === 'delete') keys.forget()
            else keys.missed([each])
          }
        }
        for (const { changes, meanwhile, looked } of steps) {
          disk.meanwhile = () => apply(meanwhile)
          await apply(changes)
          await keys.look(looked)
          disk.meanwhile = async () => {}
          const wanted = ['a', 'b', 'c', 'd', 'e']
          expect(await keys.look(wanted)).toEqual(wanted.map((each) => disk.here.has(each)))
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
