// Folders as tar archives: what `get` gives to this device. POSIX ustar, with extended headers for what that has no room
// for. Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html ; read by tar(1) in tar.test.ts.
import { utf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import type { FileKind } from '../syscalls/types.ts'

export interface TarEntry {
  /** Relative, without a slash at its end. */
  name: string
  kind: FileKind
  size: number
  mode: number
  mtimeMs: number
  /** Of a symbolic link. */
  target?: string | undefined
  /** Of a file: `size` bytes, of which more are cut off. */
  read?(): AsyncIterable<Uint8Array>
}

const BLOCK = 512
const TYPES = { file: '0', symlink: '2', directory: '5', stream: '0' } as const
/** What fits eleven octal digits. */
const MOST_SIZE = 8 ** 11 - 1

/** Bytes of the whole archive. */
export function tarSize(entries: readonly TarEntry[]): number {
  return entries.reduce((sum, entry) => sum + head(entry).byteLength + padded(sizeOf(entry)), 2 * BLOCK)
}

/** @throws {OsError} EIO for a file that is shorter than it was. */
export async function* tar(entries: Iterable<TarEntry> | AsyncIterable<TarEntry>): AsyncGenerator<Uint8Array> {
  for await (const entry of entries) {
    yield head(entry)
    const size = sizeOf(entry)
    if (size === 0 || !entry.read) continue
    let left = size
    for await (const piece of entry.read()) {
      if (piece.byteLength > 0 && left > 0) yield piece.subarray(0, left)
      left -= piece.byteLength
    }
    // Its header has told a size, which cannot be taken back.
    if (left > 0) throw new OsError('EIO', `${entry.name} has become shorter while it was read`)
    if (size % BLOCK !== 0) yield new Uint8Array(BLOCK - (size % BLOCK))
  }
  yield new Uint8Array(2 * BLOCK)
}

function sizeOf({ kind, size }: TarEntry): number {
  return kind === 'file' ? size : 0
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK
}

/** One header, with one before it that tells what is too long for it. */
function head(entry: TarEntry): Uint8Array {
  const name = entry.kind === 'directory' ? `${entry.name}/` : entry.name
  const { target = '' } = entry
  const size = sizeOf(entry)
  const extra = [
    ...(fits(name) ? [] : [record('path', name)]),
    ...(fits(target) ? [] : [record('linkpath', target)]),
    ...(size > MOST_SIZE ? [record('size', String(size))] : []),
  ]
  const own = header({ ...entry, name, target, size: Math.min(size, MOST_SIZE) }, TYPES[entry.kind])
  if (extra.length === 0) return own
  const records = utf8(extra.join(''))
  const before = { name: 'extended', target: '', size: records.byteLength, mode: 0o644, mtimeMs: entry.mtimeMs }
  const all = new Uint8Array(2 * BLOCK + padded(records.byteLength))
  all.set(header(before, 'x'))
  all.set(records, BLOCK)
  all.set(own, BLOCK + padded(records.byteLength))
  return all
}

/** A name of plain characters and at most 100 bytes needs no record. */
function fits(text: string): boolean {
  return text.length <= 100 && /^[\x20-\x7e]*$/.test(text)
}

/** `length key=value`, where the length counts itself. */
function record(key: string, value: string): string {
  const rest = utf8(` ${key}=${value}\n`).byteLength
  let length = rest
  while (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

function header(entry: Pick<TarEntry, 'name' | 'size' | 'mode' | 'mtimeMs'> & { target: string }, type: string) {
  const bytes = new Uint8Array(BLOCK)
  const put = (at: number, text: string, length: number) => bytes.set(utf8(text).subarray(0, length), at)
  const octal = (at: number, value: number, digits: number) =>
    put(at, `${value.toString(8).padStart(digits, '0')}`, digits)
  put(0, entry.name, 100)
  octal(100, entry.mode & 0o7777, 7)
  octal(108, 0, 7)
  octal(116, 0, 7)
  octal(124, entry.size, 11)
  octal(136, Math.max(0, Math.floor(entry.mtimeMs / 1000)), 11)
  put(148, '        ', 8)
  put(156, type, 1)
  put(157, entry.target, 100)
  put(257, 'ustar\x0000', 8)
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `, 8)
  return bytes
}
