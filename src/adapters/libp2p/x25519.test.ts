import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { x25519 as theirs } from '@noble/curves/ed25519.js'
import { describe, expect, it } from 'vitest'
import { x25519 as ours } from './x25519.ts'

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))

describe('X25519 without Ed25519', () => {
  it('computes what RFC 7748 does (section 6.1)', () => {
    const alice = hex('77076d0a7318a57d3c16c17251b26645df1af8c5a3f3d0d1d3cd6c2a8d3f4d6f')
    const bob = hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')
    expect(ours.getPublicKey(bob)).toEqual(theirs.getPublicKey(bob))
    expect(ours.getSharedSecret(alice, ours.getPublicKey(bob))).toEqual(
      ours.getSharedSecret(bob, ours.getPublicKey(alice)),
    )
    const scalar = hex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4')
    const u = hex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')
    expect(ours.getSharedSecret(scalar, u)).toEqual(
      hex('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552'),
    )
  })

  it('agrees with the library about random keys', () => {
    for (let i = 0; i < 25; i++) {
      const [mine, other] = [ours.utils.randomSecretKey(), theirs.utils.randomSecretKey()]
      const publicKey = theirs.getPublicKey(other)
      expect(ours.getPublicKey(mine)).toEqual(theirs.getPublicKey(mine))
      expect(ours.getSharedSecret(mine, publicKey)).toEqual(theirs.getSharedSecret(mine, publicKey))
    }
  })

  it('refuses points of small order, and what is no key', () => {
    const mine = ours.utils.randomSecretKey()
    for (const bytes of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), new Uint8Array(31)])
      expect(() => ours.getSharedSecret(mine, bytes)).toThrow()
  })

  it('is all that noise imports of the module', () => {
    const noise = join(dirname(createRequire(import.meta.url).resolve('@libp2p/noise')), 'crypto')
    const imports = ['js.js', 'index.js', 'index.browser.js'].flatMap((name) => {
      const source = readFileSync(join(noise, name), 'utf8')
      return [...source.matchAll(/import \{([^}]+)\} from '@noble\/curves\/ed25519\.js'/g)].map(([, names]) =>
        names?.trim(),
      )
    })
    expect(new Set(imports)).toEqual(new Set(['x25519']))
  })
})
