import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { concat, utf8 } from '../base/bytes.ts'
import { type TarEntry, tar, tarSize } from './tar.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'brittlestar-tar-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string, mode = 0o644): TarEntry => {
  const bytes = utf8(text)
  const read = async function* () {
    yield bytes
  }
  return { name, kind: 'file', size: bytes.byteLength, mode, mtimeMs: 1_700_000_000_999, read }
}
const directory = (name: string): TarEntry => ({ name, kind: 'directory', size: 0, mode: 0o755, mtimeMs: 5_000 })
const link = (name: string, target: string): TarEntry => {
  return { name, kind: 'symlink', size: target.length, mode: 0o777, mtimeMs: 0, target }
}

async function extract(entries: TarEntry[]): Promise<void> {
  const parts: Uint8Array[] = []
  for await (const part of tar(entries)) parts.push(part)
  const bytes = concat(parts)
  expect(bytes.byteLength).toBe(tarSize(entries))
  expect(bytes.byteLength % 512).toBe(0)
  writeFileSync(join(folder, 'a.tar'), bytes)
  execFileSync('tar', ['-xf', 'a.tar'], { cwd: folder })
}
const text = (name: string) => readFileSync(join(folder, name), 'utf8')

describe('a tar archive is read by tar(1)', () => {
  it('with files of all sizes, directories, links, modes and times', async () => {
    const block = 'x'.repeat(512)
    await extract([
      directory('d'),
      directory('d/empty'),
      file('d/a', 'hello\n'),
      file('d/none', ''),
      file('d/block', block),
      file('d/more', `${block}y`, 0o400),
      link('d/l', 'a'),
    ])
    expect(text('d/a')).toBe('hello\n')
    expect(text('d/l')).toBe('hello\n')
    expect(text('d/none')).toBe('')
    expect(text('d/block')).toBe(block)
    expect(text('d/more')).toBe(`${block}y`)
    expect(statSync(join(folder, 'd/more')).mode & 0o777).toBe(0o400)
    expect(statSync(join(folder, 'd/a')).mtimeMs).toBe(1_700_000_000_000)
    expect(statSync(join(folder, 'd/empty')).isDirectory()).toBe(true)
  })

  it('with names and targets that are long or of any language', async () => {
    const long = 'n'.repeat(255)
    const names = ['ünïcödé ☂', `${'a'.repeat(60)}/${'b'.repeat(60)}`, long, 'x'.repeat(100), 'x'.repeat(101), '日本']
    await extract([
      directory('a'.repeat(60)),
      ...names.map((name) => file(name, `of ${name}`)),
      link('far', long),
      directory('é'.repeat(90)),
    ])
    for (const name of names) expect(text(name)).toBe(`of ${name}`)
    expect(readlinkSync(join(folder, 'far'))).toBe(long)
    expect(statSync(join(folder, 'é'.repeat(90))).isDirectory()).toBe(true)
  })

  it('and is a valid one when there is nothing in it', async () => {
    await extract([])
  })
})
