// What the DHT keeps without a network; with one: network.test.ts runs the contract.
import { describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { contractRules } from '../../ports/dht.contract.ts'
import { Libp2pDht } from './dht.ts'
import { DHT_RECORD_BYTES, DHT_VALUE_BYTES } from './limits.ts'

const quiet = { log: () => undefined }
const patience = () => ({ signal: AbortSignal.timeout(5_000) })

function makeDht(): Libp2pDht {
  const dht = new Libp2pDht({ log: quiet, namespaces: ['bs-peer'] })
  dht.setRules(contractRules)
  return dht
}

async function get(dht: Libp2pDht, key: string): Promise<string[]> {
  const values: string[] = []
  for await (const value of dht.get(key, patience())) values.push(fromUtf8(value))
  return values
}

describe('a DHT without a network', () => {
  test('keeps the newest of several values', async () => {
    const dht = makeDht()
    for (const text of ['1 a', '3 c', '2 b']) expect(await dht.put('/bs-peer/x', utf8(text), patience())).toBe(0)
    expect(await get(dht, '/bs-peer/x')).toEqual(['3 c'])
    expect(await get(dht, '/bs-peer/y')).toEqual([])
  })

  test('refuses other namespaces, and records or keys that are too large', async () => {
    const dht = makeDht()
    const put = (key: string, bytes: number) => dht.put(key, new Uint8Array(bytes).fill(49), patience())
    await expect(put('/other/x', 1)).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(put('bs-peer/x', 1)).rejects.toMatchObject({ code: 'EINVAL' })
    await expect(put('/bs-peer/x', DHT_VALUE_BYTES + 1)).rejects.toMatchObject({ code: 'EFBIG' })
    await expect(put(`/bs-peer/${'x'.repeat(300)}`, 1)).rejects.toMatchObject({ code: 'EFBIG' })
  })

  test('forgets what was written longest ago when its budget is used up', async () => {
    const dht = makeDht()
    const value = new Uint8Array(DHT_VALUE_BYTES).fill(49)
    const fits = Math.floor(DHT_RECORD_BYTES / DHT_VALUE_BYTES)
    for (let i = 0; i < fits; i++) await dht.put(`/bs-peer/${i}`, value, patience())
    expect(await get(dht, '/bs-peer/0')).toEqual([])
    expect(await get(dht, `/bs-peer/${fits - 1}`)).toHaveLength(1)
  })
})
