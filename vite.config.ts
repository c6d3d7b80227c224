// Builds the page and its two workers into dist/. The relay serves dist/ and needs no build of its own.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'
import { taskRuntime } from './workers/task-bundle.ts'

const EXAMPLES = join(import.meta.dirname, 'public/examples')
const EXAMPLES_ID = 'virtual:brittlestar-examples'

/** The programs of public/examples as text, for the read-only mount /bin/examples. */
function examples(): Plugin {
  return {
    name: 'brittlestar-examples',
    resolveId: (id) => (id === EXAMPLES_ID ? `\0${EXAMPLES_ID}` : undefined),
    load(id) {
      if (id !== `\0${EXAMPLES_ID}`) return
      const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.js'))
      for (const name of files) this.addWatchFile(join(EXAMPLES, name))
      const sources = files.map((name) => [name, readFileSync(join(EXAMPLES, name), 'utf8')])
      return `export default ${JSON.stringify(Object.fromEntries(sources))}`
    },
  }
}

/** Computes what kad-dht ships as a table of 50 KB gz; see the module. */
function kadPrefixes(): Plugin {
  return {
    name: 'brittlestar-kad-prefixes',
    enforce: 'pre',
    resolveId: (id, importer) =>
      id.includes('generated-prefix-list') && importer?.includes('kad-dht')
        ? join(import.meta.dirname, 'src/adapters/libp2p/kad-prefixes.ts')
        : undefined,
  }
}

/** Nodes have Ed25519 keys; the code of the other kinds, and the curve that comes with them, stays away. */
function onlyEd25519(): Plugin {
  return {
    name: 'brittlestar-only-ed25519',
    enforce: 'pre',
    resolveId: (id, importer) =>
      /^\.\/(secp256k1|rsa|ecdsa)\/utils\.js$/.test(id) && importer?.includes('@libp2p/crypto/dist/src/keys/index')
        ? join(import.meta.dirname, 'src/adapters/libp2p/other-keys.ts')
        : undefined,
  }
}

/** For a measurement only: journals that are written to nothing but memory, to see what the disk costs. */
function memoryJournals(): Plugin {
  return {
    name: 'brittlestar-memory-journals',
    enforce: 'pre',
    load(id) {
      if (!id.endsWith('/src/adapters/indexeddb/logstore.ts')) return
      return `import { MemoryLogStore } from '../memory/stores.ts'
        export class IndexedDbLogStore extends MemoryLogStore { constructor() { super() } }`
    },
  }
}
const forMeasuring = process.env['BRITTLESTAR_BENCH_JOURNALS'] === 'memory' ? [memoryJournals] : []

export default defineConfig({
  plugins: [examples(), kadPrefixes(), onlyEd25519(), taskRuntime()],
  worker: {
    format: 'es',
    plugins: () => [examples(), kadPrefixes(), onlyEd25519(), ...forMeasuring.map((make) => make())],
  },
  build: { target: 'es2022', sourcemap: true, reportCompressedSize: true },
  server: { proxy: {} },
})
