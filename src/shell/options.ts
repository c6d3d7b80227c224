// Command-line options: one table per program makes the parser, the types and the --help text.
// POSIX rules: short options may be joined (-la), `--` ends options, `-` is an operand.

export interface OptionSpec {
  short?: string
  /** Another letter for the same, by which some know it. */
  also?: string
  /** Name of the option's value in help texts; absent for a flag. */
  value?: string
  /** The value must be a number greater than zero; a whole one; one that may be zero; or one of bytes, such as `64M`. */
  number?: true | 'whole' | 'count' | 'size'
  /** The value must be one of these. */
  oneOf?: readonly string[]
  help: string
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

export type OptionValues<T extends OptionTable> = {
  [K in keyof T]: T[K] extends { number: true | 'whole' | 'count' | 'size' }
    ? number | undefined
    : T[K] extends { oneOf: readonly (infer Word)[] }
      ? Word | undefined
      : T[K] extends { value: string }
        ? string | undefined
        : boolean
}

export interface Parsed<T extends OptionTable> {
  options: OptionValues<T>
  operands: string[]
  /** Names and values of all options in the order in which they stand: one that is repeated is in `options` as it is last. */
  given: (readonly [name: keyof T & string, value: unknown])[]
  help: boolean
}

/** A mistake in the arguments: one sentence, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export interface ParseOptions {
  /** The first operand ends the options, as in `env` or `run`: what follows belongs to somebody else. */
  stopAtOperand?: boolean
}

/** @throws {UsageError} */
export function parseOptions<T extends OptionTable>(
  table: T,
  args: readonly string[],
  { stopAtOperand = false }: ParseOptions = {},
): Parsed<T> {
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(table)) values[name] = spec.value ? undefined : false
  const operands: string[] = []
  const given: [string, unknown][] = []
  let help = false
  const set = (name: string, value: unknown) => {
    values[name] = value
    given.push([name, value])
  }
  let at = 0
  const take = (shown: string, name: string, spec: OptionSpec, attached: string | undefined) => {
    const text = attached ?? args[at++]
    if (text === undefined) throw new UsageError(`option '${shown}' requires an argument`)
    if (spec.oneOf && !spec.oneOf.includes(text)) {
      throw new UsageError(`invalid argument '${text}' for '${shown}': ${spec.oneOf.join(', ')}`)
    }
    set(name, spec.number ? parseNumber(shown, text, spec.number) : text)
  }
  const long = (argument: string) => {
    const [shown = '', attached] = splitOnce(argument, '=')
    const name = shown.slice(2)
    if (name === 'help') help = true
    else {
      const spec = Object.hasOwn(table, name) ? table[name] : undefined
      if (!spec) throw new UsageError(`unrecognized option '${shown}'`)
      if (spec.value) take(shown, name, spec, attached)
      else if (attached !== undefined) throw new UsageError(`option '${shown}' doesn't allow an argument`)
      else set(name, true)
    }
  }
  const shorts = (argument: string) => {
    for (let i = 1; i < argument.length; i++) {
      const letter = argument[i] ?? ''
      const entry = Object.entries(table).find(([, spec]) => spec.short === letter || spec.also === letter)
      if (!entry) throw new UsageError(`invalid option -- '${letter}'`)
      const [name, spec] = entry
      if (!spec.value) set(name, true)
      else {
        take(`-${letter}`, name, spec, argument.slice(i + 1) || undefined)
        return
      }
    }
  }
  while (at < args.length) {
    const argument = args[at++] ?? ''
    if (argument === '--') break
    if (argument.startsWith('--')) long(argument)
    else if (argument.startsWith('-') && argument.length > 1) shorts(argument)
    else {
      operands.push(argument)
      if (stopAtOperand) break
    }
  }
  operands.push(...args.slice(at))
  return { options: values as OptionValues<T>, operands, given, help }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

const WANTED = {
  true: 'a number greater than 0',
  whole: 'a whole number greater than 0',
  count: 'a whole number',
  size: 'a number of bytes greater than 0, such as 500K, 64M or 2G',
}

function parseNumber(shown: string, text: string, kind: true | 'whole' | 'count' | 'size'): number {
  const [, digits = '', unit = ''] = /^(.*?)([KMG]?)$/s.exec(text) ?? []
  const factor = kind === 'size' ? 1024 ** ' KMG'.indexOf(unit || ' ') : 1
  const value = Number(kind === 'size' ? digits : text) * factor
  const fits = kind === true ? Number.isFinite(value) : Number.isSafeInteger(value)
  if (digits.trim() === '' || !fits || value < 0 || (value === 0 && kind !== 'count')) {
    throw new UsageError(`option '${shown}' needs ${WANTED[`${kind}`]}, not '${text}'`)
  }
  return value
}

export interface HelpText {
  name: string
  summary: string
  /** Operand part of each usage line, e.g. `[OPTION]... SOURCE... DIRECTORY`. */
  usage: readonly string[]
  details?: string
  examples?: readonly string[]
}

export function formatHelp(text: HelpText, table: OptionTable): string {
  const lines = text.usage.map((usage, i) => `${i === 0 ? 'Usage:' : '   or:'} ${`${text.name} ${usage}`.trimEnd()}`)
  lines.push(`${text.summary}.`)
  if (text.details) lines.push('', text.details)
  const rows = [...Object.entries(table), ['help', { help: 'show this help and exit' }] as const].map(
    ([name, spec]: readonly [string, OptionSpec]) => [
      `${spec.short ? `-${spec.short},` : '   '} --${name}${spec.value ? ` ${spec.value}` : ''}`,
      spec.also ? `${spec.help} (also -${spec.also})` : spec.help,
    ],
  )
  const width = Math.max(...rows.map(([left = '']) => left.length))
  lines.push('', ...rows.map(([left = '', right = '']) => `  ${left.padEnd(width)}  ${right}`))
  if (text.examples?.length) lines.push('', 'Examples:', ...text.examples.map((example) => `  ${example}`))
  return `${lines.join('\n')}\n`
}
