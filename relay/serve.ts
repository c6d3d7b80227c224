// Puts the relay together: data folder, certificate, page, port, libp2p. main.ts starts and stops it.
import { readFileSync } from 'node:fs'
import { memoryUsage, uptime, versions } from 'node:process'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { isLoopback, isWildcard, lanAddresses, multiaddrOf, type Origin, urlOf } from './addresses.ts'
import { bannerText } from './banner.ts'
import { keepPeerKey, makePeerKey, openDataFolder, readPeerKey } from './data.ts'
import type { RelayOptions } from './flags.ts'
import { Front } from './front.ts'
import { createHandler, type RelayInfo } from './http.ts'
import type { Limits } from './limits.ts'
import { lockDataFolder } from './lock.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { type RelayNode, startRelayNode } from './relay.ts'
import { StaticFiles } from './static.ts'
import { publicName, selfSignedTls, type TlsSource, tlsFromFiles } from './tls.ts'
import { WitnessStore } from './witness-store.ts'

export const version: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version

export interface ServeOptions {
  options: RelayOptions
  /** The built page. */
  pageFolder: string
  limits: Limits
  log: Log
}

export interface Server {
  port: number
  peerId: string
  /** The page on this computer. */
  localUrl: string
  banner(): string
  /** Closes streams and connections, for at most `limits.drainMs`. Idempotent. */
  close(): Promise<void>
}

/** @throws {OsError} with one sentence for the user when it cannot start as asked. */
export async function serve({ options, pageFolder, limits, log }: ServeOptions): Promise<Server> {
  openDataFolder(options.data)
  const unlock = lockDataFolder(options.data)
  try {
    return await serveLocked({ options, pageFolder, limits, log }, unlock)
  } catch (error) {
    unlock()
    throw error
  }
}

/** @param unlock gives the data folder back: called when it is closed. */
async function serveLocked({ options, pageFolder, limits, log }: ServeOptions, unlock: () => void): Promise<Server> {
  const files = new StaticFiles(pageFolder)
  const { key, witnessStore } = await openIdentity(options.data, log)
  const metrics = new Metrics()
  let running: { node: RelayNode; reach: Reach } | undefined
  let draining = false
  const onRequest = createHandler({
    files,
    metrics,
    log,
    relayInfo: (origin) => running && relayInfo({ origin, options, reach: running.reach, peerId: running.node.peerId }),
    goodbye: (secret) => running?.node.goodbye(secret) ?? false,
    isHealthy: () => running !== undefined && !draining,
  })
  const front = new Front({ maxPeers: options.maxPeers, limits, log, metrics, onRequest })
  try {
    // First of all: the likeliest reason not to start is that the port is taken.
    const port = await front.listen(options.host, options.port)
    const tls = await openTls(options, log)
    front.setTls(tls.current)
    const reach = new Reach(options, tls, port)
    const { cluster, maxPeers } = options
    const node = await startRelayNode({
      key,
      cluster,
      announce: reach.announced(),
      maxPeers,
      version,
      limits,
      log,
      metrics,
      witnessStore,
    })
    front.onUpgrade(node.upgrade)
    running = { node, reach }
    files.warm()
    processMetrics(metrics)
    const watching = watchTls(tls, front, limits, log)
    log.info('relay started', { port, host: options.host, peerId: node.peerId, cluster, version })
    const close = async () => {
      draining = true
      clearInterval(watching)
      front.drain()
      await within(limits.drainMs, node.close())
      front.close()
      unlock()
      log.info('relay stopped')
    }
    let closing: Promise<void> | undefined
    return {
      port,
      peerId: node.peerId,
      localUrl: reach.localUrl(),
      banner: () => {
        const urls = { localUrl: reach.localUrl(), secureUrl: reach.secureUrl() }
        return bannerText({ version, cluster, selfSigned: tls.current.selfSigned, ...urls })
      },
      close: () => {
        closing ??= close()
        return closing
      },
    }
  } catch (error) {
    front.close()
    await witnessStore.close()
    throw error
  }
}

/** Who this relay is. One that has lost what it promised as a witness must not go on under the same name. */
async function openIdentity(folder: string, log: Log): Promise<{ key: PrivateKey; witnessStore: WitnessStore }> {
  const stored = readPeerKey(folder)
  const before = stored && peerIdOf(stored)
  if (before && !WitnessStore.forgot(folder, before)) {
    return { key: stored, witnessStore: await WitnessStore.open(folder, before) }
  }
  const key = await makePeerKey()
  const peerId = peerIdOf(key)
  // Before the key: a start that fails between the two, or later, leaves no key without its promises.
  const witnessStore = await WitnessStore.open(folder, peerId)
  keepPeerKey(folder, key)
  const why = 'what this relay has promised as a witness is not in its data folder'
  if (before) log.warn(`${why}: it takes a new identity`, { before, peerId })
  return { key, witnessStore }
}

