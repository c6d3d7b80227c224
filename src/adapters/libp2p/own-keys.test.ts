import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { describe, expect, it } from 'vitest'
import { owned, utf8 } from '../../base/bytes.ts'
import * as ownKeys from './own-keys.ts'

describe('Ed25519 in libp2p', () => {
  it('is replaced by name, as the library uses it', () => {
    const keys = dirname(createRequire(import.meta.url).resolve('@libp2p/crypto/keys'))
    const used = ['ed25519.js', 'utils.js'].flatMap((name) => {
      const source = readFileSync(join(keys, 'ed25519', name), 'utf8')
      expect(source).toContain('import * as crypto from "./index.js"')
      return [...source.matchAll(/\bcrypto\.(\w+)/g)].map(([, property]) => property as string)
    })
    const [, imported = ''] = /import \{([^}]+)\} from "\.\/ed25519\/index\.js"/.exec(
      readFileSync(join(keys, 'index.js'), 'utf8'),
    ) as RegExpExecArray
    for (const part of imported.split(',')) used.push(part.trim().split(' as ')[0] as string)
    expect(Object.keys(ownKeys).sort()).toEqual([...new Set(used)].sort())
  })

  it('signs and verifies as the library does', async () => {
    const key = await generateKeyPair('Ed25519')
    const { raw, publicKey } = key
    const message = utf8('a record')
    expect(ownKeys.privateKeyLength).toBe(raw.byteLength)
    expect(ownKeys.publicKeyLength).toBe(publicKey.raw.byteLength)
    expect(await publicKey.verify(message, await ownKeys.hashAndSign(raw, message))).toBe(true)
    const signature = owned(await key.sign(message))
    expect(await ownKeys.hashAndVerify(publicKey.raw, signature, { subarray: () => message })).toBe(true)
    expect(await ownKeys.hashAndVerify(publicKey.raw, signature, utf8('another'))).toBe(false)
    expect(await ownKeys.hashAndVerify(publicKey.raw, signature.subarray(1), message)).toBe(false)
  })

  it('makes no keys: a node makes its own', () => {
    expect(() => ownKeys.generateKey()).toThrow('a node makes its own')
  })
})
