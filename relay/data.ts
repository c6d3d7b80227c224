// The data folder: the relay's peer key (its identity), its own certificate, what the witness remembers
// (witness-store.ts). Nothing else is kept on disk.
import { accessSync, constants, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { OsError } from '../src/base/errors.ts'

/** Where this system keeps an application's data of one user. */
export function defaultDataFolder(env = process.env, platform = process.platform): string {
  const home = homedir()
  if (platform === 'win32') return join(env['LOCALAPPDATA'] ?? join(home, 'AppData', 'Local'), 'brittlestar')
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'brittlestar')
  return join(env['XDG_DATA_HOME'] || join(home, '.local', 'share'), 'brittlestar')
}

/** Makes sure that the folder exists and can be read and written. @throws {OsError} EACCES */
export function openDataFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!statSync(folder).isDirectory()) throw new OsError('EACCES', 'it is not a folder')
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    writePrivate(join(folder, '.writable'), '')
  } catch (cause) {
    throw new OsError('EACCES', `cannot use the data folder ${folder}: ${reason(cause)}`, { cause })
  }
}

/**
 * The relay's identity: read, or made at the first start.
 * @param made it was, just now: nobody knows it yet.
 * @throws {OsError} EIO when the file is no such key.
 */
export async function loadPeerKey(folder: string): Promise<{ key: PrivateKey; made: boolean }> {
  const file = join(folder, 'peer.key')
  const stored = readIfThere(file)
  if (!stored) return { key: await makePeerKey(file), made: true }
  try {
    const key = privateKeyFromProtobuf(stored)
    if (key.type !== 'Ed25519') throw new OsError('EIO', `it holds a key of type ${key.type}`)
    return { key, made: false }
  } catch (cause) {
    // Never replaced silently: tabs, bookmarks and other relays know this one by its key.
    throw new OsError('EIO', `cannot read the peer key ${file}: move it away to get a new identity`, { cause })
  }
}

/** Another identity in place of the one that is there, which is kept beside it. */
export async function replacePeerKey(folder: string): Promise<PrivateKey> {
  const file = join(folder, 'peer.key')
  renameSync(file, `${file}.old`)
  return makePeerKey(file)
}

async function makePeerKey(file: string): Promise<PrivateKey> {
  const made = await generateKeyPair('Ed25519')
  writePrivate(file, privateKeyToProtobuf(made))
  return made
}

/** @throws {OsError} EACCES */
export function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new OsError('EACCES', `cannot read ${file}: ${reason(cause)}`, { cause })
  }
}

/** Whole or not at all, and for this user alone. */
export function writePrivate(file: string, content: string | Uint8Array): void {
  const temporary = `${file}.${process.pid}.new`
  writeFileSync(temporary, content, { mode: 0o600 })
  renameSync(temporary, file)
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

const REASONS: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EEXIST: 'it is not a folder',
  EISDIR: 'it is a folder',
  ENOENT: 'it does not exist',
  ENOTDIR: 'it is not a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the disk is read-only',
}

/** Why a file operation failed, in words. */
export function reason(error: unknown): string {
  if (error instanceof OsError) return error.message
  return REASONS[codeOf(error) ?? ''] ?? (error instanceof Error ? error.message : String(error))
}
