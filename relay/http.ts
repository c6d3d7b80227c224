// Answers to http requests: the page, /relay.json, /healthz, /metrics, and the goodbyes of pages that are closed.
// front.ts owns the sockets.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Origin, originOf } from './addresses.ts'
import type { IceServer } from './flags.ts'
import type { Log } from './log.ts'
import { type Metrics, metricsContentType } from './metrics.ts'
import type { StaticFiles } from './static.ts'

/** What /relay.json tells a page; src/adapters/libp2p reads it. */
export interface RelayInfo {
  v: 1
  cluster: string
  peerId: string
  /** Where the asker reaches this relay's WebSocket, the likeliest first. */
  multiaddrs: string[]
  iceServers: IceServer[]
  /** The page on a secure origin that other computers reach, or null when there is none. */
  secureUrl: string | null
  version: string
}

export interface HttpOptions {
  files: StaticFiles
  metrics: Metrics
  log: Log
  /** Undefined while the relay starts. */
  relayInfo: (origin: Origin) => RelayInfo | undefined
  isHealthy: () => boolean
  /** @returns whether a tab of that secret is, or was just now, here. */
  goodbye: (secret: string) => boolean
}

type Handler = (request: IncomingMessage, response: ServerResponse, secure: boolean) => void

const text = 'text/plain; charset=utf-8'
/** A beacon: browsers send it for a page that is gone already. Its body is not read. */
const goodbyePath = '/goodbye/'
// No Content-Security-Policy: sandbox frames made with srcdoc would inherit it, and the page sets their own.
const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
  'referrer-policy': 'no-referrer',
}

export function createHandler(options: HttpOptions): Handler {
  const { metrics, log } = options
  const answered = metrics.counter('brittlestar_http_requests_total', 'HTTP requests answered, by status.')
  const endpoints: Record<string, Handler> = {
    '/relay.json': (request, response, secure) => {
      response.setHeader('access-control-allow-origin', '*')
      const info = options.relayInfo(originOf(request, secure))
      if (info) send(response, 200, 'application/json; charset=utf-8', JSON.stringify(info))
      else send(response, 503, text, 'starting\n')
    },
    '/healthz': (_request, response) => {
      const healthy = options.isHealthy()
      send(response, healthy ? 200 : 503, text, healthy ? 'ok\n' : 'not ready\n')
    },
    '/metrics': (_request, response) => send(response, 200, metricsContentType, metrics.render()),
  }
  return (request, response, secure) => {
    response.on('finish', () => answered.add({ status: String(response.statusCode) }))
    response.on('error', (error) => log.debug('response failed', { error }))
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value)
    toOriginForm(request)
    if (request.method === 'POST' && request.url?.startsWith(goodbyePath)) {
      response.setHeader('connection', 'close')
      const known = options.goodbye(request.url.slice(goodbyePath.length))
      if (known) response.writeHead(204).end()
      else send(response, 404, text, 'nobody with this secret is here\n')
      return
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      // What such a request goes on to send is not read.
      response.setHeader('allow', 'GET, HEAD')
      response.setHeader('connection', 'close')
      send(response, 405, text, 'only GET and HEAD\n')
      return
    }
    const path = pathOf(request.url ?? '')
    const endpoint = path !== undefined && Object.hasOwn(endpoints, path) ? endpoints[path] : undefined
    if (endpoint) endpoint(request, response, secure)
    else servePage(options, path, request, response)
  }
}

function servePage(
  { files, log }: HttpOptions,
  path: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
) {
  if (path === undefined) {
    send(response, 400, text, 'bad path\n')
    return
  }
  files.serve(path, request, response).then(
    (found) => {
      if (!found) send(response, 404, text, 'not found\n')
    },
    (error) => {
      log.error('cannot answer a request', { path, error })
      if (!response.headersSent) send(response, 500, text, 'internal error\n')
      else response.destroy()
    },
  )
}

/** `GET http://host/path`, as to a proxy: its host counts, not that of the header (RFC 9112, 3.2.2). */
function toOriginForm(request: IncomingMessage): void {
  const [, host, rest = ''] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(request.url ?? '') ?? []
  if (host === undefined) return
  request.headers.host = host
  request.url = rest.startsWith('/') ? rest : `/${rest}`
}

/** The decoded path without its query; undefined when it is malformed. */
function pathOf(target: string): string | undefined {
  const path = target.replace(/[?#].*$/s, '')
  if (!path.startsWith('/')) return undefined
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** Answers that change with every request: never kept. */
function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.setHeader('content-type', type)
  response.setHeader('cache-control', 'no-store')
  response.setHeader('content-length', Buffer.byteLength(body))
  response.writeHead(status).end(response.req.method === 'HEAD' ? undefined : body)
}
