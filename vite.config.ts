// Builds the page and its two workers into dist/. The relay serves dist/ and needs no build of its own.
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
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

/** Modules of libraries that ours take the place of; each says why. */
const REPLACED = [
  { id: /^emoji-regex$/, by: /string-width/, ours: '../../app/emoji.ts' },
  { id: /^\.\/arithmetic\.js$/, by: /unbash/, ours: '../../shell/no-arithmetic.ts' },
  { id: /generated-prefix-list/, by: /kad-dht/, ours: 'kad-prefixes.ts' },
  {
    id: /^\.\/(secp256k1|rsa|ecdsa)\/utils\.js$/,
    by: /@libp2p\/crypto\/dist\/src\/keys\/index/,
    ours: 'other-keys.ts',
  },
  {
    id: /^\.\/ed25519\/index\.js$|^\.\/index\.js$/,
    by: /@libp2p\/crypto\/dist\/src\/keys\/(index|ed25519\/\w+)\.js/,
    ours: 'own-keys.ts',
  },
  { id: /^@noble\/curves\/ed25519\.js$/, by: /@libp2p\/noise/, ours: 'x25519.ts' },
  { id: /^@multiformats\/dns$/, by: /resolvers\/dnsaddr/, ours: 'no-dns.ts' },
  { id: /^\.\/filters\/index\.js$/, by: /@libp2p\/utils/, ours: 'seen.ts' },
  { id: /^netmask$/, by: /private-ip/, ours: 'ip-range.ts' },
  { id: /^\.\/discovery\.js$/, by: /circuit-relay-v2/, ours: 'left-out.ts' },
  { id: /^\.\/reconnect-queue\.js$/, by: /libp2p\/dist\/src\/connection-manager/, ours: 'left-out.ts' },
  { id: /^\.\/reprovider\.js$/, by: /kad-dht/, ours: 'left-out.ts' },
  {
    id: /^\.\/(routing-table\/refresh|content-routing\/index)\.js$/,
    by: /kad-dht\/dist\/src\/kad-dht/,
    ours: 'left-out.ts',
  },
  { id: /^\.\/providers\.js$/, by: /kad-dht\/dist\/src\/kad-dht/, ours: 'left-out.ts' },
  { id: /^\.\/handlers\/(add-provider|get-providers)\.js$/, by: /kad-dht/, ours: 'left-out.ts' },
  { id: /^\.\/closest-peers\.js$/, by: /kad-dht\/dist\/src\/routing-table/, ours: 'left-out.ts' },
  { id: /^\.\/(random-walk|connection-monitor)\.js$/, by: /libp2p\/dist\/src\/libp2p/, ours: 'left-out.ts' },
  { id: /^\.\/(dns|ip)-mappings\.js$/, by: /libp2p\/dist\/src\/address-manager/, ours: 'left-out.ts' },
  { id: /^@libp2p\/logger$/, by: /node_modules/, ours: 'no-logger.ts' },
]

function replacements(): Plugin {
  return {
    name: 'brittlestar-replacements',
    enforce: 'pre',
    resolveId: (id, importer) => {
      const found = REPLACED.find(({ id: wanted, by }) => wanted.test(id) && by.test(importer ?? ''))
      return found && join(import.meta.dirname, 'src/adapters/libp2p', found.ours)
    },
  }
}

/**
 * What protons generates for a message decodes it in two ways: as a whole, and as a stream of its fields, which nobody here asks for
 * and which is a third of the code.
 */
