// Checker: what was acknowledged is there. Once all disks are back, every node sees every acknowledged file, and reads
// what was written (design §8, invariants 1 and 5).
import { fromUtf8 } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

/** One file as its writers know it. */
export interface FileClaim {
  path: string
  /** @returns whether what the file and its conflict copies contain is what it may be. */
  allows(contents: readonly string[]): boolean
}

/** An older tree whose keepers are back takes the place of a branch at once, and gets the branch's files a little later. */
const MERGE_MS = 60_000

/** @throws {Violation} naming what is lost. */
export async function checkFiles(cluster: Cluster, claims: readonly FileClaim[], limitMs = MERGE_MS): Promise<void> {
  const startMs = cluster.clock.nowMs()
  for (;;) {
    const missing = await lost(cluster, claims)
    if (missing.length === 0) return
    if (cluster.clock.nowMs() - startMs > limitMs) {
      throw new Violation(`acknowledged files are lost: ${missing.join(', ')}`)
    }
    await cluster.advance(500)
  }
}

async function lost(cluster: Cluster, claims: readonly FileClaim[]): Promise<string[]> {
  const missing: string[] = []
  const names = new Map<SimNode, Map<string, string[]>>()
  for (const node of cluster.up()) names.set(node, new Map())
  const [reader] = cluster.up() as [SimNode]
  for (const { path, allows } of claims) {
    const [directory, name] = split(path)
    const copies: string[] = []
    for (const [node, listings] of names) {
      const listing = listings.get(directory) ?? (await namesOf(cluster, node, directory))
      listings.set(directory, listing)
      if (!listing.includes(name)) missing.push(`${path} (at ${node.id.slice(-4)})`)
      if (node === reader) copies.push(...listing.filter((each) => each === name || isCopy(each, name)))
    }
    const contents: string[] = []
    for (const copy of copies) contents.push((await readOf(cluster, reader, `${directory}/${copy}`)) ?? '')
    if (copies.length > 0 && !allows(contents)) missing.push(`${path} (it reads '${shown(contents)}')`)
  }
  return missing
}

function isCopy(name: string, of: string): boolean {
  return name.startsWith(`${of}.conflict-`)
}

function shown(contents: readonly string[]): string {
  return contents.map((text) => text.slice(0, 200)).join("', '")
}

function split(path: string): [directory: string, name: string] {
  const at = path.lastIndexOf('/')
  return [path.slice(0, at), path.slice(at + 1)]
}

async function namesOf(cluster: Cluster, node: SimNode, directory: string): Promise<string[]> {
  try {
    return await cluster.run(node.fs.readdir(directory))
  } catch (error) {
    if (isOsError(error, 'ENOENT')) return []
    throw error
  }
}

async function readOf(cluster: Cluster, reader: SimNode, path: string): Promise<string | undefined> {
  try {
    return fromUtf8(await cluster.run(reader.fs.readFile(path)))
  } catch (error) {
    if (isOsError(error, 'ENOENT') || isOsError(error, 'EIO')) return undefined
    throw error
  }
}
