// How the entries of journals lie in the database: what was appended together is one row, because a row costs far more
// than what is in it (each is a request to the browser's own process). Its key is [log, index of its first entry].
// Above: logstore.ts, which knows transactions and tails.
import { promisifyRequest } from 'idb-keyval'

export type Bytes = Uint8Array<ArrayBuffer>

/** One entry as it is, or several. */
type Row = Bytes | Bytes[]

/** Rows of one log whose first entry is within the bounds; array keys sort after all numbers. */
export function rowsOf(log: string, from: number, to?: number): IDBKeyRange {
  return IDBKeyRange.bound([log, from], to === undefined ? [log, []] : [log, to])
}

export function addRow(rows: IDBObjectStore, log: string, first: number, entries: Bytes[]): void {
  const [only, ...others] = entries
  if (only) rows.add(others.length > 0 ? entries : only, [log, first])
}

export async function readEntries(rows: IDBObjectStore, log: string): Promise<Bytes[]> {
  const found = (await promisifyRequest(rows.getAll(rowsOf(log, 0)))) as Row[]
  return found.flatMap(entriesOf)
}

/** @returns the index of a log's last entry; 0 without any. */
export async function readLast(rows: IDBObjectStore, log: string): Promise<number> {
  const row = await lastRow(rows, log)
  return row ? row.first + row.entries.length - 1 : 0
}

/** Drops the entries from `index` on. */
export async function dropFrom(rows: IDBObjectStore, log: string, index: number): Promise<void> {
  const cut = await lastRow(rows, log, index - 1)
  rows.delete(rowsOf(log, index))
  if (!cut || cut.first + cut.entries.length <= index) return
  rows.delete([log, cut.first])
  addRow(rows, log, cut.first, cut.entries.slice(0, index - cut.first))
}

/** Drops the entries up to `index`. */
export async function dropUpTo(rows: IDBObjectStore, log: string, index: number): Promise<void> {
  const cut = await lastRow(rows, log, index)
  rows.delete(rowsOf(log, 0, index))
  if (cut) addRow(rows, log, index + 1, cut.entries.slice(index + 1 - cut.first))
}

/** The last row that begins at `upTo` or before. */
async function lastRow(
  rows: IDBObjectStore,
  log: string,
  upTo?: number,
): Promise<{ first: number; entries: Bytes[] } | undefined> {
  const cursor = await promisifyRequest(rows.openCursor(rowsOf(log, 0, upTo), 'prev'))
  if (!cursor) return undefined
  const [, first] = cursor.key as [string, number]
  return { first, entries: entriesOf(cursor.value as Row) }
}

function entriesOf(row: Row): Bytes[] {
  return Array.isArray(row) ? row : [row]
}
