// find: paths below a directory that fulfil conditions.
import { Lines } from '../lines.ts'
import { UsageError } from '../options.ts'
import { baseName, endsInDots } from '../paths.ts'
import { compilePattern } from '../pattern.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { type Visited, walk } from './walk.ts'

const KINDS: Readonly<Record<string, string>> = { f: 'file', d: 'directory', l: 'symlink' }
const UNITS = { c: 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const
const DAY_MS = 24 * 3600 * 1000

type Test = (one: Visited) => boolean

/** `+10k`, `-5`, `3`: more, fewer, exactly. @throws {UsageError} */
function compared(
  text: string,
  units: Readonly<Record<string, number>>,
  what: string,
): [(n: number) => boolean, number] {
  const [, sign = '', count = '', unit = ''] = /^([-+]?)(\d{1,15})([a-zA-Z]?)$/.exec(text) ?? []
  const factor = unit === '' ? 1 : units[unit]
  if (count === '' || factor === undefined) throw new UsageError(`invalid ${what}: '${text}'`)
  const wanted = Number(count)
  const test = (n: number) => (sign === '+' ? n > wanted : sign === '-' ? n < wanted : n === wanted)
  return [test, factor]
}

function fits(text: string): (found: string) => boolean {
  const chars = [...text].map((char) => ({ char, quoted: false }))
  return compilePattern(chars, true) ?? ((found) => found === text)
}

/** What each condition asks, by its name. @throws {UsageError} */
const CONDITIONS: Readonly<Record<string, (value: string) => Test>> = {
  name: (value) => {
    const matches = fits(value)
    return (one) => matches(baseName(one.name))
  },
  iname: (value) => {
    const matches = fits(value.toLowerCase())
    return (one) => matches(baseName(one.name).toLowerCase())
  },
  path: (value) => {
    const matches = fits(value)
    return (one) => matches(one.name)
  },
  type: (value) => (one) => one.kind === KINDS[value],
  size: (value) => {
    const [test, factor] = compared(value, UNITS, 'size')
    return (one) => one.kind === 'file' && test(Math.ceil(one.size / factor))
  },
  mtime: (value) => {
    const [test] = compared(value, {}, 'number of days')
    const nowMs = Date.now()
    return (one) => test(Math.floor((nowMs - one.mtimeMs) / DAY_MS))
  },
}

/** All of them, in their order; `--not` turns the next one round. @throws {UsageError} */
function testsOf(given: readonly (readonly [name: string, value: unknown])[]): Test[] {
  const tests: Test[] = []
  let not = false
  for (const [name, value] of given) {
    const condition = CONDITIONS[name]
    if (name === 'not') not = !not
    else if (condition) {
      const test = condition(String(value))
      tests.push(not ? (one) => !test(one) : test)
      not = false
    } else if (not) break
  }
  if (not) throw new UsageError('a condition is missing after !')
  return tests
}

const WITH_VALUE = /^--?(name|iname|path|type|size|mtime|maxdepth)$/

/** `-name '*.js'` as in other shells becomes `--name '*.js'`, and `!` becomes `--not`. */
function rewrite(args: readonly string[]): string[] {
  return args.map((arg, i) => {
    if (WITH_VALUE.test(args[i - 1] ?? '')) return arg
    if (arg === '!') return '--not'
    if (arg === '(' || arg === ')') throw new UsageError(`'${arg}' is not supported: all conditions have to hold`)
    return /^-[a-z][a-z0-9]+/.test(arg) ? `-${arg}` : arg
  })
}

/** As elsewhere: of a directory that is named `.`, what is in it. @returns whether that went well. */
async function remove(context: ProgramContext, one: Visited): Promise<boolean> {
  if (one.path === '/' || endsInDots(one.name)) return true
  const work = () => {
    const { fs, cancel } = context
    return one.kind === 'directory' ? fs.rmdir(one.path, cancel) : fs.unlink(one.path, cancel)
  }
  return (await forEachOperand(context, [one.name], work, { describe: (name) => `cannot delete '${name}'` })) === 0
}

export const find = defineProgram(
  {
    name: 'find',
    summary: 'Find files below directories',
    usage: ['[PATH]... [CONDITION]...'],
    details: [
      'A path has to fulfil all conditions, which may be written with one dash, as in other shells. One that stands behind',
      '! must not hold.',
    ].join('\n'),
    options: {
      name: { value: 'PATTERN', help: 'its last name matches: * ? [a-z]' },
      iname: { value: 'PATTERN', help: 'the same with small letters and capitals alike' },
      path: { value: 'PATTERN', help: 'all of it matches; * stands for slashes as well' },
      type: { value: 'KIND', oneOf: ['f', 'd', 'l'], help: 'f file, d directory, l link' },
      size: { value: 'N', help: 'bytes; with c, k, M, G as units; +N more, -N less' },
      mtime: { value: 'N', help: 'changed N days ago; +N longer, -N less long' },
      not: { help: 'the next condition does not hold; ! does the same' },
      maxdepth: { value: 'COUNT', number: 'count', help: 'so many levels' },
      delete: { help: 'remove it, a directory after what is in it, and print nothing; . itself stays' },
      print: { help: 'print it, which happens anyway without --delete' },
      print0: { short: '0', help: 'end paths with NUL, not with a new line' },
    },
    rewrite,
  },
  async (context, { options, operands, given }) => {
    const tests = testsOf(given)
    const most = options.maxdepth ?? Number.POSITIVE_INFINITY
    const end = options.print0 ? '\0' : '\n'
    const prints = options.print || options.print0 || !options.delete
    let failures = 0
    const failed = () => {
      failures++
    }
    const lines = new Lines(context)
    const code = await forEachOperand(context, operands.length > 0 ? operands : ['.'], async (operand) => {
      for await (const one of walk(context, operand, failed, { most, depthFirst: options.delete })) {
        if (!tests.every((test) => test(one))) continue
        if (prints) await lines.add(context.shown(one.name) + end)
        if (options.delete && !(await remove(context, one))) failures++
      }
    })
    await lines.flush()
    return failures > 0 ? 1 : code
  },
)
