import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import * as otherKeys from './other-keys.ts'

describe('keys of other kinds', () => {
  it('are replaced by name, as the library imports them', () => {
    const path = createRequire(import.meta.url).resolve('@libp2p/crypto/keys')
    const imports = [...readFileSync(path, 'utf8').matchAll(/import \{([^}]+)\} from "\.\/(\w+)\/utils\.js"/g)]
    const others = imports.filter(([, , kind]) => kind !== 'ed25519')
    expect(others.map(([, , kind]) => kind).sort()).toEqual(['ecdsa', 'rsa', 'secp256k1'])
    const names = others.flatMap(([, list = '']) => list.split(',').map((name) => name.trim()))
    expect(Object.keys(otherKeys).sort()).toEqual(names.sort())
  })

  it('are refused', () => {
    expect(() => otherKeys.unmarshalSecp256k1PublicKey()).toThrow('Ed25519')
  })
})
