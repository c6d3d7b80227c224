import { afterEach, describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../base/bytes.ts'
import { clockContract } from '../../ports/clock.contract.ts'
import { systemClock } from './clock.ts'
import { deviceId } from './device.ts'
import { missingPageApis, missingWorkerApis } from './features.ts'
import { systemHasher } from './hasher.ts'
import { ringLog } from './logsink.ts'
import { systemRandom } from './random.ts'
import { claimSlot, type SlotClaim, slotLockName } from './slots.ts'

clockContract('the system clock', () => ({
  clock: systemClock(),
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}))

describe('randomness', () => {
  it('gives as many bytes as asked for, also more than WebCrypto does at once', () => {
    const random = systemRandom()
    expect(random.bytes(0).byteLength).toBe(0)
    const many = random.bytes(200_000)
    expect(many.byteLength).toBe(200_000)
    expect(new Set(many.subarray(-1000)).size).toBeGreaterThan(100)
    expect(random.bytes(16)).not.toEqual(random.bytes(16))
  })

  it('gives numbers in [0, 1)', () => {
    const random = systemRandom()
    for (let i = 0; i < 100; i++) expect(random.float()).toSatisfy((x: number) => x >= 0 && x < 1)
  })
})

describe('hashing', () => {
  it('is SHA-256, of a view only', async () => {
    const data = utf8('xabcx').subarray(1, 4)
    expect(toHex(await systemHasher().sha256(data))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })
})

describe('the log', () => {
  const silent = { warn: () => {}, error: () => {} }

  it('keeps the last lines, oldest first', () => {
    const log = ringLog({ capacity: 3, nowMs: () => 5, console: silent })
    expect(log.lines()).toEqual([])
    for (let i = 0; i < 5; i++) log.log('info', 'test', `line ${i}`, { i })
    expect(log.lines().map(({ message }) => message)).toEqual(['line 2', 'line 3', 'line 4'])
    expect(log.lines()[0]).toEqual({ atMs: 5, level: 'info', area: 'test', message: 'line 2', fields: { i: 2 } })
  })

  it('shows warnings and errors on the console, and nothing else', () => {
    const shown: string[] = []
    const log = ringLog({
      console: { warn: (text) => shown.push(`w ${text}`), error: (text) => shown.push(`e ${text}`) },
    })
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log.log(level, 'area', level)
    expect(shown).toEqual(['w [area] warn', 'e [area] error'])
  })
})

describe('slots', () => {
  const claims: SlotClaim[] = []
  const claim = async (options: Parameters<typeof claimSlot>[0]) => {
    const made = await claimSlot(options)
    claims.push(made)
    return made
  }
  afterEach(async () => {
    for (const made of claims.splice(0)) made.release()
    const held = async () =>
      (await navigator.locks.query()).held?.filter(({ name }) => name?.startsWith('brittlestar-slot'))
    await expect.poll(held).toEqual([])
  })

  it('gives each tab the lowest free slot', async () => {
    const tabs = await Promise.all([1, 2, 3].map(() => claim({ preferred: null, reloaded: false })))
    expect(tabs.map(({ slot }) => slot).sort()).toEqual([0, 1, 2])
    const one = tabs.find(({ slot }) => slot === 1)
    one?.release()
    await expect.poll(async () => (await navigator.locks.query()).held?.length).toBe(2)
    expect((await claim({ preferred: null, reloaded: false })).slot).toBe(1)
  })

  it('gives a restored tab its slot back when it is free', async () => {
    expect((await claim({ preferred: 4, reloaded: false })).slot).toBe(4)
  })

  it('gives a duplicated tab another slot at once', async () => {
    const original = await claim({ preferred: null, reloaded: false })
    const copy = await claim({ preferred: original.slot, reloaded: false })
    expect(copy.slot).not.toBe(original.slot)
  })

  it('waits after a reload for the old worker to let go of the slot', async () => {
    const old = await claim({ preferred: 0, reloaded: false })
    const reloaded = claim({ preferred: 0, reloaded: true })
    await expect
      .poll(async () => (await navigator.locks.query()).pending?.some((l) => l.name === slotLockName(0)))
      .toBe(true)
    old.release()
    expect((await reloaded).slot).toBe(0)
  })

  it('takes another slot when the old worker never lets go', async () => {
    await claim({ preferred: 0, reloaded: false })
    expect((await claim({ preferred: 0, reloaded: true, waitMs: 50 })).slot).toBe(1)
  })

  it('ignores a preferred slot that is none', async () => {
    expect((await claim({ preferred: -1, reloaded: true })).slot).toBe(0)
    expect((await claim({ preferred: 1e9, reloaded: false })).slot).toBe(1)
  })
})

describe('the device id', () => {
  it('is the same for all who ask, also at once', async () => {
    const ids = await Promise.all([deviceId(), deviceId(), deviceId()])
    expect(new Set(ids).size).toBe(1)
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/)
    expect(await deviceId()).toBe(ids[0])
  })
})

describe('the feature check', () => {
  it('finds nothing missing in a current browser', () => {
    expect(missingPageApis()).toEqual([])
  })

  it('says that the page is not secure, and nothing that follows from it', () => {
    expect(missingPageApis({ isSecureContext: false })).toEqual([expect.stringContaining('https://')])
    expect(missingWorkerApis({ isSecureContext: false })).toEqual([expect.stringContaining('https://')])
  })

  it('names what is missing', () => {
    const { crypto, navigator, indexedDB, MessageChannel, structuredClone, WebSocket, fetch } = globalThis
    const scope = {
      isSecureContext: true,
      crypto,
      indexedDB,
      MessageChannel,
      Promise,
      structuredClone,
      WebSocket,
      fetch,
    }
    expect(missingWorkerApis({ ...scope, navigator })).toEqual([])
    expect(missingWorkerApis({ ...scope, navigator: { storage: navigator.storage } })).toEqual(['Web Locks'])
    expect(missingPageApis({ ...scope, navigator })).toContain('WebRTC')
  })
})
