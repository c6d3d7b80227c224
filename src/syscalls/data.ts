// Says what is wrong with data before it travels: the kernel would refuse it too, but without the path to it.
import { OsError } from '../base/errors.ts'
import type { Data } from './types.ts'

const MAX_DEPTH = 64
/** Of a path in a message; what is longer loses its middle. */
const PATH_CHARS = 80

/**
 * It throws itself, whatever the depth: V8 keeps ten frames, and one of them has to be the caller's own.
 * @throws {OsError} EINVAL naming the part that is not plain data, e.g. `data.when is a Date`.
 */
export function assertData(value: unknown, where: string): asserts value is Data {
  const problem = problemOf(value, [])
  if (problem) throw new OsError('EINVAL', `${where}${shortened(problem.path)} ${problem.what}`)
}

interface Problem {
  /** From the value that was looked at, e.g. `.list[3]`. */
  path: string
  what: string
}

/** @param above the value is in the last of them, and so on. */
function problemOf(value: unknown, above: object[]): Problem | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return
  if (value instanceof Uint8Array) return
  const isArray = Array.isArray(value)
  if (!isArray && !isPlainObject(value)) {
    const plain = 'use null, booleans, numbers, strings, Uint8Array, arrays and plain objects'
    return { path: '', what: `is ${kindOf(value)}; ${plain}` }
  }
  if (above.includes(value)) return { path: '', what: 'is circular: it is inside itself' }
  if (above.length > MAX_DEPTH) return { path: '', what: `is nested more than ${MAX_DEPTH} levels deep` }
  above.push(value)
  const problem = isArray ? problemOfItems(value, above) : problemOfParts(value, above)
  above.pop()
  return problem
}

function problemOfItems(items: readonly unknown[], above: object[]): Problem | undefined {
  for (let i = 0; i < items.length; i++) {
    const problem = problemOf(items[i], above)
    if (problem) return { ...problem, path: `[${i}]${problem.path}` }
  }
}

function problemOfParts(parts: Record<string, unknown>, above: object[]): Problem | undefined {
  for (const [key, part] of Object.entries(parts)) {
    const problem = problemOf(part, above)
    if (problem) return { ...problem, path: `.${key}${problem.path}` }
  }
}

function shortened(path: string): string {
  return path.length > PATH_CHARS ? `${path.slice(0, PATH_CHARS / 2)}…${path.slice(-PATH_CHARS / 2)}` : path
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
