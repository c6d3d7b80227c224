// The real fanout makes a second level only beyond 1 GiB; here it is 3, with leaves of 16 bytes.
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { expect, it, vi } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { allCids, DagReader } from './dag.ts'
import { DagWriter } from './dag-writer.ts'

vi.mock('../limits.ts', async (original) => ({ ...(await original()), BLOCK_BYTES: 16, DAG_FANOUT: 3 }))

it.each([0, 16, 17, 48, 49, 9 * 16, 9 * 16 + 1, 27 * 16, 27 * 16 + 5, 81 * 16])(
  'a tree of several levels has the CID that IPFS tools give it, reads back and grows: %i bytes',
  async (size) => {
    const lab = new Lab()
    const { blocks, disk } = blocksOf(lab, await lab.node('a'))
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7) ^ (i >> 4))
    const writer = new DagWriter(blocks)
    await writer.write(bytes)
    const root = await writer.finish()

    const store = { put: async () => undefined }
    let cid = ''
    const options = {
      profile: 'unixfs-v1-2025',
      chunker: fixedSize({ chunkSize: 16 }),
      layout: balanced({ maxChildrenPerNode: 3 }),
    } as const
    for await (const entry of importer([{ content: bytes }], store as never, options)) cid = entry.cid.toString()
    expect(root).toEqual({ cid, size })

    for (const start of [0, 1, 15, 16, 40, size - 3]) {
      const parts: Uint8Array[] = []
      for await (const part of new DagReader(blocks, root).read(Math.max(0, start), size)) parts.push(part)
      expect(concat(parts)).toEqual(bytes.slice(Math.max(0, start)))
    }
    expect((await allCids(blocks, root, {})).sort()).toEqual([...disk.blocks.keys()].sort())
    const longer = await DagWriter.open(blocks, root, {})
    await longer.write(bytes)
    const whole = new DagWriter(blocks)
    await whole.write(concat([bytes, bytes]))
    expect(await longer.finish()).toEqual(await whole.finish())
  },
)
