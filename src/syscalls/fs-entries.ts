// What is told of files: `Stats` of one, `Dirent` of what is in a directory, as node:fs has them. Above: fs.ts, fs-handle.ts.
import type { DirectoryEntry, FileInfo } from './types.ts'

/** The bits of a mode that tell the kind, as in POSIX. */
const KIND_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, stream: 0o010000 } as const

/** As node takes it: a number, or octal digits. */
export type Mode = number | string

/** The permissions of a mode that may tell the kind as well. */
export function permissionBits(mode: Mode): number {
  // Of what is no number nothing is left: the call then refuses it.
  return (typeof mode === 'string' ? Number.parseInt(mode, 8) : mode) % 0o10000
}

/** As node's; what the tree does not know is 0, and all times are that of the last change. */
export class Stats {
  readonly info: FileInfo
  dev = 0
  ino = 0
  nlink = 1
  uid = 0
  gid = 0
  size: number
  /** Kind and permissions. */
  mode: number
  mtimeMs: number
  ctimeMs: number
  atimeMs: number
  birthtimeMs: number

  constructor(info: FileInfo) {
    const { kind, mode, size, mtimeMs } = info
    this.info = info
    this.size = size
    this.mode = KIND_BITS[kind] | mode
    this.mtimeMs = this.ctimeMs = this.atimeMs = this.birthtimeMs = mtimeMs
  }
  get mtime(): Date {
    return new Date(this.mtimeMs)
  }
  get ctime(): Date {
    return new Date(this.ctimeMs)
  }
  get atime(): Date {
    return new Date(this.atimeMs)
  }
  get birthtime(): Date {
    return new Date(this.birthtimeMs)
  }
  get kid(): string | undefined {
    return this.info.kid
  }
  isFile(): boolean {
    return this.info.kind === 'file'
  }
  isDirectory(): boolean {
    return this.info.kind === 'directory'
  }
  isSymbolicLink(): boolean {
    return this.info.kind === 'symlink'
  }
}

export interface Dirent extends DirectoryEntry {
  parentPath: string
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

export class Listed implements Dirent {
  name: string
  kind: DirectoryEntry['kind']
  size: number
  mtimeMs: number
  mode: number
  parentPath: string

  constructor({ name, kind, size, mtimeMs, mode }: DirectoryEntry, parentPath: string) {
    this.name = name
    this.kind = kind
    this.size = size
    this.mtimeMs = mtimeMs
    this.mode = mode
    this.parentPath = parentPath
  }
  isFile(): boolean {
    return this.kind === 'file'
  }
  isDirectory(): boolean {
    return this.kind === 'directory'
  }
  isSymbolicLink(): boolean {
    return this.kind === 'symlink'
  }
}
