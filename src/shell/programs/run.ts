// run: starts a program as a process of the cluster and shows it.
import { OsError } from '../../base/errors.ts'
import type { CallArgs } from '../../syscalls/table.ts'
import { killProcess } from '../follow.ts'
import { EXIT } from '../interpret.ts'
import { reason } from '../messages.ts'
import { followProcess } from '../processes.ts'
import { defineProgram, type ProgramContext } from '../program.ts'

/** What coreutils' timeout returns. */
const EXIT_TIMEOUT = 124

export const run = defineProgram(
  {
    name: 'run',
    summary: 'Run a program on the tabs of the cluster',
    usage: ['[OPTION]... PROGRAM [ARGUMENT]...'],
    details: [
      'Shows the output of the program as it is produced and exits with its exit code: 124 when it took too long,',
      '126 when it is not a program, 127 when there is none, 130 when it was killed. Ctrl-C kills it.',
      'A process that needs more than it was given ends with 1 and says so. A SIZE is in bytes, or ends in K, M or G.',
    ].join('\n'),
    examples: [
      'run /bin/examples/primes.js 100000',
      'run --detach sort.js /big.txt',
      'run --tabs 4 --cpu 600 --output 1M search.js',
    ],
    options: {
      detach: { short: 'd', help: 'print its KID and do not wait for it' },
      timeout: {
        short: 't',
        value: 'SECONDS',
        number: true,
        help: 'kill it after that time (detached: any one event)',
      },
      tabs: { value: 'N', number: 'whole', help: 'work on at most N tabs at a time' },
      events: { value: 'N', number: 'whole', help: 'give it N events in all' },
      cpu: { value: 'SECONDS', number: true, help: 'give its tasks that much time, on all tabs together' },
      memory: { value: 'SIZE', number: 'size', help: 'let its events and results hold that much at a time' },
      output: { value: 'SIZE', number: 'size', help: 'let it print that much' },
    },
    stopAtOperand: true,
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands: [program = '', ...args] }) => {
    const timeoutMs = options.timeout === undefined ? undefined : Math.ceil(options.timeout * 1000)
    const started = await start(context, { program, args, limits: limitsOf(options, timeoutMs) })
    if (typeof started === 'number') return started
    const { kid } = started
    if (options.detach) {
      context.session.remember(kid)
      await context.print(`${kid}\n`)
      return 0
    }
    const timer = new AbortController()
    let timedOut = false
    if (timeoutMs !== undefined) {
      context.host
        .sleep(timeoutMs, AbortSignal.any([timer.signal, context.signal]))
        .then(() => {
          timedOut = true
          return killProcess(context.client, kid)
        })
        .catch(() => undefined) // it ended in time, or the kernel is gone: followProcess tells which
    }
    try {
      const exit = await followProcess(context, kid, { kills: true })
      if (timedOut) await tell(context, program, `killed after ${options.timeout} s`)
      else if (exit.error !== null) await tell(context, program, exit.error)
      return timedOut ? EXIT_TIMEOUT : exit.code
    } finally {
      timer.abort()
    }
  },
)

type Limits = NonNullable<CallArgs<'run'>['limits']>

/** What was given, by the names of the call; what was not is the kernel's to choose. */
function limitsOf(
  given: { tabs?: number | undefined; events?: number | undefined; cpu?: number | undefined } & {
    memory?: number | undefined
    output?: number | undefined
  },
  timeoutMs: number | undefined,
): Limits {
  const all = {
    eventMs: timeoutMs && Math.min(timeoutMs, 24 * 3600 * 1000),
    nodes: given.tabs,
    events: given.events,
    cpuMs: given.cpu && Math.ceil(given.cpu * 1000),
    memoryBytes: given.memory,
    outputBytes: given.output,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

async function start(
  context: ProgramContext,
  { program, args, limits }: { program: string; args: string[]; limits: Limits },
) {
  try {
    const call = { program: context.named(program), args, cwd: context.session.cwd, limits }
    return await context.client.call('run', call, context.cancel)
  } catch (error) {
    if (!(error instanceof OsError) || context.signal.aborted) throw error
    await tell(context, program, reason(error))
    if (error.code === 'ENOENT') return EXIT.notFound
    return ['ENOEXEC', 'EISDIR', 'EACCES'].includes(error.code) ? EXIT.cannotRun : EXIT.failure
  }
}

/** A program started by its path has that for a name already. */
function tell(context: ProgramContext, program: string, message: string): Promise<void> {
  return context.complain(context.name === program ? message : `${program}: ${message}`)
}
