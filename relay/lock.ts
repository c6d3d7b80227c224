// One relay for each data folder: two would answer for one witness, and each would forget what the other promised.
// The lock is a file with the process that holds it. Whoever was killed leaves it behind, so the process has to be there.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OsError } from '../src/base/errors.ts'
import { codeOf, readIfThere, reason } from './data.ts'

/** Attempts to get it from relays that start at the same time. */
const ATTEMPTS = 10
/** Locks of this process. */
const held = new Set<string>()

/**
 * Keeps the folder for this process.
 * @returns what gives it back; idempotent.
 * @throws {OsError} EBUSY when another relay uses it; EACCES.
 */
export function lockDataFolder(folder: string): () => void {
  const path = join(folder, 'relay.lock')
  const own = `${process.pid} ${startOf(process.pid)}\n`
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (create(path, own)) {
      held.add(path)
      return () => {
        if (held.delete(path) && readIfThere(path)?.toString() === own) rmSync(path, { force: true })
      }
    }
    const holder = readIfThere(path)?.toString()
    if (holder === undefined) continue // given back just now
    const pid = holderOf(holder, path)
    if (pid !== undefined) throw inUse(folder, pid)
    takeAway(path, holder)
  }
  throw inUse(folder, undefined)
}

/** @returns false when it is there already. */
function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 })
    return true
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return false
    throw new OsError('EACCES', `cannot write ${path}: ${reason(cause)}`, { cause })
  }
}

/** The process that holds the lock, if it lives; its number alone may be another's by now. */
function holderOf(text: string, path: string): number | undefined {
  const [pid, start = ''] = text.trim().split(' ')
  const number = Number(pid)
  if (!Number.isSafeInteger(number) || number <= 0) return undefined
  if (number === process.pid && !held.has(path)) return undefined
  try {
    process.kill(number, 0)
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return undefined // EPERM: it lives, as another user
  }
  return start === startOf(number) ? number : undefined
}

/** When a process began, in words of the system; empty where the system does not tell. */
function startOf(pid: number): string {
  try {
    const [, fields = ''] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return fields.split(' ')[19] ?? ''
  } catch {
    return '' // no such system
  }
}

/** Removes a lock that nobody holds; if another relay has taken it over meanwhile, gives that one back its own. */
function takeAway(path: string, stale: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return // somebody else was faster
    throw new OsError('EACCES', `cannot replace ${path}: ${reason(error)}`, { cause: error })
  }
  const taken = readFileSync(aside, 'utf8')
  if (taken !== stale) create(path, taken)
  rmSync(aside, { force: true })
}

function inUse(folder: string, pid: number | undefined): OsError {
  const by = pid === undefined ? 'another relay' : `another relay (process ${pid})`
  return new OsError(
    'EBUSY',
    `the data folder ${folder} is in use by ${by}: stop that one, or choose another with --data`,
  )
}
