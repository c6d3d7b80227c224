// A process on the terminal: its output as it is produced, a progress bar below it, its exit code.
import { isOsError } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import type { ExitStatus, ProcessRow } from '../syscalls/types.ts'
import { killProcess, processOutput, waitForExit } from './follow.ts'
import type { ProgramContext } from './program.ts'
import { bar, ProgressLine } from './progress.ts'
import type { ByteWriter } from './streams.ts'

/** Shows a process on the context's streams, from its beginning until it ends. Cancelling the context kills it, if asked. */
export async function followProcess(
  context: ProgramContext,
  kid: Kid,
  { kills }: { kills: boolean },
): Promise<ExitStatus> {
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const progress = new ProgressLine(context)
  const offEvents = progress.visible ? watchProgress(context, { kid, progress, signal }) : () => undefined
  const pump = async (stream: 'stdout' | 'stderr', writer: ByteWriter) => {
    for await (const piece of processOutput(context.client, kid, stream, { signal })) await writer.write(piece)
  }
  try {
    const [exit] = await Promise.all([
      waitForExit(context.client, kid, { signal }),
      pump('stdout', context.stdout),
      pump('stderr', context.stderr),
    ])
    return exit
  } catch (error) {
    // Whoever reads the output has gone, or the user gave up: the process has no purpose any more.
    if (kills && (context.signal.aborted || isOsError(error, 'EPIPE'))) await killProcess(context.client, kid)
    throw error
  } finally {
    stop.abort()
    offEvents()
    await progress.clear()
  }
}

/** Redraws on kernel events; the row tells how many nodes take part. One request at a time. */
function watchProgress(
  context: ProgramContext,
  { kid, progress, signal }: { kid: Kid; progress: ProgressLine; signal: AbortSignal },
): () => void {
  let busy = false
  const update = async () => {
    if (busy || signal.aborted) return
    busy = true
    try {
      const rows = await context.client.info('processes', { signal })
      const row = rows.find((candidate) => candidate.kid === kid)
      if (row?.state === 'running' && !signal.aborted) await progress.show(progressText(row))
      await context.host.sleep(200, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      busy = false
    }
  }
  return context.parts.events.on((event) => {
    if (event.type !== 'process' || event.kid !== kid || event.state !== 'running') return
    update().catch((error) => context.complain(`no progress to show: ${String(error)}`))
  })
}

export function progressText(row: ProcessRow): string {
  const fraction = row.total > 0 ? row.done / row.total : 0
  const nodes = row.nodes <= 1 ? '1 tab' : `${row.nodes} tabs` // until the first event is done, nobody has taken part
  return `${bar(fraction, 24)} ${String(Math.floor(fraction * 100)).padStart(3)}%  ${row.done}/${row.total}  ${nodes}`
}
