// The page: every file of dist/, read once at the start and served from memory. A request looks its path up in a
// table of known files, so no path can lead anywhere else, and a rebuild cannot mix two versions.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { OsError } from '../src/base/errors.ts'
import { codeOf, reason } from './data.ts'

const compressors = {
  br: (bytes: Buffer) => promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
  gzip: (bytes: Buffer) => promisify(gzip)(bytes, { level: 9 }),
}
type Encoding = keyof typeof compressors

const MIME: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml',
}
const COMPRESSIBLE = /^(text\/|application\/(json|wasm|xml|manifest)|image\/svg)/
/** Below this a compressed answer saves no packet. */
const COMPRESS_FROM_BYTES = 1_024

interface StaticFile {
  readonly bytes: Buffer
  readonly type: string
  readonly etag: string
  readonly cacheControl: string
  /** What the build has made, or else made at the first request for it and kept. */
  readonly encoded: Map<Encoding, Promise<Buffer>>
}

export class StaticFiles {
  readonly #files = new Map<string, StaticFile>()

  /** @throws {OsError} ENOENT when the folder is no built page. */
  constructor(folder: string) {
    for (const file of filesUnder(folder)) {
      const path = `/${relative(folder, file).split(sep).join('/')}`
      this.#files.set(path, load(file, path))
    }
    this.#useCompressed()
    const index = this.#files.get('/index.html')
    if (!index) throw new OsError('ENOENT', `cannot find the page: ${folder} has no index.html; "npm start" builds it`)
    this.#files.set('/', index)
  }

  /** What the build has compressed is no file of its own. */
  #useCompressed(): void {
    for (const [path, { bytes }] of this.#files) {
      const original = path.endsWith('.br') ? this.#files.get(path.slice(0, -'.br'.length)) : undefined
      if (!original) continue
      original.encoded.set('br', Promise.resolve(bytes))
      this.#files.delete(path)
    }
  }

  /** Compresses what the first visit asks for, so that it does not wait. */
  warm(): void {
    for (const [path, file] of this.#files) {
      if (path.endsWith('.map') || file.bytes.length < COMPRESS_FROM_BYTES) continue
      encoded(file, 'br').catch(() => undefined) // kept as it is: whoever asks for the file meets the error, and it is logged
    }
  }

  /** Answers a GET or HEAD for `path`. @returns false when there is no such file. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const file = this.#files.get(path)
    if (!file) return false
    response.setHeader('content-type', file.type)
    response.setHeader('cache-control', file.cacheControl)
    response.setHeader('vary', 'accept-encoding')
    response.setHeader('etag', file.etag)
    if (request.headers['if-none-match']?.includes(file.etag)) {
      response.writeHead(304).end()
      return true
    }
    const encoding = pickEncoding(request, file)
    const body = encoding ? await encoded(file, encoding) : file.bytes
    if (encoding) response.setHeader('content-encoding', encoding)
    response.setHeader('content-length', body.length)
    response.writeHead(200).end(request.method === 'HEAD' ? undefined : body)
    return true
  }
}

function load(file: string, path: string): StaticFile {
  const bytes = readFileSync(file)
  return {
    bytes,
    type: MIME[extname(path).toLowerCase()] ?? 'application/octet-stream',
    etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
    // Vite puts a hash of the content into the names of everything in assets/.
    cacheControl: path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    encoded: new Map(),
  }
}

/** Files that start with a dot (the build's stamp) are nobody's business. */
function* filesUnder(folder: string): Generator<string> {
  for (const entry of entriesOf(folder)) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesUnder(path)
    else if (entry.isFile()) yield path
  }
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (cause) {
    const hint = codeOf(cause) === 'ENOENT' ? '; "npm start" builds it' : ''
    throw new OsError('ENOENT', `cannot find the page in ${folder}: ${reason(cause)}${hint}`, { cause })
  }
}

function pickEncoding(request: IncomingMessage, { type, bytes }: StaticFile): Encoding | undefined {
  if (!COMPRESSIBLE.test(type) || bytes.length < COMPRESS_FROM_BYTES) return undefined
  const accepted = new Set(
    String(request.headers['accept-encoding'] ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => !/;\s*q=0(\.0*)?$/.test(part))
      .map((part) => part.replace(/;.*$/, '')),
  )
  return (['br', 'gzip'] as const).find((name) => accepted.has(name))
}

function encoded(file: StaticFile, encoding: Encoding): Promise<Buffer> {
  const kept = file.encoded.get(encoding)
  if (kept) return kept
  const making = compressors[encoding](file.bytes)
  file.encoded.set(encoding, making)
  return making
}
