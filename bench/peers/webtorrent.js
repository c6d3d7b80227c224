// A page with WebTorrent: seeds a file, or reads it from other such pages. Plain JavaScript, because its package
// (package.json beside it) is installed only when it is measured. The measurement is bench/measures/peers.ts.
import WebTorrent from 'webtorrent/dist/webtorrent.min.js'

const WAIT_MS = 60_000

let torrent

async function until(what, condition) {
  const untilMs = performance.now() + WAIT_MS
  while (!condition()) {
    if (performance.now() > untilMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** It asks nobody but the tracker that it is given. */
function client() {
  const made = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
  made.on('error', (error) => console.error('webtorrent', error))
  return made
}

/** Its default store in Chromium is the origin's private file system. */
const storeOptions = ({ store }) => (store === 'memory' ? { store: MemoryStore } : {})

/** A chunk store that keeps everything in an array: what memory-chunk-store does, which the bundle does not export. */
class MemoryStore {
  constructor(chunkLength) {
    this.chunkLength = chunkLength
    this.chunks = []
  }
  put(index, bytes, done = () => {}) {
    this.chunks[index] = bytes
    queueMicrotask(() => done(null))
  }
  get(index, options, done = options) {
    const chunk = this.chunks[index]
    const { offset = 0, length = (chunk?.length ?? 0) - offset } = typeof options === 'object' ? (options ?? {}) : {}
    queueMicrotask(() => (chunk ? done(null, chunk.subarray(offset, offset + length)) : done(new Error('no chunk'))))
  }
  close(done = () => {}) {
    queueMicrotask(() => done(null))
  }
  destroy(done = () => {}) {
    this.chunks = []
    queueMicrotask(() => done(null))
  }
}

globalThis.benchPeer = {
  /** @returns the .torrent file. */
  async keep({ seed, mebibytes }, options) {
    const pieces = []
    for (let i = 0; i < mebibytes; i++) pieces.push(globalThis.benchPiece(seed, i))
    const file = new File(pieces, 'file')
    torrent = await new Promise((resolve) => {
      client().seed(file, { announce: [options.tracker], ...storeOptions(options) }, resolve)
    })
    return { torrent: Array.from(torrent.torrentFile) }
  },

  /** Resolves when it is connected to all who keep the file. */
  async connect(kept, options) {
    torrent = client().add(new Uint8Array(kept[0].torrent), { deselect: true, ...storeOptions(options) })
    await until('the torrent is known', () => torrent.ready)
    await until(`${kept.length} peers`, () => torrent.wires.length === kept.length)
  },

  /** @returns seconds until all pieces are verified and stored. */
  async read() {
    const began = performance.now()
    const done = new Promise((resolve) => torrent.once('done', resolve))
    torrent.files[0].select()
    await done
    return { seconds: (performance.now() - began) / 1000, size: torrent.downloaded }
  },

  async stored() {
    const blob = await torrent.files[0].blob()
    return blob.arrayBuffer()
  },
}
