import { expect, it } from 'vitest'
import { binderOf } from './bound.ts'
import type { SyscallClient } from './client.ts'
import { FileSystem } from './fs.ts'
import { Keg } from './keg.ts'
import { TaskOs } from './task.ts'

/** Answers each call with its name. */
const client = { call: async (call: string) => ({ id: call, entries: [] }) } as unknown as SyscallClient

it('methods of os, os.fs and os.keg may be taken out of them', async () => {
  const { emit, gather, fs } = new TaskOs(client, { begins() {}, ends() {} })
  expect(await emit('a')).toBe('emit')
  expect(await gather(['x'], 'a')).toBe('emit')
  const { readdir } = fs
  expect(await readdir('/')).toEqual([])
  for (const object of [fs, new FileSystem(client), new Keg(client), new TaskOs(client, { begins() {}, ends() {} })]) {
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).filter((name) => name !== 'constructor')
    expect(Object.keys(object)).toEqual(expect.arrayContaining(names))
  }
})

it('also where a program has replaced what functions and arrays can do', () => {
  class Counter {
    #count = 0
    next(): number {
      return ++this.#count
    }
  }
  const bindMethods = binderOf(Counter)
  const saved = [Function.prototype.bind, Array.prototype[Symbol.iterator]] as const
  const counter = new Counter()
  const broken = () => {
    throw new Error('replaced')
  }
  try {
    Function.prototype.bind = broken
    Array.prototype[Symbol.iterator] = broken
    bindMethods(counter)
  } finally {
    Function.prototype.bind = saved[0]
    Array.prototype[Symbol.iterator] = saved[1]
  }
  const { next } = counter
  expect([next(), next()]).toEqual([1, 2])
})
