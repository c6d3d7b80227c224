// Held to what node itself makes of text and bytes.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bytesOf, type Content, type Encoding, textOf } from './encodings.ts'

const ENCODINGS: Encoding[] = ['utf8', 'utf-8', 'latin1', 'binary', 'ascii', 'hex', 'base64', 'base64url']
const encoding = fc.constantFrom(...ENCODINGS, 'BASE64' as Encoding)
const bytes = fc.uint8Array({ maxLength: 40 })

it('bytes become the text that they become in node, and text the bytes', () => {
  fc.assert(
    fc.property(bytes, encoding, (content, name) => {
      const text = Buffer.from(content).toString(name)
      expect(textOf(content, name)).toBe(text)
      expect([...bytesOf(text, name)]).toEqual([...Buffer.from(text, name)])
    }),
  )
  const many = Uint8Array.from({ length: 100_000 }, (_, i) => i)
  for (const name of ENCODINGS) expect(textOf(many, name)).toBe(Buffer.from(many).toString(name))
})

it('text that no encoding gives is taken as node takes it', () => {
  const odd = fc.string({ unit: fc.constantFrom(...'aAbZ09+/-_=\n %é~') })
  fc.assert(
    fc.property(odd, encoding, (text, name) => {
      expect([text, ...bytesOf(text, name)]).toEqual([text, ...Buffer.from(text, name)])
    }),
    { numRuns: 1000 },
  )
})

it('whatever view bytes are given in, they are the same', () => {
  const whole = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  const views = [whole.buffer, new DataView(whole.buffer, 2, 3), new Uint16Array(whole.buffer, 2, 2), whole]
  expect(views.map((view) => [...bytesOf(view, undefined)])).toEqual([[...whole], [3, 4, 5], [3, 4, 5, 6], [...whole]])
})

it('what is no content, or no encoding that is known, is refused by name', () => {
  for (const content of [null, undefined, 5, {}, [1]] as unknown[] as Content[]) {
    expect(() => bytesOf(content, undefined)).toThrow(/content is (null|undefined|number|object): give text/)
  }
  for (const name of ['utf16le', 'ucs2', 'constructor', 7] as string[]) {
    expect(() => bytesOf('x', name)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    expect(() => textOf(new Uint8Array(1), name)).toThrow(`the encoding '${name}' is not one of utf8, utf-8, latin1`)
  }
})
