// The device id: one per browser profile, since all of its tabs fail together. Made once, by whichever tab is first.
import { createStore, get, promisifyRequest } from 'idb-keyval'
import { toHex } from '../../base/bytes.ts'
import { toOsError } from '../../base/errors.ts'
import type { DeviceId } from '../../base/ids.ts'

const NAME = 'brittlestar-device'
const DEVICE_ID = /^[0-9a-f]{32}$/

/** @throws {OsError} EIO when the browser refuses storage, ENOSPC when it is full. */
export async function deviceId(): Promise<DeviceId> {
  const store = createStore(NAME, NAME)
  try {
    const known: unknown = await get('id', store)
    if (isDeviceId(known)) return known
    return await navigator.locks.request(NAME, async () => {
      const other: unknown = await get('id', store) // another tab was faster
      if (isDeviceId(other)) return other
      const fresh = toHex(crypto.getRandomValues(new Uint8Array(16))) as DeviceId
      await store('readwrite', (objects) => {
        objects.put(fresh, 'id')
        return promisifyRequest(objects.transaction)
      })
      return fresh
    })
  } catch (error) {
    throw toOsError(error)
  }
}

function isDeviceId(value: unknown): value is DeviceId {
  return typeof value === 'string' && DEVICE_ID.test(value)
}
