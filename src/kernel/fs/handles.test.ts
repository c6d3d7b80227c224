// The differential test of open files: random sequences of calls on one handle do what they do on a real disk.
import * as nodeFs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Cluster, SimNode } from '../../sim/cluster.ts'
import type { FileSystem } from '../../syscalls/fs.ts'
import { boot, newCluster } from '../cluster.contract.ts'

const MODES = ['r', 'r+', 'w', 'w+', 'a', 'a+'] as const
type Position = number | null | undefined
/** What both kinds of handle have. */
interface Either {
  write(text: string, position?: Position, encoding?: 'latin1' | 'hex'): Promise<{ bytesWritten: number }>
  write(bytes: Uint16Array, offset: number, length?: number, position?: Position): Promise<{ bytesWritten: number }>
  read(bytes: Uint8Array, options: { offset: number; position: Position }): Promise<{ bytesRead: number }>
  readFile(encoding: 'latin1'): Promise<string>
  writeFile(text: string): Promise<void>
  appendFile(text: string): Promise<void>
  truncate(size: number): Promise<void>
  stat(): Promise<{ size: number; isFile(): boolean }>
}
type Call = (handle: Either) => Promise<unknown>

const position = fc.option(fc.nat(12), { nil: null })
const text = fc.string({ minLength: 1, maxLength: 5 })
const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(text, position, fc.constantFrom('latin1', 'hex')).map(([content, at, encoding]): Call => {
    const given = encoding === 'hex' ? '0f7a' : content
    return async (handle) => (await handle.write(given, at, encoding)).bytesWritten
  }),
  fc.tuple(fc.nat(3), position).map(([offset, at]): Call => {
    const units = new Uint16Array([0x6161, 0x6262, 0x6363])
    return async (handle) => (await handle.write(units, offset, 2, at)).bytesWritten
  }),
  fc.tuple(fc.nat(3), position).map(([offset, at]): Call => {
    return async (handle) => {
      const bytes = new Uint8Array(6)
      return [(await handle.read(bytes, { offset, position: at })).bytesRead, [...bytes]]
    }
  }),
  text.map(
    (content): Call =>
      (handle) =>
        handle.writeFile(content),
  ),
  text.map(
    (content): Call =>
      (handle) =>
        handle.appendFile(content),
  ),
  fc.nat(12).map(
    (size): Call =>
      (handle) =>
        handle.truncate(size),
  ),
  fc.constant<Call>((handle) => handle.readFile('latin1')),
  fc.constant<Call>(async (handle) => {
    const told = await handle.stat()
    return [told.size, told.isFile()]
  }),
)

