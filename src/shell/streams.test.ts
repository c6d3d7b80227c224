import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../base/bytes.ts'
import { bufferedWriter, createPipe, sinkWriter } from './streams.ts'

describe('createPipe', () => {
  it('makes a writer wait while it is full', async () => {
    const { reader, writer } = createPipe(4)
    await writer.write(utf8('abcd'))
    let written = false
    const second = writer.write(utf8('e')).then(() => {
      written = true
    })
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
    expect(written).toBe(false)
    expect(fromUtf8(await reader.read())).toBe('abcd')
    await second
    expect(fromUtf8(await reader.read())).toBe('e')
  })

  it('ends for its reader when the writer closes, after what was written', async () => {
    const { reader, writer } = createPipe()
    const first = reader.read()
    await writer.write(utf8('a'))
    await writer.close()
    expect(fromUtf8(await first)).toBe('a')
    expect((await reader.read()).byteLength).toBe(0)
    expect((await reader.read()).byteLength).toBe(0)
  })

  it('fails a waiting and every later write with EPIPE when the reader closes', async () => {
    const { reader, writer } = createPipe(1)
    await writer.write(utf8('a'))
    const waiting = writer.write(utf8('b'))
    await reader.close()
    await expect(waiting).rejects.toMatchObject({ code: 'EPIPE' })
    await expect(writer.write(utf8('c'))).rejects.toMatchObject({ code: 'EPIPE' })
  })

  it('keeps its own copy of what is written', async () => {
    const { reader, writer } = createPipe()
    const bytes = utf8('a')
    await writer.write(bytes)
    bytes[0] = 0
    expect(fromUtf8(await reader.read())).toBe('a')
  })
})

describe('bufferedWriter', () => {
  it('joins small writes and writes the rest when it is closed', async () => {
    const pieces: string[] = []
    const writer = bufferedWriter(
      sinkWriter((bytes) => void pieces.push(fromUtf8(bytes))),
      4,
    )
    for (const text of ['a', 'b', 'cd', 'e']) await writer.write(utf8(text))
    expect(pieces).toEqual(['abcd'])
    await writer.close()
    expect(pieces).toEqual(['abcd', 'e'])
  })
})
