// Runs a syntax tree: lists, pipelines, simple commands. Stages of a pipeline run at once, joined by bounded
// pipes. Words are expanded by expand.ts, files opened by redirect.ts, commands found in the program table.
import type { AndOr, Command, CommandNode, ParsedScript, Pipeline, PipelineNode, Redirect } from 'unbash'
import { isOsError, OsError } from '../base/errors.ts'
import { assignmentValue, type Expander, expandWhole, expandWord } from './expand.ts'
import { reason, tell } from './messages.ts'
import { namedPath } from './paths.ts'
import { type Program, ProgramContext, type ShellParts, type Streams } from './program.ts'
import { applyRedirects, RedirectError } from './redirect.ts'
import type { Session } from './session.ts'
import { createPipe } from './streams.ts'

export const EXIT = {
  failure: 1,
  usage: 2,
  cannotRun: 126,
  notFound: 127,
  interrupted: 130,
  brokenPipe: 141,
  internal: 70,
} as const

export interface Job {
  readonly parts: ShellParts
  readonly session: Session
  readonly streams: Streams
  readonly signal: AbortSignal
}

/** @returns the status of the last command; also kept as the session's `$?`. */
export async function runScript(script: ParsedScript, job: Job): Promise<number> {
  for (const statement of script.commands) {
    await runList(statement.command, job)
    if (job.signal.aborted) return settle(job, EXIT.interrupted)
  }
  return job.session.lastStatus
}

function settle(job: Job, status: number): number {
  job.session.lastStatus = status
  return status
}

async function runList(node: PipelineNode | AndOr, job: Job): Promise<number> {
  if (node.type !== 'AndOr') return runPipeline(node, job)
  let status = 0
  for (const [i, command] of node.commands.entries()) {
    const operator = node.operators[i - 1]
    const wanted = operator === undefined || (operator === '&&') === (status === 0)
    if (wanted) status = await runPipeline(command, job)
    if (job.signal.aborted) return settle(job, EXIT.interrupted)
  }
  return status
}

async function runPipeline(node: PipelineNode, job: Job): Promise<number> {
  if (node.type !== 'Pipeline') return settle(job, await runCommand(node, job))
  const status = await runStages(node, job)
  const negated = node.prefixes.filter((prefix) => prefix.type === 'Negation').length % 2 === 1
  return settle(job, negated ? Number(status === 0) : status)
}

async function runStages({ commands, operators }: Pipeline, job: Job): Promise<number> {
  const [only] = commands
  if (!only) return 0
  if (commands.length === 1) return runCommand(only, job)
  let stdin = job.streams.stdin
  const stages: Promise<number>[] = []
  for (const [i, command] of commands.entries()) {
    const pipe = i < commands.length - 1 ? createPipe() : undefined
    const stdout = pipe?.writer ?? job.streams.stdout
    const stderr = operators[i] === '|&' ? stdout : job.streams.stderr
    const stage: Job = { ...job, session: job.session.fork(), streams: { stdin, stdout, stderr } }
    const input = i > 0 ? stdin : undefined
    stages.push(
      runCommand(command, stage).finally(async () => {
        await pipe?.writer.close() // the next stage sees the end
        await input?.close() // the stage before gets EPIPE
      }),
    )
    if (pipe) stdin = pipe.reader
  }
  return (await Promise.all(stages)).at(-1) ?? 0
}

async function runCommand(node: CommandNode, job: Job): Promise<number> {
  if (node.type !== 'Command') throw new OsError('ENOSYS', `${node.type} is not supported`) // parse.ts has refused it
  try {
    return await runSimple(node, job)
  } catch (error) {
    if (job.signal.aborted) return EXIT.interrupted
    if (!(error instanceof RedirectError) && !(error instanceof OsError)) throw error
    await complain(job, error instanceof RedirectError ? error.message : reason(error))
    return EXIT.failure
  }
}

