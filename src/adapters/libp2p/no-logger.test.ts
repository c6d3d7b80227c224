import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as noLogger from './no-logger.ts'

describe('the logger of libp2p', () => {
  it('is replaced by name, as the library imports it', () => {
    const folder = dirname(createRequire(import.meta.url).resolve('libp2p'))
    for (const file of ['libp2p.js', 'components.js']) {
      const source = readFileSync(join(folder, file), 'utf8')
      const [, names = ''] = /import \{([^}]+)\} from '@libp2p\/logger'/.exec(source) ?? []
      expect(names.trim()).toBe('defaultLogger')
    }
    expect(Object.keys(noLogger).sort()).toEqual(['defaultLogger', 'logger'])
  })

  it('has what libp2p calls, and does nothing', () => {
    const log = noLogger.defaultLogger().forComponent()
    log()
    log.newScope().error()
    expect(log.trace()).toBeUndefined()
    expect(log.enabled).toBe(false)
  })
})
