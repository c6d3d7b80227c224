// Helia and WebTorrent, which our transfers stand beside: packages of their own (bench/peers), installed and bundled when
// they are measured, and the servers that their pages need to find each other.
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { build } from 'vite'

const FOLDER = join(import.meta.dirname, 'peers')
const BUNDLES = join(import.meta.dirname, '../.cache/bench-peers')
const STAMP = join(FOLDER, 'node_modules/.brittlestar-stamp')
const INSTALL_MS = 10 * 60_000

/**
 * `npm ci` in bench/peers, if it was not done for this lock file, and what the pages load.
 * @returns the folder of the bundles. @throws {Error} one line that says why it cannot be.
 */
export async function preparePeers(): Promise<string> {
  const lock = readFileSync(join(FOLDER, 'package-lock.json'))
  const hash = createHash('sha256').update(lock).digest('hex')
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== hash) {
    console.log('peers: installing Helia and WebTorrent into bench/peers (only the first time) …')
    install()
    writeFileSync(STAMP, hash)
  }
  for (const [i, name] of ['helia', 'webtorrent'].entries()) await bundle(name, i === 0)
  return BUNDLES
}

function install(): void {
  // Nothing of it needs its install scripts, which would compile what pages cannot use.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const shell = process.platform === 'win32'
  const { status, stderr, error } = spawnSync('npm', args, {
    cwd: FOLDER,
    encoding: 'utf8',
    shell,
    timeout: INSTALL_MS,
  })
  if (status === 0) return
  const lines = (stderr ?? '').split('\n').map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim())
  const reason = error?.message ?? lines.find((line) => line !== '' && !/^(code|errno|syscall) /.test(line))
  throw new Error(`cannot install what stands beside us (npm ci in bench/peers): ${reason ?? 'no reason given'}`)
}

async function bundle(name: string, first: boolean): Promise<void> {
  await build({
    configFile: false,
    root: FOLDER,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      outDir: BUNDLES,
      emptyOutDir: first,
      target: 'es2022',
      lib: { entry: join(FOLDER, `${name}.js`), formats: ['es'], fileName: name },
    },
  })
}

/** A libp2p relay and a WebTorrent tracker on loopback. */
export class PeerServers {
  #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined
  relay = ''
  tracker = ''

  async start(): Promise<this> {
    const child = spawn(process.execPath, [join(FOLDER, 'servers.mjs')], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    const line = await new Promise<string>((resolve, reject) => {
      let said = ''
      child.stderr.on('data', (chunk) => {
        said += chunk
      })
      child.stdout.once('data', (chunk) => resolve(String(chunk)))
      child.once('exit', (code) => reject(new Error(`the servers of the peers ended with ${code}: ${said}`)))
    })
    Object.assign(this, JSON.parse(line) as { relay: string; tracker: string })
    return this
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null) return
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.stdin.end()
    })
  }
}
