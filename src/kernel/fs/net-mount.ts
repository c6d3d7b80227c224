// /net: the nodes of the cluster as files, each a JSON row as `peers --json` prints it; `self` is this one.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeInfo, PeerRow } from '../../syscalls/types.ts'
import type { Mount } from './fs.ts'
import { bytesReader } from './handles.ts'

export interface NetSource {
  self(): Promise<NodeInfo>
  peers(): Promise<PeerRow[]>
}

export function netMount({ self, peers }: NetSource): Mount {
  const rows = async (): Promise<Map<string, NodeInfo | PeerRow>> => {
    const own = await self()
    const all = (await peers()).map((row) => [row.id, row] as const)
    return new Map<string, NodeInfo | PeerRow>([['self', own], [own.id, own], ...all])
  }
  const textOf = async ([name = '', ...rest]: readonly string[]): Promise<Uint8Array | undefined> => {
    const row = rest.length === 0 ? (await rows()).get(name) : undefined
    return row && utf8(`${JSON.stringify(row, null, 2)}\n`)
  }
  return {
    async stat(names) {
      if (names.length === 0) return { kind: 'directory', size: 0, mtimeMs: 0, mode: 0o555 }
      const text = await textOf(names)
      return text && { kind: 'file', size: text.byteLength, mtimeMs: 0, mode: 0o444 }
    },
    async list() {
      const names = [...(await rows()).keys()].sort()
      return names.map((name) => ({ name, kind: 'file' as const, size: 0, mtimeMs: 0, mode: 0o444 }))
    },
    async open(names) {
      const text = await textOf(names)
      if (!text) throw new OsError('ENOENT', `/net/${names.join('/')}: no such node`)
      return bytesReader(text)
    },
  }
}
