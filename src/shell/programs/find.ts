// find: paths below a directory that fulfil conditions.
import { Lines } from '../lines.ts'
import { UsageError } from '../options.ts'
import { baseName } from '../paths.ts'
import { compilePattern } from '../pattern.ts'
import { defineProgram, forEachOperand } from '../program.ts'
import { type Visited, walk } from './walk.ts'

const KINDS = { f: 'file', d: 'directory', l: 'symlink' } as const
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

/** `-name '*.js'` as in other shells becomes `--name=…`. */
function rewrite(args: readonly string[]): string[] {
  return args.map((arg) => (/^-(name|type|size|mtime|maxdepth)$/.test(arg) ? `-${arg}` : arg))
}

export const find = defineProgram(
  {
    name: 'find',
    summary: 'Find files below directories',
    usage: ['[PATH]... [CONDITION]...'],
    details: 'A path has to fulfil all conditions, which may be written with one dash, as in other shells.',
    options: {
      name: { value: 'PATTERN', help: 'its last name matches: * ? [a-z]' },
      type: { value: 'KIND', oneOf: ['f', 'd', 'l'], help: 'f file, d directory, l link' },
      size: { value: 'N', help: 'bytes; with c, k, M, G as units; +N more, -N less' },
      mtime: { value: 'N', help: 'changed N days ago; +N longer, -N less long' },
      maxdepth: { value: 'COUNT', number: 'count', help: 'so many levels' },
      print0: { short: '0', help: 'end paths with NUL, not with a new line' },
    },
    rewrite,
  },
  async (context, { options, operands }) => {
    const tests: Test[] = []
    const { name, type, size, mtime } = options
    if (name !== undefined) {
      const pattern = compilePattern(
        [...name].map((char) => ({ char, quoted: false })),
        true,
      )
      const matches = pattern ?? ((found: string) => found === name)
      tests.push((one) => matches(baseName(one.name)))
    }
    if (type !== undefined) {
      tests.push((one) => one.kind === KINDS[type])
    }
    if (size !== undefined) {
      const [test, factor] = compared(size, UNITS, 'size')
      tests.push((one) => one.kind === 'file' && test(Math.ceil(one.size / factor)))
    }
    if (mtime !== undefined) {
      const [test] = compared(mtime, {}, 'number of days')
      const nowMs = Date.now()
      tests.push((one) => test(Math.floor((nowMs - one.mtimeMs) / DAY_MS)))
    }
    const most = options.maxdepth ?? Number.POSITIVE_INFINITY
    const end = options.print0 ? '\0' : '\n'
    let unread = false
    const failed = () => {
      unread = true
    }
    const lines = new Lines(context)
    const code = await forEachOperand(context, operands.length > 0 ? operands : ['.'], async (operand) => {
      for await (const one of walk(context, operand, failed, most)) {
        if (tests.every((test) => test(one))) await lines.add(one.name + end)
      }
    })
    await lines.flush()
    return unread ? 1 : code
  },
)
