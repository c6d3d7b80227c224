import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

it('only one module of the parser asks what an expression means, and it does without', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('unbash'))
  const sources = new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.js'))
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  )
  const asking = [...sources].filter(([, source]) => /from "\.\/arithmetic\.js"/.test(source)).map(([name]) => name)
  expect(asking).toEqual(['arithmetic-parts.js'])
  const source = sources.get('arithmetic-parts.js') as string
  expect(source).toContain('import { parseArithmeticExpression } from "./arithmetic.js"')
  const calls = source.match(/(?<!import \{ )parseArithmeticExpression\(/g)
  expect(source.match(/parseArithmeticExpression\([^;]*\) \?\? undefined;/g)).toHaveLength(calls?.length ?? 0)
  expect(calls).toHaveLength(2)
})