/** Problems of the shell itself are told like its programs' problems. */
function complain(job: Job, message: string): Promise<void> {
  return tell(job.streams.stderr, `sh: ${message}`)
}

async function runSimple(command: Command, job: Job): Promise<number> {
  const { session, parts, signal } = job
  const expander: Expander = { session, fs: parts.fs, signal }
  const words = await expandWords(command, expander)
  const redirects = command.redirects.filter((redirect): redirect is Redirect => redirect.type === 'Redirect')
  const [name, ...args] = words
  const restore = assign(command, session, name !== undefined)
  try {
    const redirected = await applyRedirects(redirects, job.streams, expander, parts)
    let status = 0
    try {
      if (name !== undefined) status = await runNamed(name, args, { ...job, streams: redirected.streams })
    } finally {
      await redirected.close()
    }
    return status
  } finally {
    restore()
  }
}

/** `export NAME=$value` keeps its value in one piece; every other word may become several. */
async function expandWords(command: Command, expander: Expander): Promise<string[]> {
  const words: string[] = command.name ? await expandWord(command.name, expander) : []
  const declares = command.name?.text === 'export'
  for (const argument of command.args) {
    if (argument.type === 'Assignment') words.push(`${argument.name}=${assignmentValue(argument, expander.session)}`)
    else if (declares && /^[A-Za-z_]\w*=/.test(argument.text)) words.push(expandWhole(argument, expander.session))
    else words.push(...(await expandWord(argument, expander)))
  }
  return words
}

/**
 * Sets `NAME=value` prefixes: for good when there is no command, for its duration when there is one.
 * @returns what puts the old values back.
 */
function assign(command: Command, session: Session, temporary: boolean): () => void {
  const saved: [name: string, before: ReturnType<Session['variables']['get']>][] = []
  for (const prefix of command.prefix) {
    if (prefix.type !== 'Assignment') continue
    saved.push([prefix.name, session.variables.get(prefix.name)])
    session.set(prefix.name, assignmentValue(prefix, session), temporary || undefined)
  }
  if (!temporary) return () => undefined
  return () => {
    for (const [name, before] of saved.reverse()) {
      if (before) session.variables.set(name, before)
      else session.variables.delete(name)
    }
  }
}

async function runNamed(name: string, args: string[], job: Job): Promise<number> {
  const program = job.parts.programs.get(name)
  if (program) return runProgram(program, { name, args, job })
  const runner = job.parts.programs.get('run')
  if (runner && name.includes('/') && name.endsWith('.js')) {
    return runProgram(runner, { name, args: ['--', name, ...args], job })
  }
  if (name.includes('/')) return refusePath(name, job)
  await tell(job.streams.stderr, `${name}: command not found`)
  return EXIT.notFound
}

async function refusePath(name: string, job: Job): Promise<number> {
  try {
    const info = await job.parts.fs.stat(namedPath(job.session.cwd, name), { signal: job.signal })
    await complain(job, `${name}: ${info.isDirectory() ? 'Is a directory' : 'not a program (programs end in .js)'}`)
    return EXIT.cannotRun
  } catch (error) {
    if (!(error instanceof OsError) || job.signal.aborted) throw error
    await complain(job, `${name}: ${reason(error)}`)
    return error.code === 'ENOENT' ? EXIT.notFound : EXIT.cannotRun
  }
}

export async function runProgram(
  program: Program,
  { name, args, job }: { name: string; args: readonly string[]; job: Job },
): Promise<number> {
  const { streams, session, parts, signal } = job
  const context = new ProgramContext({ name, args, streams, session, parts, signal })
  try {
    return await program.run(context)
  } catch (error) {
    if (signal.aborted) return EXIT.interrupted
    if (isOsError(error, 'EPIPE')) return EXIT.brokenPipe
    await context.complain(reason(error))
    return error instanceof OsError ? EXIT.failure : EXIT.internal
  }
}
