import { expect, it } from 'vitest'
import { storedUsers } from './users.ts'

it('remembers who sits at a device, and for as long as the page lives where nothing can be stored', () => {
  const stored = new Map<string, string>()
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
  }
  const users = storedUsers(storage)
  expect(users.name()).toBeUndefined()
  users.remember('ann')
  expect(storedUsers(storage).name()).toBe('ann')

  const fail = () => {
    throw new Error('switched off')
  }
  const full = storedUsers({ getItem: fail, setItem: fail })
  expect(full.name()).toBeUndefined()
  full.remember('ben')
  expect(full.name()).toBe('ben')
})