function peerIdOf(key: PrivateKey): string {
  return peerIdFromPrivateKey(key).toString()
}

/** Resolves with `work`, or after so long without it. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}

function openTls({ tlsCert, tlsKey, data }: RelayOptions, log: Log): Promise<TlsSource> | TlsSource {
  if (tlsCert !== undefined && tlsKey !== undefined) return tlsFromFiles(tlsCert, tlsKey, log)
  return selfSignedTls({ folder: data, log })
}

/** The URLs and multiaddrs under which this relay is reached. */
class Reach {
  readonly #options: RelayOptions
  readonly #tls: TlsSource
  readonly #port: number

  constructor(options: RelayOptions, tls: TlsSource, port: number) {
    this.#options = options
    this.#tls = tls
    this.#port = port
  }

  localUrl(): string {
    const { host } = this.#options
    const name = isWildcard(host) || isLoopback(host) ? 'localhost' : host
    // One address only, and not loopback: there is no localhost to go to, and http is not secure there.
    return urlOf({ host: name, port: this.#port, secure: name !== 'localhost' })
  }

  /** The page for other computers. */
  secureUrl(): string | null {
    const host = this.#publicHost()
    return host === undefined ? null : urlOf({ host, port: this.#port, secure: true })
  }

  /** What tabs tell each other about the relay. They have their own connections: few and short ones do. */
  announced(): string[] {
    const { announce } = this.#options
    if (announce.length > 0) return announce
    const host = this.#publicHost()
    const lan = host === undefined ? [] : [multiaddrOf({ host, port: this.#port, secure: true })]
    return [multiaddrOf({ host: '127.0.0.1', port: this.#port, secure: false }), ...lan]
  }

  #publicHost(): string | undefined {
    const { host } = this.#options
    if (isLoopback(host)) return undefined
    const named = this.#tls.current.selfSigned ? undefined : publicName(this.#tls.current.cert)
    if (named !== undefined) return named
    if (!isWildcard(host)) return host
    return lanAddresses().find((address) => host === '::' || !address.includes(':'))
  }
}

interface RelayInfoInput {
  origin: Origin
  options: RelayOptions
  reach: Reach
  peerId: string
}

function relayInfo({ origin, options, reach, peerId }: RelayInfoInput): RelayInfo {
  // localhost may be ::1 or 127.0.0.1; without a certificate to match, the plain address is the sure one.
  const local = origin.host === 'localhost' && !origin.secure
  const asked = multiaddrOf(local ? { ...origin, host: options.host === '::1' ? '::1' : '127.0.0.1' } : origin)
  const multiaddrs = [...new Set([asked, ...options.announce])]
  const secureUrl = isLoopback(origin.host) ? reach.secureUrl() : secureTwin(origin)
  return {
    v: 1,
    cluster: options.cluster,
    peerId,
    multiaddrs: multiaddrs.map((address) => `${address}/p2p/${peerId}`),
    iceServers: options.iceServers,
    secureUrl,
    version,
  }
}

/** The https form of where somebody already is: the same port speaks both. */
function secureTwin(origin: Origin): string {
  return urlOf({ ...origin, secure: true })
}

function watchTls(tls: TlsSource, front: Front, limits: Limits, log: Log): NodeJS.Timeout {
  const check = async () => {
    try {
      const changed = await tls.refresh()
      if (!changed) return
      front.setTls(changed)
      log.info('using a new certificate')
    } catch (error) {
      log.error('cannot renew the certificate', { error })
    }
  }
  return setInterval(check, limits.tlsCheckMs).unref()
}

function processMetrics(metrics: Metrics): void {
  const labels = { version, node: versions.node }
  metrics.gauge('brittlestar_build_info', 'Constant 1, with the versions as labels.', () => [{ labels, value: 1 }])
  metrics.gauge('brittlestar_uptime_seconds', 'Since the process started.', () => Math.round(uptime()))
  metrics.gauge('process_resident_memory_bytes', 'Memory of the process.', () => memoryUsage().rss)
  metrics.gauge('process_heap_bytes', 'JavaScript heap in use.', () => memoryUsage().heapUsed)
}
