// A process from outside: its output, its end, its killing. Used by `run`, `wait` and `os.run`.
import { isOsError, OsError } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import { FileSystem } from '../syscalls/fs.ts'
import type { ExitStatus } from '../syscalls/types.ts'

/** What a process writes: pieces as they are produced, up to its end. */
export function processOutput(
  client: SyscallClient,
  kid: Kid,
  stream: 'stdout' | 'stderr',
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array> {
  return new FileSystem(client).read(`/proc/${kid}/${stream}`, options)
}

export async function waitForExit(
  client: SyscallClient,
  kid: string,
  options: { signal?: AbortSignal } = {},
): Promise<ExitStatus> {
  const { exits = [] } = await client.call('wait', { for: 'exit', kids: [kid] }, options)
  const [exit] = exits
  if (!exit) throw new OsError('EPROTO', `the kernel did not say how ${kid} ended`)
  return exit
}

/** Ends a process; one that has ended already is no error. */
export async function killProcess(client: SyscallClient, kid: string): Promise<boolean> {
  try {
    return (await client.call('signal', { signal: 'KILL', kid })).delivered
  } catch (error) {
    if (isOsError(error, 'ESRCH')) return false
    throw error
  }
}