function wholeMessages(): Plugin {
  const stream = /^( +)\}, function\* \(reader, length, prefix, opts = \{\}\) \{\n.*?\n\1\}\);$/gms
  const call = /^( +)function stream\(buf, opts\) \{\n.*?\n\1\}\n +[\w.$]+\.stream = stream;\n/gms
  return {
    name: 'brittlestar-whole-messages',
    apply: 'build',
    transform(code, id) {
      if (!id.includes('/node_modules/') || !code.includes('function* (reader,')) return undefined
      const lines = (text: string) => text.replace(/[^\n]/g, '') // those behind keep their numbers in source maps
      const rest = code.replace(stream, (all, indent) => `${indent}});${lines(all)}`).replace(call, lines)
      if (rest.split('streamMessage').length > 2) this.error(`${id} is not what protons generated once`)
      return { code: rest, map: null }
    },
  }
}

/** A copy of its own for what is imported on demand: a module that is needed at once as well would bring all that either uses. */
function onDemand(): Plugin {
  const suffix = '?on-demand'
  const wanted = (id: string, importer: string) =>
    importer.endsWith(suffix) || (id === '@noble/curves/ed25519.js' && importer.endsWith('/libp2p/ed25519.ts'))
  return {
    name: 'brittlestar-on-demand',
    apply: 'build',
    enforce: 'pre',
    async resolveId(id, importer = '') {
      if (!wanted(id, importer)) return undefined
      const found = await this.resolve(id, importer.replace(suffix, ''), { skipSelf: true })
      return found && found.id + suffix
    },
  }
}

/** Beside each script and style sheet the same as brotli makes it, as small as it can: once here, and not by each relay. */
function compressed(): Plugin {
  return {
    name: 'brittlestar-compressed',
    apply: 'build',
    async writeBundle({ dir = '' }, bundle) {
      const names = Object.keys(bundle).filter((name) => /\.(js|css)$/.test(name))
      await Promise.all(
        names.map(async (name) => {
          const path = join(dir, name)
          const bytes = readFileSync(path)
          // How distances are written: which is shorter depends on what is in it.
          const pack = (bits: number) =>
            promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_NPOSTFIX]: bits } })
          const [plain, grouped] = await Promise.all([pack(0), pack(2)])
          await writeFile(`${path}.br`, plain.byteLength <= grouped.byteLength ? plain : grouped)
        }),
      )
    },
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

/** What `switches` puts in the place of one line of a module. */
const SWITCHED: Readonly<Record<string, readonly [ours: string, theirs: string]>> = {
  '/src/kernel/blocks/fetch.ts': [
    'const connected = peers().filter(welcome)',
    'const connected = [...peers()].sort().slice(0, globalThis.benchSources).filter(welcome)',
  ],
  '/src/kernel/fs/dag.ts': ["keep: 'wanted',", "keep: globalThis.benchKeep ?? 'wanted',"],
  '/src/kernel/blocks/serve.ts': [
    'packs = packed !== undefined',
    'packs = packed !== undefined; await globalThis.benchSend?.((packed ?? piece).byteLength)',
  ],
}

/** For a measurement only: how many holders a reader asks, what each may send, and what is kept, can be set in a kernel's worker. */
function switches(): Plugin {
  return {
    name: 'brittlestar-switches',
    enforce: 'pre',
    transform(code, id) {
      const [, switched] = Object.entries(SWITCHED).find(([path]) => id.endsWith(path)) ?? []
      if (!switched) return undefined
      const [ours, theirs] = switched
      if (code.split(ours).length !== 2) this.error(`the line that the measurement replaces has changed: ${ours}`)
      return code.replace(ours, theirs)
    },
  }
}

const forMeasuring = [
  ...(process.env['BRITTLESTAR_BENCH_JOURNALS'] === 'memory' ? [memoryJournals] : []),
  ...(process.env['BRITTLESTAR_BENCH_SWITCHES'] === 'blocks' ? [switches] : []),
]

export default defineConfig({
  plugins: [examples(), replacements(), taskRuntime(), compressed()],
  worker: {
    format: 'es',
    plugins: () => [examples(), replacements(), wholeMessages(), onDemand(), ...forMeasuring.map((make) => make())],
  },
  build: { target: 'es2022', sourcemap: true, reportCompressedSize: true },
  server: { proxy: {} },
})
