// What the beginning of a KID in /keg stands for.
import { expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import { codeOf } from '../cluster.contract.ts'
import { versionAt } from './keg-mount.ts'

const kid = (begin: string) => `K-${begin.padEnd(64, '0')}` as Kid
const signal = new AbortController().signal

/** @param roots of versions of `/`. @param mounted kegs. */
function at(text: string, roots: readonly Kid[], mounted: readonly Kid[]) {
  const find = async (version: string) => {
    const root = roots.find((each) => each.startsWith(version))
    if (!root) throw new OsError('ENOENT', 'no such version')
    return { root, atMs: 1 }
  }
  const kegs = { names: [] as Kid[], view: async (keg: Kid) => ({ root: `root of ${keg}` }) }
  const mounts = { named: async (prefix: string) => mounted.filter((keg) => keg.startsWith(prefix)) }
  const past = { root: { find }, of: async () => ({ find: async (version: string) => ({ root: version, atMs: 2 }) }) }
  return versionAt({ kegs, mounts, past } as never, text, signal)
}

it('is the one version of / or the one keg that begins so', async () => {
  expect(await at('K-aaaa', [kid('aaaa1')], [kid('bbbb1')])).toEqual({ root: kid('aaaa1'), atMs: 1 })
  expect(await at('K-bbbb', [kid('aaaa1')], [kid('bbbb1')])).toEqual({ root: `root of ${kid('bbbb1')}`, atMs: 0 })
  expect(await at('K-bbbb@good', [kid('bbbb2')], [kid('bbbb1')])).toEqual({ root: 'good', atMs: 2 })
  expect(await codeOf(at('K-cccc', [kid('aaaa1')], [kid('bbbb1')]))).toBe('ENOENT')
})

it('is nothing where several begin so', async () => {
  expect(await codeOf(at('K-bbbb', [], [kid('bbbb1'), kid('bbbb2')]))).toBe('EINVAL')
  expect(await codeOf(at('K-bbbb', [kid('bbbb3')], [kid('bbbb1')]))).toBe('EINVAL')
  expect(await at('K-bbbb1', [kid('bbbb3')], [kid('bbbb1')])).toEqual({ root: `root of ${kid('bbbb1')}`, atMs: 0 })
})
