// What a program of the shell is and what it gets. One file per program in programs/; this is their only door to
// streams, files, kernel and host.
import { utf8 } from '../base/bytes.ts'
import { isOsError, OsError } from '../base/errors.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import type { FileSystem } from '../syscalls/fs.ts'
import type { Keg } from '../syscalls/keg.ts'
import type { EventFeed } from './events.ts'
import type { ShellHost } from './host.ts'
import { PRINT_BYTES } from './limits.ts'
import { Complaint, reason, tell } from './messages.ts'
import { formatHelp, type HelpText, type OptionTable, type Parsed, parseOptions, UsageError } from './options.ts'
import { namedPath, resolvePath } from './paths.ts'
import type { Session } from './session.ts'
import type { ByteReader, ByteWriter } from './streams.ts'
import { type Column, formatTable, printable } from './table.ts'

export interface Streams {
  stdin: ByteReader
  stdout: ByteWriter
  stderr: ByteWriter
}

/** What all programs of one shell share. */
export interface ShellParts {
  readonly client: SyscallClient
  readonly fs: FileSystem
  readonly keg: Keg
  readonly host: ShellHost
  readonly events: EventFeed
  readonly programs: ReadonlyMap<string, Program>
}

export class ProgramContext {
  /** As it was called: the first word of every message. */
  readonly name: string
  readonly args: readonly string[]
  readonly stdin: ByteReader
  readonly stdout: ByteWriter
  readonly stderr: ByteWriter
  readonly session: Session
  readonly parts: ShellParts
  /** Aborts when the user presses Ctrl-C or the caller gives up. */
  readonly signal: AbortSignal

  constructor(init: {
    name: string
    args: readonly string[]
    streams: Streams
    session: Session
    parts: ShellParts
    signal: AbortSignal
  }) {
    this.name = init.name
    this.args = init.args
    this.stdin = init.streams.stdin
    this.stdout = init.streams.stdout
    this.stderr = init.streams.stderr
    this.session = init.session
    this.parts = init.parts
    this.signal = init.signal
  }

  get client(): SyscallClient {
    return this.parts.client
  }
  get fs(): FileSystem {
    return this.parts.fs
  }
  get keg(): Keg {
    return this.parts.keg
  }
  get host(): ShellHost {
    return this.parts.host
  }
  /** For syscalls: they end with the program. */
  get cancel(): { signal: AbortSignal } {
    return { signal: this.signal }
  }
  get columns(): number {
    return (this.stdout.isTerminal && this.host.terminalSize?.().columns) || 80
  }

  /** @throws {OsError} ENOENT for the empty text; ENAMETOOLONG. */
  path(text: string): string {
    return resolvePath(this.session.cwd, text)
  }
  /** The same, with a slash behind it where a directory is asked for: for calls that may be about something else. */
  named(text: string): string {
    return namedPath(this.session.cwd, text)
  }
  /** A name as it is printed: for a terminal without what it would obey. */
  shown(name: string): string {
    return this.stdout.isTerminal ? printable(name) : name
  }
  /** A long text goes out in pieces: a terminal shows one before it takes the next, and Ctrl-C ends it between two. */
  async print(text: string): Promise<void> {
    const bytes = utf8(text)
    for (let at = 0; at < bytes.byteLength || at === 0; at += PRINT_BYTES) {
      if (at > 0) this.signal.throwIfAborted()
      await this.stdout.write(bytes.subarray(at, at + PRINT_BYTES))
    }
  }
  /** Rows as a table, or one below the other where the terminal is too narrow for one. */
  printTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): Promise<void> {
    return this.print(this.table(rows, columns))
  }
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
    return formatTable(rows, columns, this.stdout.isTerminal ? this.columns : undefined)
  }
  printJson(value: unknown): Promise<void> {
    return this.print(`${JSON.stringify(value, null, 2)}\n`)
  }
  /** One line on stderr, with the program's name before it. */
  complain(message: string): Promise<void> {
    return tell(this.stderr, `${this.name}: ${message}`)
  }
  /** A part of the host, or a clear error where there is none. @throws {OsError} ENOTSUP */
  need<K extends keyof ShellHost>(feature: K, absent: string): NonNullable<ShellHost[K]> {
    const found = this.host[feature]
    if (!found) throw new OsError('ENOTSUP', absent)
    return (found as (...args: unknown[]) => unknown).bind(this.host) as NonNullable<ShellHost[K]>
  }
}

export interface Program {
  readonly name: string
  readonly summary: string
  readonly help: string
  /** @returns the exit code. May throw OsError: it becomes a message and exit code 1. */
  run(context: ProgramContext): Promise<number>
}

export interface ProgramSpec<T extends OptionTable> extends HelpText {
  options: T
  stopAtOperand?: boolean
  /** Makes other spellings into options of the table. */
  rewrite?: (args: readonly string[]) => string[]
  /** Fewest and most operands; checked before `main` runs. */
  operands?: readonly [min: number, max: number]
}

/** `--json`, the same everywhere. */
export const jsonOption = { json: { help: 'print JSON' } } as const

export type Main<T extends OptionTable> = (context: ProgramContext, parsed: Omit<Parsed<T>, 'help'>) => Promise<number>

export function defineProgram<const T extends OptionTable>(spec: ProgramSpec<T>, main: Main<T>): Program {
  const help = formatHelp(spec, spec.options)
  const { stopAtOperand = false, operands: [min, max] = [0, Number.POSITIVE_INFINITY] } = spec
  const rewrite = spec.rewrite ?? ((args: readonly string[]) => args)
  return {
    name: spec.name,
    summary: spec.summary,
    help,
    async run(context) {
      try {
        const parsed = parseOptions(spec.options, rewrite(context.args), { stopAtOperand })
        if (parsed.help) {
          await context.print(help)
          return 0
        }
        const extra = parsed.operands[max]
        if (parsed.operands.length < min) throw new UsageError('missing operand')
        if (extra !== undefined) throw new UsageError(`extra operand '${extra}'`)
        return await main(context, parsed)
      } catch (error) {
        if (!(error instanceof UsageError)) throw error
        await context.complain(`${error.message}\nTry '${spec.name} --help' for more information.`)
        return 2
      }
    },
  }
}

/**
 * Runs `work` for every operand; one that fails is reported and the rest go on, as coreutils do.
 * @returns 0, or `failure` when any of them failed.
 */
export async function forEachOperand(
  context: ProgramContext,
  operands: readonly string[],
  work: (operand: string) => Promise<void>,
  options: { failure?: number; describe?: (operand: string) => string; explain?: (error: OsError) => string } = {},
): Promise<number> {
  const { failure = 1, describe = (operand: string) => operand || "''", explain = reason } = options
  let code = 0
  for (const operand of operands) {
    try {
      await work(operand)
    } catch (error) {
      if (context.signal.aborted || isOsError(error, 'EPIPE') || !(error instanceof OsError)) throw error
      await context.complain(error instanceof Complaint ? error.message : `${describe(operand)}: ${explain(error)}`)
      code = failure
    }
  }
  return code
}
