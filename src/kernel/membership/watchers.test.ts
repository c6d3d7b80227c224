import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { NodeId } from '../../base/ids.ts'
import { watchersOf } from './watchers.ts'

const id = (name: string) => name as NodeId
const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 40 })

it('the watchers of a node are its neighbours on the ring', () => {
  expect([...watchersOf(id('b'), ['a', 'd', 'c'].map(id), 2)]).toEqual(['a', 'c'])
  expect([...watchersOf(id('d'), ['c', 'a', 'b'].map(id), 2)]).toEqual(['c', 'a'])
  expect([...watchersOf(id('b'), ['a', 'e', 'd', 'c'].map(id), 3)]).toEqual(['a', 'c', 'd'])
  expect([...watchersOf(id('a'), [], 2)]).toEqual([])
})

it('in a full mesh two nodes watch each other or neither the other', () => {
  fc.assert(
    fc.property(ids, (names) => {
      const watches = (one: string, other: string) => {
        const peers = names.filter((name) => name !== one).map(id)
        return watchersOf(id(one), peers, 2).has(id(other))
      }
      for (const one of names) for (const other of names) expect(watches(one, other)).toBe(watches(other, one))
    }),
  )
})

it('in a full mesh everybody has as many watchers as there can be, and watches as many', () => {
  fc.assert(
    fc.property(ids, fc.integer({ min: 1, max: 5 }), (names, count) => {
      const watched = new Map<NodeId, number>()
      const expected = Math.min(count, names.length - 1)
      for (const self of names.map(id)) {
        const peers = names.map(id).filter((peer) => peer !== self)
        const watchers = watchersOf(self, peers, count)
        expect(watchers.size).toBe(expected)
        expect(watchers.has(self)).toBe(false)
        for (const watcher of watchers) watched.set(watcher, (watched.get(watcher) ?? 0) + 1)
      }
      for (const times of watched.values()) expect(times).toBe(expected)
    }),
  )
})
