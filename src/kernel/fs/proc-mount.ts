// /proc: processes as files. /proc/<KID>/status is a JSON row, stdout and stderr are streams that wait for more.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid } from '../../base/ids.ts'
import type { ProcessRow } from '../../syscalls/types.ts'
import type { Mount } from './fs.ts'
import { bytesReader, streamReader } from './handles.ts'

export interface ProcSource {
  list(): Promise<ProcessRow[]>
  /** @throws {OsError} ESRCH, EINVAL. */
  resolve(kid: string): Promise<Kid>
  read(kid: Kid, stream: 1 | 2, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
}

const FILES = { status: 'file', stderr: 'stream', stdout: 'stream' } as const

export function procMount(source: ProcSource): Mount {
  const directory = { kind: 'directory' as const, size: 0, mtimeMs: 0, mode: 0o555 }
  const status = async (kid: Kid) => {
    const row = (await source.list()).find((each) => each.kid === kid)
    if (!row) throw new OsError('ESRCH', `there is no process ${kid}`)
    return utf8(`${JSON.stringify(row, null, 2)}\n`)
  }
  return {
    async stat([kid, file, ...rest]) {
      if (kid === undefined) return directory
      if (!isKid(await source.resolve(kid)) || rest.length > 0) return undefined
      if (file === undefined) return directory
      if (!Object.hasOwn(FILES, file)) return undefined
      return { kind: FILES[file as keyof typeof FILES], size: 0, mtimeMs: 0, mode: 0o444 }
    },
    async list([kid]) {
      if (kid !== undefined) {
        return Object.entries(FILES).map(([name, kind]) => ({ name, kind, size: 0, mtimeMs: 0, mode: 0o444 }))
      }
      const rows = await source.list()
      return rows.map((row) => ({ name: row.kid, kind: 'directory', size: 0, mtimeMs: row.startedMs, mode: 0o555 }))
    },
    async open([name = '', file]) {
      const kid = await source.resolve(name)
      if (file === 'status') return bytesReader(await status(kid))
      const stream = file === 'stdout' ? 1 : 2
      return streamReader((offset, length, signal) => source.read(kid, stream, offset, length, signal))
    },
  }
}
