// What went wrong, in the words that coreutils use for the same error.
import { utf8 } from '../base/bytes.ts'
import { type ErrorCode, OsError } from '../base/errors.ts'
import type { ByteWriter } from './streams.ts'

const SENTENCES: Partial<Record<ErrorCode, string>> = {
  EACCES: 'Permission denied',
  EAGAIN: 'Resource temporarily unavailable',
  EBADF: 'Bad file descriptor',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  ENOENT: 'No such file or directory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENOTEMPTY: 'Directory not empty',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EROFS: 'Read-only file system',
  ESRCH: 'No such process, or the tab that is its home is away',
  EXDEV: 'Invalid cross-device link',
}

/** A line for people: names in it come from anybody, so that a terminal gets no controls but ends of lines and tabs. */
export function tell(stderr: ByteWriter, message: string): Promise<void> {
  return stderr.write(
    utf8(`${stderr.isTerminal ? message.replace(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/gu, '?') : message}\n`),
  )
}

/** Says in full what cannot be done and why: nothing but the program's name is put before its message. */
export class Complaint extends OsError {}

/** @throws {Complaint} `what: reason` where `work` throws an OsError. */
export async function saying<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OsError) || error instanceof Complaint) throw error
    throw new Complaint(error.code, `${what}: ${reason(error)}`, { cause: error })
  }
}

/** The reason alone, without the name of program or file. */
export function reason(error: unknown): string {
  if (error instanceof Complaint) return error.message
  if (error instanceof OsError) return SENTENCES[error.code] ?? `${error.message} (${error.code})`
  return error instanceof Error ? `internal error: ${error.name}: ${error.message}` : String(error)
}

/** A text between single quotes as a shell would read it back. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
