// Identifiers and their text forms. Everything else treats them as opaque strings.

declare const brand: unique symbol

/** A node: the libp2p peer id of one tab's slot, e.g. `12D3KooW…`. */
export type NodeId = string & { readonly [brand]: 'NodeId' }
/** A browser profile: every tab of it is one failure domain. 32 hex digits. */
export type DeviceId = string & { readonly [brand]: 'DeviceId' }
/**
 * A kernel identifier: `K-` and the 64 hex digits of a sha2-256 digest. For immutable data the digest is
 * that of its CIDv1; for a process or a tree it is that of its genesis record.
 */
export type Kid = string & { readonly [brand]: 'Kid' }

const KID = /^K-[0-9a-f]{64}$/
const KID_PREFIX = /^K-[0-9a-f]{4,64}$/

export function isKid(text: string): text is Kid {
  return KID.test(text)
}

/** True for what a user may type: `K-` and at least four hex digits. */
export function isKidPrefix(text: string): boolean {
  return KID_PREFIX.test(text)
}

export function kidFromHex(digestHex: string): Kid {
  return `K-${digestHex}` as Kid
}

/** `K-0123abcd`: what people read. */
export function shortKid(kid: string): string {
  return kid.slice(0, 10)
}

/** The tail of a node id, which is where ed25519 peer ids differ. */
export function shortNode(id: string): string {
  return id.slice(-8)
}
