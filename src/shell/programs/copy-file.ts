// A file with new content that another has, piece by piece, with a bar while it takes. Used by cp and keg export.
import type { ProgramContext } from '../program.ts'
import { bar, ProgressLine } from '../progress.ts'
import { printable } from '../table.ts'

/**
 * @param size bytes of what is at `from`. @param exclusive EEXIST where something is at `to`.
 * @throws {OsError} as reading and writing files do.
 */
export async function copyFile(
  context: ProgramContext,
  { from, to, size, exclusive = false }: { from: string; to: string; size: number; exclusive?: boolean },
): Promise<void> {
  const progress = new ProgressLine(context)
  async function* pieces() {
    let done = 0
    for await (const piece of context.fs.read(from, context.cancel)) {
      done += piece.byteLength
      if (done < size) await progress.show(`${bar(done / size, 24)} ${printable(to)}`)
      yield piece
    }
  }
  try {
    await context.fs.writeFile(to, pieces(), { flag: exclusive ? 'wx' : 'w', ...context.cancel })
  } finally {
    await progress.clear()
  }
}
