// Turns whatever a program threw into a message, a stack and a place in the user's own source. The stacks of
// V8, SpiderMonkey and JavaScriptCore differ in their text but all end a frame in `url:line:column`.
import { OsError } from '../base/errors.ts'

const MAX_MESSAGE = 4096
const MAX_STACK = 8192
const MAX_CAUSES = 3

export interface Place {
  /** From 1. */
  line?: number
  column?: number
}

export interface TaskFailure extends Place {
  message: string
  stack: string
}

/** The program whose frames count. `url` is how stacks name it; unknown before it is loaded. */
export interface ProgramSource {
  name: string
  url: string | undefined
}

/** Never throws, whatever the value's getters do. */
export function describeFailure(error: unknown, program: ProgramSource): TaskFailure {
  try {
    const stack = error instanceof Error ? String(error.stack ?? '') : ''
    return {
      message: messageOf(error, program).slice(0, MAX_MESSAGE),
      stack: named(stack, program).slice(0, MAX_STACK),
      ...(placeInStack(stack, program.url) ?? placeOfProperties(error) ?? {}),
    }
  } catch {
    return { message: 'the task threw a value that cannot be described', stack: '' }
  }
}

function messageOf(error: unknown, program: ProgramSource): string {
  if (error instanceof OsError) return `${error.code}: ${error.message}`
  if (error instanceof Error) return plainly(error, program) + hintFor(error, program) + becauseOf(error, program)
  return `the task threw ${preview(error)}, which is not an Error`
}

/** What a module does not have, and scripts for node have: three of them as V8 and SpiderMonkey, as JavaScriptCore says it. */
const COMMON_JS = /^(?:Can't find variable: )?(module|exports|require)\b(?: is not defined)?$/

/**
 * What browsers say of an import that leads nowhere: Chromium and Firefox, an older Firefox, Safari; then the three of one
 * that may not be fetched, such as `node:fs` or another origin's.
 */
const BAD_IMPORT =
  /module specifier|bare specifier|does not resolve to a valid URL|dynamically imported module|Importing a module script/i

function hintFor(error: Error, { name }: ProgramSource): string {
  if (error instanceof TypeError && BAD_IMPORT.test(error.message)) {
    return ' (a program is a single module: it cannot import others)'
  }
  if (error instanceof ReferenceError && COMMON_JS.test(error.message)) {
    return ' (a program is an ES module: it exports its tasks, as export function start(event, os) {})'
  }
  if (error instanceof SyntaxError && /\.[cm]?tsx?$/.test(name)) {
    return ' (programs are plain JavaScript: TypeScript is compiled first)'
  }
  return ''
}

/** What it was made of, and the errors that it stands for: the first few. */
function becauseOf(error: Error, program: ProgramSource): string {
  const parts: string[] = []
  const { cause } = error
  if (cause instanceof Error) parts.push(`because of ${plainly(cause, program)}`)
  const all: unknown = (error as AggregateError).errors
  if (Array.isArray(all)) {
    for (const each of all.slice(0, MAX_CAUSES)) if (each instanceof Error) parts.push(plainly(each, program))
  }
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`
}

function plainly(error: Error, program: ProgramSource): string {
  return `${error.name}: ${withoutBlobs(error.message, program)}`
}

/** The program is fetched by an address that nobody else knows. */
function withoutBlobs(message: string, { name }: ProgramSource): string {
  return String(message).replace(/\bblob:[^\s'"]*\/[\da-f-]{36}/g, name)
}

function preview(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200))
  if (typeof value !== 'object' || value === null) return String(value)
  return JSON.stringify(value)?.slice(0, 200) ?? 'an object'
}

/** Without the runtime's own frames, which are a blob as well and tell the user nothing. */
function named(stack: string, { name, url }: ProgramSource): string {
  if (!url) return stack
  const lines = stack.split('\n').filter((line) => line.includes(url) || !line.includes('blob:'))
  return lines.join('\n').replaceAll(url, name)
}

/** Line and column of the topmost frame that lies in the program. */
export function placeInStack(stack: string, url: string | undefined): Place | undefined {
  if (!url) return
  for (let at = stack.indexOf(url); at >= 0; at = stack.indexOf(url, at + 1)) {
    const match = /^:(\d+)(?::(\d+))?/.exec(stack.slice(at + url.length, at + url.length + 24))
    if (match) return toPlace(Number(match[1]), Number(match[2]))
  }
}

/** Firefox and Safari tell the place of a syntax error in properties of the error itself. */
function placeOfProperties(error: unknown): Place | undefined {
  if (!(error instanceof SyntaxError)) return
  const { lineNumber, columnNumber, line, column } = error as SyntaxError & Record<string, unknown>
  return toPlace(Number(lineNumber ?? line), Number(columnNumber ?? column))
}

/** @returns undefined unless `line` is a line number. */
export function toPlace(line: number, column: number): Place | undefined {
  if (!Number.isInteger(line) || line < 1) return
  return Number.isInteger(column) && column >= 1 ? { line, column } : { line }
}
