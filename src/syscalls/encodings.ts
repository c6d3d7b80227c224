// Text as bytes and bytes as text, in the encodings that node:fs names; and whatever may be written, as bytes. Above:
// fs.ts, fs-handle.ts. Pure.
import { type Bytes, fromHex, fromUtf8, toHex, utf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'

/** As node names them, in upper case too; `binary` is latin1. */
export type Encoding = 'utf8' | 'utf-8' | 'latin1' | 'binary' | 'ascii' | 'hex' | 'base64' | 'base64url'

/** Text, or bytes in whatever view: of a typed array with longer elements, its memory. */
export type Content = string | ArrayBufferView | ArrayBuffer

interface Codec {
  bytes(text: string): Bytes
  text(bytes: Uint8Array): string
}

/** More arguments than that in one call are too many for some browser's stack. */
const CHARACTERS = 8192

function characters(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += CHARACTERS) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHARACTERS))
  }
  return text
}

function lowBytes(text: string): Bytes {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** As node: in both alphabets, and whatever else is in between is passed over; padding is the end. */
function fromBase64(text: string): Bytes {
  const plain = text
    .replace(/=.*/s, '')
    .replaceAll('-', '+')
    .replaceAll('_', '/')
    .replace(/[^\w+/]/g, '')
  return lowBytes(atob(plain.length % 4 === 1 ? plain.slice(0, -1) : plain))
}

/** As node: up to the first that is no digit. */
function untilNoHex(text: string): Bytes {
  const end = text.search(/[^0-9a-f]/i)
  const digits = end < 0 ? text.length : end
  return fromHex(text.slice(0, digits - (digits % 2)).toLowerCase()) as Bytes
}

const unicode: Codec = { bytes: utf8, text: fromUtf8 }
const latin1: Codec = { bytes: lowBytes, text: characters }
const base64 = { bytes: fromBase64, text: (bytes: Uint8Array) => btoa(characters(bytes)) }

const CODECS = new Map<string, Codec>(
  Object.entries({
    utf8: unicode,
    'utf-8': unicode,
    latin1,
    binary: latin1,
    ascii: { bytes: lowBytes, text: (bytes) => characters(bytes.map((byte) => byte & 127)) },
    hex: { bytes: untilNoHex, text: toHex },
    base64,
    base64url: {
      bytes: fromBase64,
      text: (bytes) => base64.text(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
    },
  } satisfies Record<Encoding, Codec>),
)

function codec(encoding: string): Codec {
  const found = CODECS.get(`${encoding}`.toLowerCase())
  if (found) return found
  const known = [...CODECS.keys()].join(', ')
  throw new OsError('EINVAL', `the encoding '${encoding}' is not one of ${known}: read or write bytes instead`)
}

/** @throws {OsError} EINVAL for another encoding. */
export function textOf(bytes: Uint8Array, encoding: string): string {
  return codec(encoding).text(bytes)
}

/** The bytes of what is written, not copied where it has some. @throws {OsError} EINVAL for what has none. */
export function bytesOf(content: Content, encoding: string | null | undefined): Uint8Array {
  const { bytes } = codec(encoding ?? 'utf8')
  if (typeof content === 'string') return bytes(content)
  if (content instanceof Uint8Array) return content
  if (ArrayBuffer.isView(content)) return new Uint8Array(content.buffer, content.byteOffset, content.byteLength)
  if (content instanceof ArrayBuffer) return new Uint8Array(content)
  const what = content === null ? 'null' : typeof content
  throw new OsError('EINVAL', `the content is ${what}: give text, a typed array, a DataView or an ArrayBuffer`)
}
