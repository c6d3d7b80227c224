// A mount of files that come with the kernel, such as /bin/examples: the same in every cluster, read-only.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { DirectoryEntry } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { kidOfCid, parseCid, RAW } from '../blocks/cid.ts'
import type { Mount } from './fs.ts'
import { bytesReader } from './handles.ts'

/** @param files path below the mount, e.g. `examples/primes.js`, to content (each below one block). */
export function builtinMount(files: Readonly<Record<string, string>>, blocks: Blocks): Mount {
  const contents = new Map(Object.entries(files).map(([path, text]) => [path, utf8(text)]))
  const isDirectory = (path: string) => path === '' || [...contents.keys()].some((file) => file.startsWith(`${path}/`))
  return {
    async stat(names) {
      const path = names.join('/')
      const bytes = contents.get(path)
      if (bytes) {
        const cid = await blocks.cidOf(RAW, bytes)
        const size = bytes.byteLength
        return { kind: 'file', size, mtimeMs: 0, mode: 0o444, cid, kid: kidOfCid(parseCid(cid)) }
      }
      return isDirectory(path) ? { kind: 'directory', size: 0, mtimeMs: 0, mode: 0o555 } : undefined
    },
    async list(names) {
      const prefix = names.length > 0 ? `${names.join('/')}/` : ''
      const rows = new Map<string, DirectoryEntry>()
      for (const [path, bytes] of contents) {
        if (!path.startsWith(prefix)) continue
        const [name = '', ...below] = path.slice(prefix.length).split('/')
        const kind = below.length > 0 ? 'directory' : 'file'
        rows.set(name, {
          name,
          kind,
          size: kind === 'file' ? bytes.byteLength : 0,
          mtimeMs: 0,
          mode: kind === 'file' ? 0o444 : 0o555,
        })
      }
      return [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    async open(names) {
      const bytes = contents.get(names.join('/'))
      if (!bytes) throw new OsError('ENOENT', `${names.join('/')}: no such file`)
      return bytesReader(bytes)
    },
  }
}
