// touch: makes empty files, and sets the time of what is there.
import { isOsError } from '../../base/errors.ts'
import { saying } from '../messages.ts'
import { UsageError } from '../options.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'

/** @param text as `2026-05-01`, `2026-05-01 13:20`, `@1777641600`. @returns ms since 1970. @throws {UsageError} */
function dateOf(text: string): number {
  if (text === 'now') return Date.now()
  const [, seconds] = /^@(\d{1,12}(?:\.\d+)?)$/.exec(text) ?? []
  // A day without a time would be one of UTC.
  const ms = seconds ? Number(seconds) * 1000 : Date.parse(/^\d+-\d+-\d+$/.test(text) ? `${text} 00:00` : text)
  if (!(ms >= 0)) throw new UsageError(`invalid date '${text}': such as 2026-05-01, '2026-05-01 13:20' or @SECONDS`)
  return ms
}

/** @param text `[[CC]YY]MMDDhhmm[.ss]`. @returns ms since 1970. @throws {UsageError} */
function stampOf(text: string): number {
  const [, year = '', month, day, hour, minute, second = '00'] =
    /^(\d{2}|\d{4})?(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d\d))?$/.exec(text) ?? []
  const century = year.length === 2 ? (year < '69' ? '20' : '19') : ''
  const whole = year === '' ? String(new Date().getFullYear()) : century + year
  const ms = Date.parse(`${whole}-${month}-${day}T${hour}:${minute}:${second}`)
  if (!(ms >= 0)) throw new UsageError(`invalid date '${text}': [[CC]YY]MMDDhhmm[.ss]`)
  return ms
}

interface Options {
  date: string | undefined
  stamp: string | undefined
  reference: string | undefined
}

/** The time that is asked for, if any. */
async function wanted(context: ProgramContext, { date, stamp, reference }: Options): Promise<number | undefined> {
  if ([date, stamp, reference].filter((each) => each !== undefined).length > 1) {
    throw new UsageError('one of -d, -t and -r')
  }
  if (date !== undefined) return dateOf(date)
  if (stamp !== undefined) return stampOf(stamp)
  if (reference === undefined) return undefined
  const stat = () => context.fs.stat(context.named(reference), context.cancel)
  return (await saying(`failed to get attributes of '${reference}'`, stat)).mtimeMs
}

export const touch = defineProgram(
  {
    name: 'touch',
    summary: 'Make empty files, or set their time to now',
    usage: ['[OPTION]... FILE...'],
    options: {
      'no-create': { short: 'c', help: 'make no file' },
      date: { short: 'd', value: 'DATE', help: "that time: 2026-05-01, '2026-05-01 13:20', @SECONDS" },
      stamp: { short: 't', value: 'STAMP', help: 'that time: [[CC]YY]MMDDhhmm[.ss]' },
      reference: { short: 'r', value: 'FILE', help: 'the time of that file' },
    },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const timeMs = await wanted(context, options)
    const touchOne = async (operand: string) => {
      const path = context.named(operand)
      const set = (ms: number) => context.fs.utimes(path, ms / 1000, ms / 1000, context.cancel)
      try {
        await set(timeMs ?? Date.now())
      } catch (error) {
        if (!isOsError(error, 'ENOENT')) throw error
        if (options['no-create']) return
        await context.fs.writeFile(path, '', { flag: 'a', ...context.cancel })
        if (timeMs !== undefined) await set(timeMs)
      }
    }
    return forEachOperand(context, operands, touchOne, { describe: (operand) => `cannot touch '${operand}'` })
  },
)