/** What a call gave. Node says EINVAL where a handle that is not for writing is to be truncated. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return (await work) ?? 'done'
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EBADF' || code === 'EINVAL') return 'refused'
    throw error
  }
}

let folder: string
let cluster: Cluster
let fs: FileSystem
beforeAll(async () => {
  folder = await nodeFs.mkdtemp(join(tmpdir(), 'brittlestar-handles-'))
  cluster = newCluster()
  const [node] = await boot<[SimNode]>(cluster, 1)
  fs = node.fs
})
afterAll(() => nodeFs.rm(folder, { recursive: true }))

const RUNS = Number(process.env['POSIX_RUNS'] ?? 500)
const SEED = Number(process.env['POSIX_SEED'] ?? 1)

it('any sequence of calls on a handle does what it does on a disk', { timeout: RUNS * 300 }, async () => {
  const [real, ours] = [`${folder}/f`, '/tmp/f']
  const run = <T>(work: Promise<T>) => cluster.run(work)
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...MODES), fc.array(call, { maxLength: 12 }), async (mode, calls) => {
      await nodeFs.writeFile(real, 'what is there')
      await run(fs.writeFile(ours, 'what is there'))
      const onDisk = await nodeFs.open(real, mode)
      const inKernel = await run(fs.open(ours, mode))
      try {
        for (const each of calls) {
          const expected = await outcome(each(onDisk as unknown as Either))
          expect([mode, await outcome(run(each(inKernel as unknown as Either)))]).toEqual([mode, expected])
        }
      } finally {
        await onDisk.close()
        await run(inKernel.close())
      }
      expect(await run(fs.readFile(ours, 'latin1'))).toBe(await nodeFs.readFile(real, 'latin1'))
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

describe('an open file', () => {
  const run = <T>(work: Promise<T>) => cluster.run(work)

  it('is written where the write before it ends, also when nobody awaits it', async () => {
    const handle = await run(fs.open('/tmp/w', 'w'))
    const parts = ['one ', 'two ', 'three'].map((part) => handle.write(part))
    const written = await run(Promise.all(parts))
    expect(written.map(({ bytesWritten, buffer }) => [bytesWritten, buffer])).toEqual([
      [4, 'one '],
      [4, 'two '],
      [5, 'three'],
    ])
    await run(handle.close())
    expect(await run(fs.readFile('/tmp/w', 'utf8'))).toBe('one two three')
  })

  it('fills buffers that are longer than one call may give', async () => {
    const content = new Uint8Array(9 << 20).map((_, i) => i >> 16)
    await run(fs.writeFile('/tmp/long', [content.subarray(0, 5 << 20), content.subarray(5 << 20)]))
    const handle = await run(fs.open('/tmp/long'))
    const { bytesRead, buffer } = await run(handle.read({ buffer: new Uint8Array(10 << 20) }))
    expect(bytesRead).toBe(content.byteLength)
    expect(Buffer.compare(buffer.subarray(0, bytesRead), content)).toBe(0)
    expect((await run(handle.read())).bytesRead).toBe(0)
    await run(handle.close())
  })

  it('says what it cannot write, and where a buffer is too short', async () => {
    const handle = await run(fs.open('/tmp/w', 'w'))
    const wrong = [5, null, {}, [1]] as unknown[] as string[]
    for (const content of wrong) {
      await expect(run(handle.write(content))).rejects.toMatchObject({ code: 'EINVAL' })
      await expect(run(fs.writeFile('/tmp/no', content))).rejects.toMatchObject({
        code: 'EINVAL',
        message: expect.stringContaining('give text'),
      })
    }
    const problem = { code: 'EINVAL', message: 'offset 2 and length 2 are not within a buffer of 3 bytes' }
    await expect(run(handle.write(new Uint8Array(3), 2, 2))).rejects.toMatchObject(problem)
    await run(handle.close({ discard: true }))
    expect(await run(fs.exists('/tmp/no'))).toBe(false)
  })
})

it('files are written and read in the encodings that node knows', async () => {
  const run = <T>(work: Promise<T>) => cluster.run(work)
  const bytes = Uint8Array.of(0, 127, 128, 255, 62, 63)
  for (const encoding of ['base64', 'base64url', 'hex', 'latin1'] as const) {
    await run(fs.writeFile('/tmp/e', Buffer.from(bytes).toString(encoding), { encoding }))
    expect([...(await run(fs.readFile('/tmp/e')))]).toEqual([...bytes])
    expect(await run(fs.readFile('/tmp/e', { encoding }))).toBe(Buffer.from(bytes).toString(encoding))
    await run(fs.appendFile('/tmp/e', 'aa', encoding))
    expect(await run(fs.readFile('/tmp/e', encoding))).toBe(
      Buffer.concat([bytes, Buffer.from('aa', encoding)]).toString(encoding),
    )
  }
  const unknown = 'utf16le' as 'utf8'
  const problem = { code: 'EINVAL', message: expect.stringContaining('utf16le') }
  await expect(run(fs.readFile('/tmp/e', unknown))).rejects.toMatchObject(problem)
  await expect(run(fs.writeFile('/tmp/e', 'x', unknown))).rejects.toMatchObject(problem)
})
