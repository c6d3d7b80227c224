// libp2p's WebSocket transport behind the front's port. The library's listener insists on a port of its own: it gets
// an ephemeral one on loopback, real sockets are handed to it as upgrades, and whoever dials that port directly is
// turned away (isAdmitted, asked by relay.ts's connection gater).
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Listener, MultiaddrConnection, Transport } from '@libp2p/interface'
import { type WebSocketsComponents, webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { assert } from '../src/base/assert.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'

export const loopbackListen = '/ip4/127.0.0.1/tcp/0/ws'

/** What is used of the library's listener (@libp2p/websockets 10) beyond its declared type. */
interface UpgradeListener extends Listener {
  onWsServerConnection(webSocket: NodeJS.EventEmitter, request: IncomingMessage): void
  wsServer: {
    options: { maxPayload: number }
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      done: (webSocket: NodeJS.EventEmitter) => void,
    ): void
  }
}

export class FrontTransport {
  readonly #limits: Limits
  readonly #log: Log
  readonly #admitted = new Set<string>()
  #listener: UpgradeListener | undefined

  constructor(limits: Limits, log: Log) {
    this.#limits = limits
    this.#log = log
  }

  /** For libp2p's `transports`. */
  readonly factory = (components: WebSocketsComponents): Transport => {
    const transport = webSockets({ maxBufferedAmount: this.#limits.streamBufferBytes })(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options) => {
      const listener = createListener(options)
      assert(isUpgradeListener(listener), '@libp2p/websockets changed: its listener takes no upgrades any more')
      listener.wsServer.options.maxPayload = this.#limits.webSocketMessageBytes
      this.#listener = listener
      return listener
    }
    return transport
  }

  /** Gives an upgrade request to libp2p. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { remoteAddress, remotePort } = request.socket
    if (!this.#listener || remoteAddress === undefined || remotePort === undefined) {
      socket.destroy()
      return
    }
    const key = keyOf(remoteAddress, remotePort)
    this.#admitted.add(key)
    socket.once('close', () => this.#admitted.delete(key))
    const listener = this.#listener
    listener.wsServer.handleUpgrade(request, socket, head, (webSocket) => {
      // The library listens for no errors: one malformed frame from anybody would end the whole process.
      webSocket.on('error', (error) => this.#log.debug('WebSocket protocol error', { error }))
      listener.onWsServerConnection(webSocket, request)
    })
  }

  isAdmitted(connection: MultiaddrConnection): boolean {
    return this.#admitted.has(connection.remoteAddr.toString())
  }
}

function isUpgradeListener(listener: Listener): listener is UpgradeListener {
  const { onWsServerConnection, wsServer } = listener as Partial<UpgradeListener>
  const parts = [onWsServerConnection, wsServer?.handleUpgrade]
  return parts.every((part) => typeof part === 'function') && typeof wsServer?.options?.maxPayload === 'number'
}

/** As the library's listener writes a remote address. */
function keyOf(address: string, port: number): string {
  return multiaddr(`/${address.includes(':') ? 'ip6' : 'ip4'}/${address}/tcp/${port}/ws`).toString()
}
