// Completions that are too large for an entry of a journal: members get entries in one message each, and a message is
// bounded. What is large of them is in blocks, which a member holds before it acknowledges the entry.
// Above: home.ts, fold.ts, homes.ts. Below: blocks.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { holdFiles } from '../fs/copies.ts'
import { BLOCK_BYTES, MAX_COMPLETION_BYTES } from '../limits.ts'
import { completedContent, type EntryOf, type ProcessStep } from './entries.ts'

/** Content beyond this goes into blocks. */
const MAX_INLINE_BYTES = 128 * 1024

/** Stores content as blocks. @returns where, in order. @throws {OsError} EIO, ENOSPC. */
export async function storeParts(blocks: Blocks, content: Uint8Array): Promise<string[]> {
  const cids: string[] = []
  for (let at = 0; at < content.byteLength; at += BLOCK_BYTES) {
    cids.push(await blocks.put(RAW, content.slice(at, at + BLOCK_BYTES)))
  }
  return cids
}

/** The content again; no more than `most` bytes are put together. @throws {OsError} EIO. */
export async function readParts(blocks: Blocks, cids: readonly string[], most: number): Promise<Uint8Array> {
  if (cids.length > Math.ceil(most / BLOCK_BYTES)) throw new OsError('EIO', 'it names more blocks than it may have')
  const parts: Uint8Array[] = []
  for (const cid of cids) {
    const part = await blocks.get(cid)
    if (part.byteLength > BLOCK_BYTES) throw new OsError('EIO', 'one of its blocks is too large')
    parts.push(part)
  }
  return concat(parts)
}

/** The entry as it is journalled. @throws {OsError} EIO, ENOSPC. */
export async function slim(step: EntryOf<'completed'>, blocks: Blocks): Promise<EntryOf<'completed'>> {
  if (bytesAtMost(step) <= MAX_INLINE_BYTES) return step
  const { result, emits, ops, ...rest } = step
  const parts = await storeParts(blocks, encode({ result, emits, ops }))
  return { ...rest, result: new Uint8Array(0), emits: [], ops: [], parts, emitted: emits.length }
}

/** Its content takes no more than this: nearly all are small, and need not be encoded to see that. */
function bytesAtMost({ result, emits, ops }: EntryOf<'completed'>): number {
  // Three bytes for a character at most, and what stands around each field.
  const chars = (texts: readonly string[]) => texts.reduce((sum, each) => sum + 3 * each.length + 4, 0)
  let bytes = result.byteLength + 64
  for (const { task, data, after, key = '' } of emits)
    bytes += data.byteLength + chars([task, key, ...(after ?? [])]) + 64
  for (const op of ops) bytes += chars(Object.values(op).filter((each) => typeof each === 'string')) + 256
  return bytes
}

/** The entry with all that it stands for. @throws {OsError} EIO. */
export async function whole(step: ProcessStep, blocks: Blocks): Promise<ProcessStep> {
  if (step.t !== 'completed' || !step.parts) return step
  const { parts, emitted: _, ...rest } = step
  try {
    const content = decode(await readParts(blocks, parts, MAX_COMPLETION_BYTES + BLOCK_BYTES))
    return { ...rest, ...v.parse(completedContent, content) }
  } catch (error) {
    throw new OsError('EIO', `what event ${step.event} did cannot be read`, { cause: error })
  }
}

/** Fetches all that a completion stands for. @throws {OsError} EIO, ENOSPC. */
export async function holdCompleted(step: EntryOf<'completed'>, blocks: Blocks, from: NodeId): Promise<void> {
  const options = { hints: [from] }
  if (step.parts) await blocks.hold(step.parts, options)
  const full = await whole(step, blocks)
  if (full.t === 'completed') await holdFiles(blocks, full.ops, options)
}
