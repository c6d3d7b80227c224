import { expect, it } from 'vitest'
import { lazily } from './lazy.ts'

it('says in words that code cannot be fetched, and leaves other errors alone', async () => {
  expect(await lazily(Promise.resolve(5))).toBe(5)
  for (const text of [
    'Failed to fetch dynamically imported module: http://localhost/assets/x.js',
    'error loading dynamically imported module: http://localhost/assets/x.js',
    'Importing a module script failed.',
  ]) {
    await expect(lazily(Promise.reject(new TypeError(text)))).rejects.toMatchObject({
      code: 'EHOSTUNREACH',
      message: 'the relay is away, and this page has not loaded that command yet',
    })
  }
  const bug = new TypeError('x is undefined')
  await expect(lazily(Promise.reject(bug))).rejects.toBe(bug)
})
