// The one port: looks at a connection's first byte and hands it to the https or the http server, whose requests
// go to http.ts and whose WebSocket upgrades go through the gate to libp2p (transport.ts).
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps, type Server as HttpsServer } from 'node:https'
import { createServer, isIP, type Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { OsError } from '../src/base/errors.ts'
import { clientAddress } from './addresses.ts'
import { codeOf, reason } from './data.ts'
import { Gate } from './gate.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'
import type { Counter, Metrics } from './metrics.ts'
import { Sockets } from './sockets.ts'
import type { TlsMaterial } from './tls.ts'

export interface FrontOptions {
  maxPeers: number
  limits: Limits
  log: Log
  metrics: Metrics
  onRequest: (request: IncomingMessage, response: ServerResponse, secure: boolean) => void
}

/** Takes an admitted WebSocket upgrade. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

const TLS_HANDSHAKE = 0x16
const PRUNE_MS = 60_000
const refusals = ['sockets', 'total', 'address', 'rate', 'draining', 'headers', 'malformed'] as const

export class Front {
  readonly #options: FrontOptions
  readonly #server: NetServer
  readonly #http: Server
  readonly #https: HttpsServer
  readonly #gate: Gate
  readonly #sockets: Sockets
  readonly #refused: Counter
  readonly #pruning: NodeJS.Timeout
  #upgrade: UpgradeHandler | undefined
  #draining = false

  constructor(options: FrontOptions) {
    this.#options = options
    const { limits, maxPeers, metrics, log } = options
    this.#gate = new Gate({ maxPeers, limits })
    this.#sockets = new Sockets(limits.requestMs, (socket) => {
      log.debug('no request in time', { address: socket.remoteAddress })
      socket.destroy()
    })
    this.#http = createHttp()
    this.#https = createHttps()
    this.#prepare(this.#http, false)
    this.#prepare(this.#https, true)
    const keepAlive = { keepAlive: true, keepAliveInitialDelay: limits.tcpKeepAliveMs }
    this.#server = createServer({ pauseOnConnect: true, noDelay: true, ...keepAlive })
    this.#server.maxConnections = maxPeers + limits.extraSockets
    this.#server.on('connection', (socket) => this.#accept(socket))
    this.#server.on('drop', () => this.#refused.add({ reason: 'sockets' }))
    const reasons = refusals.map((name) => ({ reason: name }))
    this.#refused = metrics.counter(
      'brittlestar_refused_total',
      'Connections and requests refused, by reason.',
      reasons,
    )
    metrics.gauge('brittlestar_connections', 'WebSockets of tabs open now.', () => this.#gate.open)
    metrics.gauge('brittlestar_sockets', 'TCP connections open now, by use.', () => this.#sockets.counts())
    metrics.observedCounter('brittlestar_bytes_total', 'Bytes over the port, by use and direction.', () =>
      this.#sockets.traffic(),
    )
    this.#pruning = setInterval(() => this.#gate.prune(), PRUNE_MS).unref()
  }

  /** Opens the port; upgrades are refused until `onUpgrade`. @returns the port. @throws {OsError} EBUSY, EINVAL, EACCES */
  async listen(host: string, port: number): Promise<number> {
    try {
      return await this.#listen(host, port)
    } catch (error) {
      // A system without IPv6: its IPv4 addresses are all there is.
      if (host === '::' && codeOf(error) === 'EAFNOSUPPORT') return this.listen('0.0.0.0', port)
      throw listenError(error, host, port)
    }
  }

  #listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => this.#options.log.error('the listening socket failed', { error }))
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  onUpgrade(handler: UpgradeHandler): void {
    this.#upgrade = handler
  }

  /** Before the first call TLS handshakes fail. */
  setTls({ cert, key }: TlsMaterial): void {
    this.#https.setSecureContext({ cert, key })
  }

  /** Stops accepting; what is open goes on. */
  drain(): void {
    if (this.#draining) return
    this.#draining = true
    clearInterval(this.#pruning)
    this.#server.close()
  }

  /** Ends everything. Idempotent. */
  close(): void {
    this.drain()
    this.#sockets.destroyAll()
  }

  #prepare(server: Server | HttpsServer, secure: boolean): void {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const tracked = this.#sockets.find(request.socket)
      if (tracked) this.#sockets.gotRequest(tracked)
      response.on('close', () => {
        if (tracked && !tracked.socket.destroyed) this.#sockets.expectRequest(tracked)
      })
      if (this.#draining) response.setHeader('connection', 'close')
      this.#options.onRequest(request, response, secure)
    })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#admit(request, socket, head)
    })
    server.on('clientError', (error: Error, socket: Duplex) => {
      this.#options.log.debug('bad request', { error })
      // Only what arrived as HTTP is answered so; a failed TLS handshake ends up here as well.
      if (!codeOf(error)?.startsWith('HPE_')) return void socket.destroy()
      const tooLarge = codeOf(error) === 'HPE_HEADER_OVERFLOW'
      this.#refused.add({ reason: tooLarge ? 'headers' : 'malformed' })
      answer(socket, tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request')
    })
    server.timeout = this.#options.limits.httpIdleMs
    // Node enforces its own deadlines only for sockets from its own listen(): sockets.ts does it here.
    server.headersTimeout = 0
    server.requestTimeout = 0
  }

  #accept(socket: Socket): void {
    socket.on('error', (error) => this.#options.log.debug('socket error', { error }))
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    const dispatch = () => {
      const first: Buffer | null = socket.read(1)
      if (first) {
        socket.unshift(first)
        const server = first[0] === TLS_HANDSHAKE ? this.#https : this.#http
        server.emit('connection', socket)
      } else if (!socket.destroyed && !socket.readableEnded) {
        socket.once('readable', dispatch)
      }
    }
    dispatch()
  }

  #admit(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', (error) => this.#options.log.debug('WebSocket error', { error }))
    const tracked = this.#sockets.find(request.socket)
    if (tracked) this.#sockets.gotRequest(tracked)
    const address = clientAddress(request)
    const result = this.#draining || !this.#upgrade ? 'draining' : this.#gate.enter(address)
    if (typeof result === 'string') {
      this.#refused.add({ reason: result })
      this.#options.log.debug('WebSocket refused', { reason: result, address })
      const status = result === 'rate' || result === 'address' ? '429 Too Many Requests' : '503 Service Unavailable'
      answer(socket, status, 'Retry-After: 5\r\n')
      return
    }
    socket.once('close', result)
    if (socket.destroyed) result()
    if (tracked) this.#sockets.becameWebSocket(tracked)
    request.socket.setTimeout(0)
    this.#options.log.debug('WebSocket opened', { address, open: this.#gate.open })
    this.#upgrade?.(request, socket, head)
  }
}

/** @param headers for refusals that a later attempt may not meet: when to try again. */
function answer(socket: Duplex, status: string, headers = ''): void {
  if (!socket.writable) return void socket.destroy()
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}Content-Length: 0\r\n\r\n`)
}

function listenError(error: unknown, host: string, port: number): OsError {
  const cause = { cause: error }
  const where = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new OsError('EBUSY', `port ${port} is in use: choose another with --port`, cause)
    case 'EACCES':
      return new OsError('EACCES', `may not listen on port ${port}: choose one above 1023 with --port`, cause)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAFNOSUPPORT':
      return new OsError('EINVAL', `cannot listen on ${where}: --host is no address of this computer`, cause)
    default:
      return new OsError('EIO', `cannot listen on ${where}: ${reason(error)}`, cause)
  }
}
