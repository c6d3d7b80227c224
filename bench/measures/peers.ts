// The same file read by a fresh tab from one other and from three: ours, Helia (bitswap over WebRTC) and WebTorrent, each in
// pages of the same browser, and a raw data channel; and the most memory that the reader and those who send need for it.
import type { Page } from 'playwright'
import { type FileSpec, fileHash, pieceScript } from '../content.ts'
import type { Lab, Site, Tab } from '../lab.ts'
import { PeerServers, preparePeers } from '../peers.ts'
import { type Row, row } from '../report.ts'
import { readFile, untilKept } from './blocks.ts'
import { resetPeak, residentMiB } from './memory.ts'
import { CAREFUL_BUFFERED_BYTES, raw, type Speeds } from './transfer.ts'

/** What a peer's page offers (bench/peers). */
interface PeerPage {
  keep(file: FileSpec, options: PeerOptions): Promise<object>
  connect(kept: readonly object[], options: PeerOptions): Promise<void>
  read(): Promise<{ seconds: number; size: number }>
  stored(): Promise<ArrayBuffer>
}

interface PeerOptions {
  relay: string
  tracker: string
  store: string
}

declare global {
  var benchPeer: PeerPage
  /** Bytes that came over a page's data channels. */
  var benchReceived: number
}

interface Sample {
  speed: number
  /** Peak resident memory of the reader's process, and of the one sender's that needed most, in MiB. NaN but on Linux. */
  reader: number
  sender: number
}

interface Contender {
  name: string
  sources: number
  run(file: FileSpec, sources: number): Promise<Sample>
  samples: Sample[]
}

const MIB = 2 ** 20
const OWN = 'ours'

/** Peaks of processes from now on. */
async function watched(site: Site, pages: readonly Page[]): Promise<() => number[]> {
  if (process.platform !== 'linux') return () => pages.map(() => Number.NaN)
  const pids: number[] = []
  for (const page of pages) pids.push(await site.rendererOf(page))
  for (const pid of pids) resetPeak(pid)
  return () => pids.map((pid) => residentMiB(pid, 'VmHWM'))
}

/** @throws when the page does not hold what was sent. */
async function verify(page: Page, file: FileSpec, bytes: () => Promise<ArrayBuffer | Uint8Array>): Promise<void> {
  const hash = await page.evaluate(
    `(${bytes})().then((all) => crypto.subtle.digest('SHA-256', all)).then((hash) => new Uint8Array(hash).toHex())`,
  )
  if (hash !== fileHash(file)) throw new Error(`what was received has the hash ${hash}, not ${fileHash(file)}`)
}

/** Three tabs keep it and a fourth, which holds none of it, reads it. */
async function product(lab: Lab, dist: string, file: FileSpec, sources: number): Promise<Sample> {
  return lab.site(
    async (site) => {
      const keepers = await site.cluster(3)
      const [writer] = keepers as [Tab]
      await writer.page.evaluate(pieceScript)
      await writer.page.evaluate(async ({ seed, mebibytes }) => {
        function* content() {
          for (let i = 0; i < mebibytes; i++) yield globalThis.benchPiece(seed, i)
        }
        await globalThis.os.fs.writeFile('/file', content())
      }, file)
      await untilKept(writer)
      const reader = (await site.cluster(4, keepers))[3] as Tab
      await reader.limitSources(sources)
      await reader.keepCopies() // as the others do
      const peaks = await watched(site, [reader.page, ...keepers.slice(0, 3).map(({ page }) => page)])
      const speed = await readFile(reader, '/file')
      const [most, ...senders] = peaks()
      await verify(reader.page, file, () => globalThis.os.fs.readFile('/file'))
      return { speed, reader: most ?? Number.NaN, sender: Math.max(...senders) }
    },
    { dist },
  )
}

async function peer(lab: Lab, what: PeerSetup, file: FileSpec, sources: number): Promise<Sample> {
  const servers = await new PeerServers().start()
  try {
    return await lab.site(async (site) => {
      site.pages.scripts = what.scripts
      const options: PeerOptions = { relay: servers.relay, tracker: servers.tracker, store: what.store }
      const keepers: Page[] = []
      const kept: object[] = []
      for (let i = 0; i < sources; i++) {
        const page = await peerPage(site, what.script)
        kept.push(await page.evaluate(([a, b]) => globalThis.benchPeer.keep(a, b), [file, options] as const))
        keepers.push(page)
      }
      const reader = await peerPage(site, what.script)
      await reader.evaluate(([a, b]) => globalThis.benchPeer.connect(a, b), [kept, options] as const)
      const before = await reader.evaluate(() => globalThis.benchReceived)
      const peaks = await watched(site, [reader, ...keepers])
      const { seconds, size } = await reader.evaluate(() => globalThis.benchPeer.read())
      const [most, ...senders] = peaks()
      if (size < file.mebibytes * MIB) throw new Error(`${what.script} read ${size} bytes`)
      // What came through a relay is not among them.
      const carried = (await reader.evaluate(() => globalThis.benchReceived)) - before
      if (carried < size) throw new Error(`${what.script} received ${carried} bytes of ${size} over data channels`)
      await verify(reader, file, () => globalThis.benchPeer.stored())
      return { speed: file.mebibytes / seconds, reader: most ?? Number.NaN, sender: Math.max(...senders) }
    })
  } finally {
    await servers.stop()
  }
}

