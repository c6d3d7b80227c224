// What other IPFS tools make of files, for tests: ipfs-unixfs-importer and @ipld/car.
import { CarWriter } from '@ipld/car'
import { type ImporterOptions, importer } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'
import { concat } from '../../base/bytes.ts'

/** Content by path; undefined is an empty directory. */
export type Files = Record<string, Uint8Array | undefined>

export interface Imported {
  root: CID
  blocks: Map<string, Uint8Array>
}

/** Of the unixfs-v1-2025 profile, unless options say otherwise. */
export async function imported(files: Files, options: ImporterOptions = {}): Promise<Imported> {
  const blocks = new Map<string, Uint8Array>()
  const store = {
    put: async (cid: CID, block: Uint8Array) => {
      blocks.set(String(cid), block)
      return cid
    },
    get: async function* (cid: CID) {
      yield blocks.get(String(cid)) as Uint8Array
    },
  }
  const source = Object.entries(files).map(([path, content]) => ({ path: `root${path}`, ...(content && { content }) }))
  let root: CID | undefined
  for await (const entry of importer(source, store as never, { profile: 'unixfs-v1-2025', ...options })) {
    root = entry.cid
  }
  return { root: root as CID, blocks }
}

export async function carOf({
  root,
  blocks,
}: {
  root: CID
  blocks: ReadonlyMap<string, Uint8Array>
}): Promise<Uint8Array> {
  const { writer, out } = CarWriter.create([root])
  const bytes = (async () => {
    const parts: Uint8Array[] = []
    for await (const part of out) parts.push(part)
    return concat(parts)
  })()
  for (const [cid, block] of blocks) await writer.put({ cid: CID.parse(cid), bytes: block })
  await writer.close()
  return bytes
}
