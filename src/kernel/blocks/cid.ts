// CIDs as text (base32, version 1, sha2-256) and the digests inside them. Pure; hashing itself is a port.
import { CID } from 'multiformats/cid'
import { create as multihash } from 'multiformats/hashes/digest'
import { toHex } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { type Kid, kidFromHex } from '../../base/ids.ts'
import type { Hasher } from '../../ports/crypto.ts'

export const RAW = 0x55
export const DAG_PB = 0x70
const SHA2_256 = 0x12

export type Codec = typeof RAW | typeof DAG_PB

/** A CIDv1 in base32. */
export type CidText = string

export async function cidOf(hasher: Hasher, codec: Codec, bytes: Uint8Array): Promise<CID> {
  return CID.createV1(codec, multihash(SHA2_256, await hasher.sha256(bytes)))
}

/** @throws {OsError} EINVAL for what is not a CIDv1 of raw or dag-pb with sha2-256. */
export function parseCid(text: CidText): CID {
  try {
    return checkedCid(CID.parse(text))
  } catch (error) {
    if (error instanceof OsError) throw error
    throw new OsError('EINVAL', `'${text.slice(0, 80)}' is not a CID`, { cause: error })
  }
}

/** The same of one that is parsed. @throws {OsError} EINVAL. */
export function checkedCid(cid: CID): CID {
  const known = cid.code === RAW || cid.code === DAG_PB
  if (cid.version !== 1 || !known || cid.multihash.code !== SHA2_256 || cid.multihash.digest.byteLength !== 32) {
    throw new OsError('EINVAL', `CID ${cid} is not version 1, raw or dag-pb, sha2-256`)
  }
  return cid
}

/** How all CIDs of raw blocks begin: version 1, raw, sha2-256 are 30 of the bits that six characters stand for. */
const RAW_PREFIX = 'bafkrei'

/** Whether a CID that this kernel keeps is of a leaf, or a file of one; parsing it would take a hundred times as long. */
export function isRawCid(text: CidText): boolean {
  return text.startsWith(RAW_PREFIX)
}

/** True for the CIDs of blocks that this kernel keeps. */
export function isStoredCid(text: CidText): boolean {
  try {
    parseCid(text)
    return true
  } catch (error) {
    if (error instanceof OsError) return false
    throw error
  }
}

export function kidOfCid(cid: CID): Kid {
  return kidFromHex(toHex(cid.multihash.digest))
}
