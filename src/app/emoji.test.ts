import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { 'module.exports' as emoji } from './emoji.ts'

const count = (text: string) => text.match(emoji())?.length ?? 0

describe('what is an emoji for the line editor', () => {
  it('takes the place of a list, as the library asks for it', () => {
    const require = createRequire(createRequire(import.meta.url).resolve('xterm-readline'))
    expect(readFileSync(require.resolve('string-width'), 'utf8')).toContain("require('emoji-regex')")
  })

  it('is each sequence that is shown as one picture, and no letter or digit', () => {
    for (const one of ['😀', '👍🏽', '👩‍👩‍👧‍👦', '🇩🇪', '1️⃣', '❤️']) expect(count(one)).toBe(1)
    for (const none of ['a', '1', '#', 'é', '漢', '']) expect(count(none)).toBe(0)
    expect(count('a😀b🇩🇪c')).toBe(2)
  })
})
