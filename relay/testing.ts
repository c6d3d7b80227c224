// Helpers of the relay's tests: a relay in this process or in one of its own, and tabs played by libp2p in Node.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { decode, encode } from 'cborg'
import { createLibp2p } from 'libp2p'
import { lanAddresses } from './addresses.ts'
import { parseFlags, type RelayOptions } from './flags.ts'
import { type Limits, limits } from './limits.ts'
import { createLog } from './log.ts'
import { type RendezvousEvent, rendezvousProtocol } from './rendezvous.ts'
import { type Server, serve } from './serve.ts'

const PATIENCE_MS = 60_000
const MAIN = join(import.meta.dirname, 'main.ts')

/** Things to undo after a test, in reverse order. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = []

  add(step: () => unknown): void {
    this.#steps.push(step)
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step()
  }

  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'brittlestar-relay-'))
    this.add(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }
}

/** A page of four files; the scripts are large enough to be compressed, and one is already, to what tells it apart. */
export function pageFixture(cleanup: Cleanup): string {
  const folder = join(cleanup.folder(), 'dist')
  mkdirSync(join(folder, 'assets'), { recursive: true })
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Brittlestar</title>')
  writeFileSync(join(folder, 'assets/app-1a2b3c4d.js'), 'export const answer = 42\n'.repeat(500))
  writeFileSync(join(folder, 'assets/page-5e6f7a8b.js'), 'export const answer = 43\n'.repeat(500))
  writeFileSync(join(folder, 'assets/page-5e6f7a8b.js.br'), brotliCompressSync('compressed by the build'))
  writeFileSync(join(folder, 'task.wasm'), Buffer.from([0, 0x61, 0x73, 0x6d]))
  writeFileSync(join(folder, '.stamp'), 'secret')
  writeFileSync(join(folder, '..', 'brittlestar-outside.txt'), 'outside')
  return folder
}

export interface InProcess {
  flags?: readonly string[]
  limits?: Partial<Limits>
}

/** A relay inside the test's process, on a free port of all addresses. */
export async function startRelay(
  cleanup: Cleanup,
  { flags = [], limits: changed = {} }: InProcess = {},
): Promise<Server> {
  const argv = ['--port', '0', ...flags]
  const options = parseFlags(argv.includes('--data') ? argv : [...argv, '--data', cleanup.folder()], {})
  const server = await serve({
    options: options as RelayOptions,
    pageFolder: pageFixture(cleanup),
    limits: { ...limits, ...changed },
    log: createLog('error'),
  })
  cleanup.add(() => server.close())
  return server
}

export interface RelayProcess {
  child: ChildProcess
  stdout: () => string
  stderr: () => string
  exit: Promise<number>
}

/** The real command in a process of its own. */
export function spawnRelay(cleanup: Cleanup, flags: readonly string[], env: NodeJS.ProcessEnv = {}): RelayProcess {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BRITTLESTAR_')))
  const child = spawn(process.execPath, [MAIN, ...flags], {
    env: { ...clean, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const exit = new Promise<number>((resolve) =>
    child.on('close', (code, signal) => resolve(code ?? (signal ? 128 : 1))),
  )
  cleanup.add(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return { child, stdout: () => stdout, stderr: () => stderr, exit }
}

/** Resolves when the condition holds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
}

/** One request; `path` is sent as it is, and self-signed certificates are accepted unless `ca` is given. */
export function get(url: string, options: RequestOptions & { ca?: string } = {}): Promise<Answer> {
  const { protocol, hostname, port, pathname, search } = new URL(url)
  const where = { hostname: hostname.replace(/^\[|\]$/g, ''), port, path: pathname + search, agent: false as const }
  const send = protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const sent = send({ ...where, rejectUnauthorized: options.ca !== undefined, ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** This machine's first address that is not loopback, or undefined on a machine without a network. */
export function lanIPv4(): string | undefined {
  return lanAddresses().find((address) => !address.includes(':'))
}

/** The value of a metric line, e.g. `brittlestar_refused_total{reason="rate"}`. */
export async function metric(port: number, name: string): Promise<number> {
  const { body } = await get(`http://127.0.0.1:${port}/metrics`)
  const line = body
    .toString()
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name} `))
  return line === undefined ? Number.NaN : Number(line.slice(name.length + 1))
}

/** A tab as far as the relay can tell. */
export async function startTab(cleanup: Cleanup): Promise<Libp2p<{ identify: Identify }>> {
  const tab = await createLibp2p({
    addresses: { listen: [] },
    transports: [webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    // A hundred of these share the processor with the relay and whatever else runs: the library's six seconds are short.
    connectionManager: {
      dialTimeout: PATIENCE_MS,
      addressDialTimeout: PATIENCE_MS,
      outboundStreamProtocolNegotiationTimeout: PATIENCE_MS,
    },
    services: { identify: identify() },
  })
  cleanup.add(() => tab.stop())
  return tab
}

/** As much of a relay as a tab needs to know. */
export type Where = Pick<Server, 'port' | 'peerId'>

export function relayAddress({ port, peerId }: Where, host = '127.0.0.1', secure = false) {
  return multiaddr(`/ip4/${host}/tcp/${port}${secure ? '/tls' : ''}/ws/p2p/${peerId}`)
}

/** A tab's rendezvous stream and what it has heard on it. */
export class Heard {
  readonly events: RendezvousEvent[] = []
  readonly stream: Stream
  closed = false
  #rest: Uint8Array = new Uint8Array(0)

  constructor(stream: Stream) {
    this.stream = stream
    stream.addEventListener('message', ({ data }) => {
      this.#rest = Buffer.concat([this.#rest, data.subarray()])
      for (;;) {
        if (this.#rest.byteLength < 4) return
        const end = 4 + Buffer.from(this.#rest).readUInt32BE(0)
        if (this.#rest.byteLength < end) return
        this.events.push(decode(this.#rest.slice(4, end)))
        this.#rest = this.#rest.slice(end)
      }
    })
    stream.addEventListener('close', () => {
      this.closed = true
    })
    stream.addEventListener('remoteCloseWrite', () => {
      this.closed = true
    })
  }

  /** Who this tab thinks is there. */
  peers(): Set<string> {
    const present = new Set<string>()
    for (const event of this.events) {
      if (event.t === 'peers') for (const peer of event.peers) present.add(peer)
      else if (event.t === 'joined') present.add(event.peer)
      else present.delete(event.peer)
    }
    return present
  }

  count(kind: RendezvousEvent['t']): number {
    return this.events.filter(({ t }) => t === kind).length
  }
}

export function frame(value: unknown): Buffer {
  const body = encode(value)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.byteLength)
  return Buffer.concat([header, body])
}

/** Opens a rendezvous stream and sends `first` as its first bytes. */
export async function rendezvous(
  tab: Libp2p,
  relay: Where,
  first = frame({ v: 1, cluster: 'brittlestar' }),
): Promise<Heard> {
  const stream = await tab.dialProtocol(relayAddress(relay), rendezvousProtocol)
  const heard = new Heard(stream)
  stream.send(first)
  return heard
}
