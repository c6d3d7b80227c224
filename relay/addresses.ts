// Addresses: which ones this machine has, and which multiaddr leads back here for whoever asks.
import type { IncomingMessage } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { multiaddr } from '@multiformats/multiaddr'
import { OsError } from '../src/base/errors.ts'

/** Where a request was sent, as its sender sees it. */
export interface Origin {
  /** An IP address without brackets, or a name. */
  host: string
  port: number
  secure: boolean
}

const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})?(\.[a-z0-9_]([a-z0-9_-]{0,62})?)*\.?$/i

/** `host`, `host:port`, `[::1]:port` → parts, or undefined when it is none of them. */
export function parseHostHeader(header: string): { host: string; port: number | undefined } | undefined {
  const match = /^(?:\[([0-9a-f:.]{2,45})\]|([^:[\]]{1,253}))(?::(\d{1,5}))?$/i.exec(header)
  if (!match) return undefined
  const host = (match[1] ?? match[2] ?? '').toLowerCase()
  const port = match[3] === undefined ? undefined : Number(match[3])
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined
  if (match[1] === undefined ? !isIPv4(host) && !NAME.test(host) : isIP(host) !== 6) return undefined
  return { host, port }
}

/** The origin that a request's sender used; falls back to the socket's own address when its Host is unusable. */
export function originOf(request: IncomingMessage, secure: boolean): Origin {
  const { localAddress = '127.0.0.1', localPort = 0 } = request.socket
  const proxied = forwarded(request)
  const isSecure = proxied.proto === undefined ? secure : proxied.proto === 'https'
  const asked = parseHostHeader(proxied.host ?? request.headers.host ?? '')
  if (!asked) return { host: plainAddress(localAddress), port: localPort, secure }
  return { host: asked.host, port: asked.port ?? (isSecure ? 443 : 80), secure: isSecure }
}

/** The address that counts against per-address limits. */
export function clientAddress(request: IncomingMessage): string {
  return forwarded(request).client ?? plainAddress(request.socket.remoteAddress ?? '')
}

/** What a reverse proxy on this machine says about its client. Anybody else could claim anything. */
function forwarded(request: IncomingMessage): { client?: string; proto?: string; host?: string } {
  if (!isLoopback(plainAddress(request.socket.remoteAddress ?? ''))) return {}
  const last = (name: string) =>
    String(request.headers[name] ?? '')
      .split(',')
      .at(-1)
      ?.trim() || undefined
  const client = last('x-forwarded-for')
  const proto = last('x-forwarded-proto')
  const host = last('x-forwarded-host')
  return {
    ...(client !== undefined && isIP(client) ? { client } : {}),
    ...(proto === 'https' || proto === 'http' ? { proto } : {}),
    ...(host !== undefined ? { host } : {}),
  }
}

/** A browser's certificate exception holds for one host name: behind TLS the address must repeat it exactly. */
export function multiaddrOf({ host, port, secure }: Origin): string {
  const family = isIPv4(host) ? 'ip4' : isIP(host) ? 'ip6' : 'dns4'
  return `/${family}/${host.replace(/\.$/, '')}/tcp/${port}${secure ? '/tls' : ''}/ws`
}

export function urlOf({ host, port, secure }: Origin): string {
  const name = isIP(host) === 6 ? `[${host}]` : host
  return `${secure ? 'https' : 'http'}://${name}${port === (secure ? 443 : 80) ? '' : `:${port}`}/`
}

/** `--announce` takes a WebSocket multiaddr or the URL of the page. @throws {OsError} EINVAL */
export function parseAnnounce(text: string): string {
  if (!text.startsWith('/')) {
    if (!URL.canParse(text)) throw new OsError('EINVAL', `"${text}" is neither a multiaddr nor a URL`)
    const { protocol, hostname, port, pathname, search, hash, username } = new URL(text)
    if (!/^(https?|wss?):$/.test(protocol)) throw new OsError('EINVAL', `"${text}" must be http, https, ws or wss`)
    if (!/^\/?$/.test(pathname) || search !== '' || hash !== '' || username !== '') {
      // The page and the tabs ask for /relay.json and open their WebSocket at the root.
      throw new OsError('EINVAL', `"${text}" must end behind its host and port: a relay has no path`)
    }
    const secure = protocol === 'https:' || protocol === 'wss:'
    const host = hostname.replace(/^\[|\]$/g, '')
    return multiaddrOf({ host, port: port === '' ? (secure ? 443 : 80) : Number(port), secure })
  }
  if (!/\/(ws|wss)(\/p2p\/[^/]+)?$/.test(text)) {
    throw new OsError('EINVAL', `"${text}" is not a WebSocket multiaddr such as /dns4/example.org/tcp/443/tls/ws`)
  }
  try {
    return multiaddr(text.replace(/\/p2p\/[^/]+$/, '')).toString()
  } catch (cause) {
    throw new OsError('EINVAL', `"${text}" is not a multiaddr`, { cause })
  }
}

/** `::ffff:10.0.0.1` → `10.0.0.1`; zones are dropped. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127\./.test(host)
}

export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Virtual networks of containers and machines: other laptops are not there. */
const VIRTUAL = /^(docker|veth|br-|virbr|vmnet|vboxnet|utun|tun|tap|wg|tailscale|zt|llw|awdl)/

/** This machine's addresses that others may reach, the likeliest first. Link-local ones are of no use in a URL. */
export function lanAddresses(interfaces = networkInterfaces()): string[] {
  const found: { address: string; rank: number }[] = []
  for (const [name, entries = []] of Object.entries(interfaces)) {
    for (const { address, family, internal } of entries) {
      if (internal || /^(fe80:|169\.254\.)/i.test(address)) continue
      const rank = (family === 'IPv4' ? 0 : 10) + (VIRTUAL.test(name) ? 5 : 0) + networkRank(address)
      found.push({ address, rank })
    }
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ address }) => address)
}

function networkRank(address: string): number {
  if (/^192\.168\./.test(address)) return 0
  if (/^10\./.test(address)) return 1
  if (/^172\.(1[6-9]|2\d|3[01])\./.test(address)) return 2
  return 3
}
