// chmod: permission bits.
import { UsageError } from '../options.ts'
import { joinPath } from '../paths.ts'
import { defineProgram, forEachOperand } from '../program.ts'

const SHIFT = { u: 6, g: 3, o: 0 } as const
const BITS = { r: 4, w: 2, x: 1 } as const

/** @param text as `644`, or `u+w,go-rx`. @returns the new mode. @throws {UsageError} */
export function changedMode(mode: number, text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8)
  let out = mode
  for (const part of text.split(',')) {
    const [, who = '', how, what = ''] = /^([ugoa]*)([-+=])([rwx]*)$/.exec(part) ?? []
    if (how === undefined) throw new UsageError(`invalid mode: '${text}'`)
    const bits = [...new Set(what)].reduce((sum, letter) => sum + BITS[letter as keyof typeof BITS], 0)
    const shifts = who === '' || who.includes('a') ? [6, 3, 0] : [...new Set(who)].map((each) => SHIFT[each as 'u'])
    for (const shift of shifts) {
      if (how === '=') out &= ~(7 << shift)
      out = how === '-' ? out & ~(bits << shift) : out | (bits << shift)
    }
  }
  return out
}

export const chmod = defineProgram(
  {
    name: 'chmod',
    summary: 'Change who may do what with files',
    usage: ['[-R] MODE PATH...'],
    details: 'MODE is octal (644) or says what changes (u+w,go-rx). What counts is what the owner may read and write.',
    options: { recursive: { short: 'R', help: 'also what is in directories' } },
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands: [mode = '', ...paths] }) => {
    changedMode(0, mode)
    const change = async (path: string): Promise<void> => {
      const { info } = await context.fs.stat(path, context.cancel)
      await context.fs.chmod(path, changedMode(info.mode, mode), context.cancel)
      if (!options.recursive || info.kind !== 'directory') return
      for (const entry of await context.fs.readdir(path, { withFileTypes: true, ...context.cancel })) {
        if (!entry.isSymbolicLink()) await change(joinPath(path, entry.name))
      }
    }
    return forEachOperand(context, paths, (operand) => change(context.named(operand)), {
      describe: (operand) => `cannot change the mode of '${operand}'`,
    })
  },
)
