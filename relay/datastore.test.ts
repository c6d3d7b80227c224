import { expect, test } from 'vitest'
import { BoundedDatastore } from './datastore.ts'

type Key = Parameters<BoundedDatastore['put']>[0]
const key = (text: string) => ({ toString: () => text }) as Key
const store = (bytes: number) => new BoundedDatastore({ recordsTotalBytes: bytes, peersTotalBytes: bytes })

test('what is put is got, replaced and deleted, and what is not there is reported by name', () => {
  const data = store(10_000)
  data.put(key('/peers/a'), new Uint8Array([1]))
  data.put(key('/peers/a'), new Uint8Array([2]))
  expect(data.get(key('/peers/a'))).toEqual(new Uint8Array([2]))
  data.delete(key('/peers/a'))
  expect(data.has(key('/peers/a'))).toBe(false)
  expect(() => data.get(key('/peers/a'))).toThrow(expect.objectContaining({ name: 'NotFoundError' }))
})

test('the records written longest ago go first, and a flood of them costs no peers', () => {
  const data = store(10_000)
  data.put(key('/peers/a'), new Uint8Array(10))
  for (let i = 0; i < 100; i++) data.put(key(`/dht/record/${i}`), new Uint8Array(1_000))
  expect(data.records).toBe(8)
  expect(data.has(key('/dht/record/91'))).toBe(false)
  expect(data.has(key('/dht/record/92'))).toBe(true)
  expect(data.has(key('/peers/a'))).toBe(true)
})

test('queries filter by prefix, order and cut', () => {
  const data = store(10_000)
  for (const name of ['/dht/b', '/dht/a', '/peers/c', '/dht/d']) data.put(key(name), Buffer.from(name))
  const order = (a: { key: Key }, b: { key: Key }) => (a.key.toString() < b.key.toString() ? -1 : 1)
  const found = [...data.query({ prefix: '/dht/', orders: [order], offset: 1, limit: 1 })]
  expect(found.map((pair) => pair.key.toString())).toEqual(['/dht/b'])
  const filters = [(name: Key) => name.toString() !== '/dht/a']
  expect([...data.queryKeys({ prefix: '/dht/', filters })].map(String)).toEqual(['/dht/b', '/dht/d'])
})

test('a batch is applied by commit, in order', () => {
  const data = store(10_000)
  const batch = data.batch()
  batch.put(key('/a'), new Uint8Array(1))
  batch.delete(key('/a'))
  batch.put(key('/b'), new Uint8Array(1))
  expect(data.has(key('/b'))).toBe(false)
  batch.commit()
  expect([data.has(key('/a')), data.has(key('/b'))]).toEqual([false, true])
})
