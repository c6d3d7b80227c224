import { afterEach, expect, it, vi } from 'vitest'
import { testShell } from '../test-shell.ts'

afterEach(() => {
  vi.doUnmock('uqr')
})

it('gives the link alone when the code that draws the QR code cannot be loaded', async () => {
  vi.doMock('uqr', () => {
    throw new Error('the relay is away')
  })
  expect(await testShell().shell.execute('invite')).toEqual({
    stdout: 'https://192.0.2.1:8443/\n',
    stderr: expect.stringMatching(/^invite: no QR code: .+\n$/),
    code: 0,
  })
})
