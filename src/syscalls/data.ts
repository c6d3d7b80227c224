// Says what is wrong with data before it travels: the kernel would refuse it too, but without the path to it.
import { OsError } from '../base/errors.ts'
import type { Data } from './types.ts'

const MAX_DEPTH = 64

/** @throws {OsError} EINVAL naming the part that is not plain data, e.g. `data.when is a Date`. */
export function assertData(value: unknown, where: string, depth = 0): asserts value is Data {
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return
  if (value instanceof Uint8Array) return
  if (depth > MAX_DEPTH) throw new OsError('EINVAL', `${where} is nested more than ${MAX_DEPTH} levels deep`)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) assertData(value[i], `${where}[${i}]`, depth + 1)
    return
  }
  if (!isPlainObject(value)) {
    throw new OsError(
      'EINVAL',
      `${where} is ${kindOf(value)}; use null, booleans, numbers, strings, Uint8Array, arrays and plain objects`,
    )
  }
  for (const [key, part] of Object.entries(value)) assertData(part, `${where}.${key}`, depth + 1)
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null)
    return typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`
  const name: unknown = value.constructor?.name
  return `a ${typeof name === 'string' && name ? name : 'special object'}`
}
