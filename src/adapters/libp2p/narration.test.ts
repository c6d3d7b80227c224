import { describe, expect, test } from 'vitest'
import type { LogSink } from '../../ports/log.ts'
import { narrate, quietLogger } from './narration.ts'

const eof = (read: number) =>
  Object.assign(new Error(`Unexpected EOF - stream closed while reading ${read}/1 bytes`), {
    name: 'UnexpectedEOFError',
  })

describe('what libp2p says', () => {
  test.each([
    [
      'dial failed to %a - %e',
      ['/ip4/127.0.0.1', new TypeError('no')],
      'dial failed to /ip4/127.0.0.1 - TypeError: no',
    ],
    ['closed while reading %d/%d bytes', [3, 8], 'closed while reading 3/8 bytes'],
    ['%d %% done', [5], '5 % done'],
    ['lacks %s and %p', ['one'], 'lacks one and %p'],
    ['more', ['than', 2], 'more than 2'],
    ['an argument %s', ['of %s', 'its own'], 'an argument of %s its own'],
    [new RangeError('far'), [], 'RangeError: far'],
    [undefined, [], 'undefined'],
  ])('%s with %j', (format, args, said) => {
    expect(narrate(format, args)).toBe(said)
  })

  test('is a debug line with the place it comes from; how every stream ends is none', () => {
    const lines: unknown[] = []
    const log: LogSink = { log: (...line) => lines.push(line) }
    const logger = quietLogger(log).forComponent('libp2p').newScope('muxer')
    logger.error('closed while reading %d/%d bytes', 0, 1)
    logger.error('abort with error - %e', eof(0))
    logger('chatter')
    logger.trace('more of it')
    expect(lines).toEqual([])
    logger.error('closed while reading %d/%d bytes', 1, 4)
    logger.error('abort with error - %e', eof(1))
    expect(lines).toEqual([
      ['debug', 'libp2p', 'libp2p:muxer: closed while reading 1/4 bytes'],
      [
        'debug',
        'libp2p',
        'libp2p:muxer: abort with error - UnexpectedEOFError: Unexpected EOF - stream closed while reading 1/1 bytes',
      ],
    ])
  })
})
