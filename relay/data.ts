// The data folder: the relay's peer key (its identity), its own certificate, what the witness remembers
// (witness-store.ts). Nothing else is kept on disk.
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
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
    makeFolder(resolve(folder))
    if (!statSync(folder).isDirectory()) throw new OsError('EACCES', 'it is not a folder')
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    writePrivate(join(folder, '.writable'), '')
  } catch (cause) {
    throw new OsError('EACCES', `cannot use the data folder ${folder}: ${reason(cause)}`, { cause })
  }
}

/** Parent by parent: node's own recursion never ends where a folder that is there takes no others (/proc). */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  const parent = dirname(folder)
  if (parent !== folder) makeFolder(parent)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new OsError('EACCES', `no folder can be made in ${parent}`, { cause })
    if (codeOf(cause) !== 'EEXIST') throw cause // made meanwhile, or a link that leads nowhere: it is looked at next
  }
}

/**
 * The relay's identity.
 * @returns undefined when there is none yet.
 * @throws {OsError} EIO when the file is no such key.
 */
export function readPeerKey(folder: string): PrivateKey | undefined {
  const file = peerKeyFile(folder)
  const stored = readIfThere(file)
  if (!stored) return undefined
  try {
    const key = privateKeyFromProtobuf(stored)
    if (key.type !== 'Ed25519') throw new OsError('EIO', `it holds a key of type ${key.type}`)
    return key
  } catch (cause) {
    // Never replaced silently: tabs, bookmarks and other relays know this one by its key.
    throw new OsError('EIO', `cannot read the peer key ${file}: move it away to get a new identity`, { cause })
  }
}

export function makePeerKey(): Promise<PrivateKey> {
  return generateKeyPair('Ed25519')
}

/** From now on the identity of this folder. One that is there already is kept beside it. @throws {OsError} EACCES */
export function keepPeerKey(folder: string, key: PrivateKey): void {
  const file = peerKeyFile(folder)
  try {
    if (existsSync(file)) renameSync(file, `${file}.old`)
    writePrivate(file, privateKeyToProtobuf(key))
  } catch (cause) {
    throw new OsError('EACCES', `cannot write ${file}: ${reason(cause)}`, { cause })
  }
}

function peerKeyFile(folder: string): string {
  return join(folder, 'peer.key')
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
