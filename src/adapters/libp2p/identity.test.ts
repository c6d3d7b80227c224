import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'

const random = { bytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)), float: () => 0.5 }
const message = utf8('a record')

describe.each([{ engine: 'WebCrypto' }, { engine: '@noble/curves, where WebCrypto lacks Ed25519' }])(
  'an identity made with $engine',
  ({ engine }) => {
    let identities: typeof import('./identity.ts')

    beforeEach(async () => {
      vi.resetModules()
      if (engine !== 'WebCrypto') {
        const refuse = () => Promise.reject(new DOMException('no Ed25519', 'NotSupportedError'))
        vi.spyOn(crypto.subtle, 'importKey').mockImplementationOnce(refuse)
      }
      identities = await import('./identity.ts')
    })
    afterEach(() => vi.restoreAllMocks())

    test('has the peer id that libp2p derives from its key', async () => {
      const { nodeId, privateKeyBytes } = await identities.createIdentity(random)
      expect(nodeId).toBe(peerIdFromPrivateKey(privateKeyFromProtobuf(privateKeyBytes)).toString())
      expect(identities.isNodeId(nodeId)).toBe(true)
    })

    test('is the same after it was stored and loaded', async () => {
      const made = await identities.createIdentity(random)
      const loaded = await identities.loadIdentity(made.privateKeyBytes)
      expect(loaded.nodeId).toBe(made.nodeId)
      expect(loaded.privateKeyBytes).toEqual(made.privateKeyBytes)
      const signature = await loaded.signer.sign(message)
      expect(await made.signer.verify(made.nodeId, message, signature)).toBe(true)
    })

    test('loads a key that libp2p made, and libp2p accepts its signatures', async () => {
      const key = await generateKeyPair('Ed25519')
      const { signer } = await identities.loadIdentity(privateKeyToProtobuf(key))
      expect(await key.publicKey.verify(message, await signer.sign(message))).toBe(true)
    })

    test('refuses a signature that is wrong in any way, and never throws for bad input', async () => {
      const [one, two] = [await identities.createIdentity(random), await identities.createIdentity(random)]
      const signature = await one.signer.sign(message)
      const { verify } = two.signer
      expect(await verify(one.nodeId, message, signature)).toBe(true)
      expect(await verify(two.nodeId, message, signature)).toBe(false)
      expect(await verify(one.nodeId, utf8('another'), signature)).toBe(false)
      expect(await verify(one.nodeId, message, signature.slice(1))).toBe(false)
      expect(await verify(one.nodeId, message, new Uint8Array(0))).toBe(false)
      for (const id of ['', 'nobody', `${one.nodeId}x`, one.nodeId.slice(0, -1), `12D3KooW${'1'.repeat(44)}`]) {
        expect(await verify(id as NodeId, message, signature)).toBe(false)
      }
    })

    test('cannot be loaded from other bytes', async () => {
      const { privateKeyBytes } = await identities.createIdentity(random)
      const other = await identities.createIdentity(random)
      const mixed = new Uint8Array([...privateKeyBytes.subarray(0, 36), ...other.privateKeyBytes.subarray(36)])
      for (const bytes of [new Uint8Array(0), privateKeyBytes.subarray(1), mixed]) {
        await expect(identities.loadIdentity(bytes)).rejects.toMatchObject({ code: 'EINVAL' })
      }
    })
  },
)
