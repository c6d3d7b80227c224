// What libp2p says of itself, as lines of the kernel's log. Its errors are mostly normal life (peers that left), so they are
// debug lines here; of its other lines none is kept.
import type { ComponentLogger, Logger } from '@libp2p/interface'
import { errorLine } from '../../base/errors.ts'
import type { LogSink } from '../../ports/log.ts'

export function quietLogger(log: LogSink): ComponentLogger {
  const make = (name: string): Logger =>
    Object.assign(() => undefined, {
      enabled: false,
      trace: () => undefined,
      error: (format: unknown, ...args: unknown[]) => {
        if (!isOrdinaryEnd(format, args)) log.log('debug', 'libp2p', `${name}: ${narrate(format, args)}`)
      },
      newScope: (scope: string) => make(`${name}:${scope}`),
    })
  return { forComponent: make }
}

/** A format as in `printf`, each `%` and letter being one argument, whatever its kind; what is left over comes behind. */
export function narrate(format: unknown, args: readonly unknown[]): string {
  const rest = args.map(errorLine)
  const said = errorLine(format).replace(/%([a-zA-Z%])/g, (verb, letter) =>
    letter === '%' ? '%' : (rest.shift() ?? verb),
  )
  return [said, ...rest].join(' ')
}

/**
 * A stream that ends where its next message would begin: every stream of the directory does so, and libp2p says it
 * three times.
 */
function isOrdinaryEnd(format: unknown, args: readonly unknown[]): boolean {
  const [read] = args
  if (/^closed (while|after) reading %d/.test(String(format))) return read === 0
  return read instanceof Error && read.name === 'UnexpectedEOFError' && / 0\/\d+ bytes$/.test(read.message)
}
