// `brittlestar relay`: flags in, exit codes out. 0 after a signal, 2 when it cannot start as asked, 1 when it fails.
import { join } from 'node:path'
import { isOsError } from '../src/base/errors.ts'
import { helpText, parseFlags, type RelayOptions } from './flags.ts'
import { limits } from './limits.ts'
import { createLog, type Log } from './log.ts'
import { type Server, serve, version } from './serve.ts'

const EXIT_USAGE = 2
const EXIT_FAILURE = 1

async function main(): Promise<void> {
  const options = parseFlags(process.argv.slice(2), process.env)
  if (options === 'help') {
    process.stdout.write(helpText(version))
    return
  }
  const log = createLog(options.logLevel)
  survive(log)
  const stop = stopOnSignals(log)
  const server = await start(options, log)
  process.stdout.write(server.banner())
  // Whoever started this (scripts/dev.mjs) may not know the port.
  process.send?.({ url: server.localUrl })
  await stop
  await server.close()
  process.exit(0)
}

function start(options: RelayOptions, log: Log): Promise<Server> {
  const pageFolder = process.env['BRITTLESTAR_DIST'] || join(import.meta.dirname, '../dist')
  return serve({ options, pageFolder, limits, log })
}

/** Resolves at the first request to stop; a second one ends the process at once. */
function stopOnSignals(log: Log): Promise<void> {
  return new Promise((resolve) => {
    let firstAt: number | undefined
    const request = (reason: string) => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        log.info('stopping', { reason })
        resolve()
      } else if (performance.now() - firstAt > limits.signalDebounceMs) {
        process.exit(EXIT_FAILURE)
      }
    }
    process.on('SIGTERM', request).on('SIGINT', request).on('SIGHUP', request) // the last of a terminal that is closed
    // The script that started this is gone, perhaps killed: a relay that nobody can stop helps nobody.
    if (process.channel) process.once('disconnect', () => request('the parent process ended'))
  })
}

/** What a peer provokes inside a library must not end the relay; what is broken here must. */
function survive(log: Log): void {
  process.on('unhandledRejection', (error) => log.error('unhandled rejection', { error: text(error) }))
  process.on('uncaughtException', (error) => {
    log.error('uncaught exception', { error: text(error) })
    process.exit(EXIT_FAILURE)
  })
}

function text(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`brittlestar relay: ${isOsError(error) ? error.message : text(error)}\n`)
  process.exit(isOsError(error) ? EXIT_USAGE : EXIT_FAILURE)
}
