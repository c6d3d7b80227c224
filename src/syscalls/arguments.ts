// What people give to `os`, on the page and in tasks: a wrong type is told at the call, with the name of what is wrong.
// Above: src/app/os.ts, keg.ts, task.ts. Whether paths and names are good is the kernel's to say.
import { OsError } from '../base/errors.ts'

const isText = (value: unknown) => typeof value === 'string'
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const isPromise = (value: unknown) => isObject(value) && 'then' in value

const KINDS = {
  text: ['a text', isText],
  texts: ['an array of texts', (value: unknown) => Array.isArray(value) && value.every(isText)],
  number: ['a number', (value: unknown) => typeof value === 'number'],
  flag: ['true or false', (value: unknown) => typeof value === 'boolean'],
  function: ['a function', (value: unknown) => typeof value === 'function'],
  signal: ['an AbortSignal', (value: unknown) => isObject(value) && 'aborted' in value && 'addEventListener' in value],
  content: ['a text or bytes', (value: unknown) => isText(value) || value instanceof Uint8Array],
  source: [
    'a text, bytes or an iterable of bytes',
    (value: unknown) =>
      isText(value) || (isObject(value) && (Symbol.iterator in value || Symbol.asyncIterator in value)),
  ],
  options: ['an object with options', isObject],
} as const

type Kind = keyof typeof KINDS
/** Of options, each of which may be left out. */
export type Options = Readonly<Record<string, Kind>>

/**
 * @param call as its caller writes it, e.g. `os.run`.
 * @param given by name: what was given, and what it has to be.
 * @throws {OsError} EINVAL, e.g. `os.run: args: expected an array of texts, not "100"`.
 */
export function check(
  call: string,
  given: Readonly<Record<string, readonly [value: unknown, of: Kind | Options]>>,
): void {
  for (const [name, [value, of]] of Object.entries(given)) {
    checkOne(`${call}: ${name}`, value, typeof of === 'string' ? of : 'options')
    if (typeof of === 'string') continue
    for (const [option, kind] of Object.entries(of)) {
      const each = (value as Record<string, unknown>)[option]
      if (each !== undefined) checkOne(`${call}: ${option}`, each, kind)
    }
  }
}

function checkOne(where: string, value: unknown, kind: Kind): void {
  const [expected, isGood] = KINDS[kind]
  if (!isGood(value)) throw new OsError('EINVAL', `${where}: expected ${expected}${notThis(value)}`)
}

/** Short values as they are, and what was not awaited; of larger ones it is said what was expected, which is enough. */
export function notThis(value: unknown): string {
  if (isPromise(value)) return ', not a promise: await it'
  if (Array.isArray(value) && value.some(isPromise)) return ', not promises: await them'
  if (typeof value === 'function' || isObject(value)) return ''
  return `, not ${typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value)}`
}
