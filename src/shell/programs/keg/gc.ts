// keg gc: forgets versions, and frees what only they hold.
import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

function milliseconds(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count === undefined) throw new UsageError(`invalid time '${text}': such as 30m, 12h or 7d`)
  return Number(count) * UNITS[unit as keyof typeof UNITS]
}

export const gc = defineProgram(
  {
    name: 'keg gc',
    summary: 'Forget old versions',
    usage: ['[OPTION]... [PATH]'],
    details:
      'Of /, or of the keg that PATH is in. Versions with a name are kept, and those that either option keeps. What only forgotten ones hold is freed soon.',
    examples: ['keg gc', 'keg gc --keep 1 --for 0s'],
    options: {
      keep: { short: 'n', value: 'COUNT', number: 'whole', help: 'keep so many of the newest (100 unless told)' },
      for: { value: 'TIME', help: 'keep those of so long ago (1d unless told)' },
      ...jsonOption,
    },
    operands: [0, 1],
  },
  async (context, { options, operands: [operand = '/'] }) => {
    const path = context.path(operand)
    const forMs = milliseconds(options.for ?? '1d')
    const count = async () => (await context.keg.log({ path, all: true, limit: 10_000, ...context.cancel })).length
    const before = await count()
    await context.keg.gc({ keep: options.keep ?? 100, forMs, path, ...context.cancel })
    const kept = await count()
    const forgotten = Math.max(0, before - kept)
    if (options.json) await context.printJson({ forgotten, kept })
    else {
      const then = forgotten > 0 ? ': what only they held is freed within some minutes' : ''
      await context.print(`${forgotten} versions forgotten, ${kept} kept${then}\n`)
    }
    return 0
  },
)
