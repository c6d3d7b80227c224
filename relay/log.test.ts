import { expect, test } from 'vitest'
import { createLog } from './log.ts'

test('a log line is one JSON object, and lines below the level are not written', () => {
  const lines: string[] = []
  const log = createLog('warn', (line) => lines.push(line))
  log.debug('no')
  log.info('no')
  log.warn('two\nlines', { count: 1n, error: new TypeError('bad') })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^[^\n]+\n$/)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    msg: 'two\nlines',
    count: '1',
    error: 'TypeError: bad',
  })
})
