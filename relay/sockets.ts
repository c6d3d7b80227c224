// The TCP connections of the one port: what each is used for, what it carried, and its deadline for a request.
// front.ts accepts them and tells this; nothing here reads or writes them.
import type { Socket } from 'node:net'
import type { Sample } from './metrics.ts'

export type Use = 'http' | 'websocket'
const uses = ['http', 'websocket'] as const
const directions = ['in', 'out'] as const

export interface Tracked {
  readonly socket: Socket
  use: Use
  deadline: NodeJS.Timeout | undefined
}

/** The parts of a socket that a TLS socket shares with the plain one below it. */
type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>

export class Sockets {
  readonly #open = new Map<string, Tracked>()
  readonly #bytes = { http: { in: 0, out: 0 }, websocket: { in: 0, out: 0 } }
  readonly #requestMs: number
  readonly #onLate: (socket: Socket) => void

  /** @param onLate called for a socket that did not come up with a whole request within `requestMs`. */
  constructor(requestMs: number, onLate: (socket: Socket) => void) {
    this.#requestMs = requestMs
    this.#onLate = onLate
  }

  add(socket: Socket): void {
    const key = keyOf(socket)
    const tracked: Tracked = { socket, use: 'http', deadline: undefined }
    this.#open.set(key, tracked)
    this.expectRequest(tracked)
    socket.once('close', () => {
      clearTimeout(tracked.deadline)
      tracked.deadline = undefined
      this.#book(tracked, 1)
      if (this.#open.get(key) === tracked) this.#open.delete(key)
    })
  }

  /** The tracked connection below a request's socket, which may be a TLS socket on top of it. */
  find(socket: Ends): Tracked | undefined {
    return this.#open.get(keyOf(socket))
  }

  expectRequest(tracked: Tracked): void {
    clearTimeout(tracked.deadline)
    tracked.deadline = setTimeout(() => this.#onLate(tracked.socket), this.#requestMs).unref()
  }

  gotRequest(tracked: Tracked): void {
    clearTimeout(tracked.deadline)
    tracked.deadline = undefined
  }

  becameWebSocket(tracked: Tracked): void {
    this.#book(tracked, 1)
    tracked.use = 'websocket'
    this.#book(tracked, -1)
  }

  destroyAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }

  counts(): Sample[] {
    const counts = { http: 0, websocket: 0 }
    for (const { use } of this.#open.values()) counts[use]++
    return uses.map((use) => ({ labels: { use }, value: counts[use] }))
  }

  traffic(): Sample[] {
    const total = { http: { ...this.#bytes.http }, websocket: { ...this.#bytes.websocket } }
    for (const { socket, use } of this.#open.values()) {
      total[use].in += socket.bytesRead
      total[use].out += socket.bytesWritten
    }
    return uses.flatMap((use) =>
      directions.map((direction) => ({ labels: { use, direction }, value: total[use][direction] })),
    )
  }

  #book({ socket, use }: Tracked, sign: 1 | -1): void {
    this.#bytes[use].in += sign * socket.bytesRead
    this.#bytes[use].out += sign * socket.bytesWritten
  }
}

function keyOf({ remoteAddress, remotePort, localAddress }: Ends): string {
  return `${remoteAddress}|${remotePort}|${localAddress}`
}
