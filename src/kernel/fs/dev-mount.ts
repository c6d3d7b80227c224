// /dev: null, zero, full and random, as everywhere.
import { OsError } from '../../base/errors.ts'
import type { Random } from '../../ports/random.ts'
import type { DirectoryEntry } from '../../syscalls/types.ts'
import { BLOCK_BYTES } from '../limits.ts'
import type { Mount } from './fs.ts'
import { type Handle, type ReadBytes, streamReader } from './handles.ts'

interface Device {
  read: ReadBytes
  write: Handle['write']
}

export function devMount(random: Random): Mount {
  const full = async (): Promise<never> => {
    throw new OsError('ENOSPC', '/dev/full is always full')
  }
  const swallow = async (bytes: Uint8Array): Promise<number> => bytes.byteLength
  const devices = new Map<string, Device>([
    ['full', { read: async (_offset, length) => zeros(length), write: full }],
    ['null', { read: async () => new Uint8Array(0), write: swallow }],
    ['random', { read: async (_offset, length) => bytesOf(random, length), write: swallow }],
    ['urandom', { read: async (_offset, length) => bytesOf(random, length), write: swallow }],
    ['zero', { read: async (_offset, length) => zeros(length), write: swallow }],
  ])
  const file = { kind: 'stream' as const, size: 0, mtimeMs: 0, mode: 0o666 }
  const open = async ([name = '']: readonly string[]): Promise<Handle> => {
    const { read, write } = devices.get(name) as Device
    return { ...streamReader(read), write, resize: async (size) => size }
  }
  return {
    async stat(names) {
      if (names.length === 0) return { kind: 'directory', size: 0, mtimeMs: 0, mode: 0o555 }
      return names.length === 1 && devices.has(names[0] as string) ? file : undefined
    },
    list: async () => [...devices.keys()].map((name): DirectoryEntry => ({ ...file, name })),
    open,
    write: open,
  }
}

function zeros(length: number): Uint8Array {
  return new Uint8Array(Math.min(length, BLOCK_BYTES))
}

function bytesOf(random: Random, length: number): Uint8Array {
  return random.bytes(Math.min(length, BLOCK_BYTES))
}