interface PeerSetup {
  script: 'helia' | 'webtorrent'
  scripts: string
  /** Where the page keeps what it has: 'indexeddb', 'files' or 'memory'. */
  store: string
}

async function peerPage(site: Site, script: string): Promise<Page> {
  const page = await site.page()
  await page.addInitScript(() => {
    globalThis.benchReceived = 0
    const counted = (channel: RTCDataChannel) => {
      channel.addEventListener('message', ({ data }) => {
        globalThis.benchReceived += data.byteLength ?? data.size ?? 0
      })
      return channel
    }
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration)
        this.addEventListener('datachannel', ({ channel }) => counted(channel))
      }
      override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
        return counted(super.createDataChannel(label, options))
      }
    }
  })
  await page.goto(site.pages.url)
  await page.evaluate(pieceScript)
  await page.addScriptTag({ type: 'module', url: `/scripts/${script}.js` })
  await page.waitForFunction(() => 'benchPeer' in globalThis, undefined, { polling: 20 })
  return page
}

export async function peers(lab: Lab): Promise<Row[]> {
  const scripts = await preparePeers()
  const dist = lab.builtWithSwitches()
  const mebibytes = lab.pick(64, 16)
  const contender = (name: string, sources: number, run: Contender['run']) => ({ name, sources, run, samples: [] })
  const beside = (script: PeerSetup['script'], store: string) => (file: FileSpec, sources: number) =>
    peer(lab, { script, scripts, store }, file, sources)
  const own = (file: FileSpec, sources: number) => product(lab, dist, file, sources)
  const contenders: Contender[] = [
    contender(OWN, 1, own),
    contender('Helia, IndexedDB', 1, beside('helia', 'indexeddb')),
    contender('Helia, memory', 1, beside('helia', 'memory')),
    contender('WebTorrent, private files', 1, beside('webtorrent', 'files')),
    contender('WebTorrent, memory', 1, beside('webtorrent', 'memory')),
    contender(OWN, 3, own),
    contender('Helia, IndexedDB', 3, beside('helia', 'indexeddb')),
    contender('WebTorrent, private files', 3, beside('webtorrent', 'files')),
  ]
  const channel: Speeds = { cold: [], warm: [] }
  for (let i = 0; i < lab.pick(3, 1); i++) {
    await raw(lab, channel, 0, CAREFUL_BUFFERED_BYTES, { mebibytes })
    for (const { run, sources, samples } of contenders) samples.push(await run({ seed: i + 1, mebibytes }, sources))
  }
  return rows(contenders, channel.cold, mebibytes)
}

function rows(contenders: readonly Contender[], channel: readonly number[], mebibytes: number): Row[] {
  const made: Row[] = []
  for (const own of contenders.filter(({ name }) => name === OWN)) {
    const others = contenders.filter(({ name, sources }) => name !== OWN && sources === own.sources)
    const from = own.sources === 1 ? 'one tab' : `${own.sources} tabs`
    const compared = (name: string, unit: string, key: keyof Sample) =>
      others.map((other) =>
        row({
          name,
          unit,
          samples: own.samples.map((sample) => sample[key]),
          beside: { what: other.name, samples: other.samples.map((sample) => sample[key]) },
        }),
      )
    const read = `peers: ${mebibytes} MiB from ${from}, cold`
    const speeds = own.samples.map(({ speed }) => speed)
    made.push(
      row({ name: read, unit: 'MiB/s', samples: speeds, beside: { what: 'raw channel, cold', samples: channel } }),
    )
    made.push(...compared(read, 'MiB/s', 'speed'))
    if (process.platform !== 'linux') continue
    made.push(...compared(`peers: peak of the tab that reads ${mebibytes} MiB from ${from}`, 'MiB', 'reader'))
    made.push(...compared(`peers: peak of a tab that sends it, ${own.sources} sending`, 'MiB', 'sender'))
  }
  return made
}
