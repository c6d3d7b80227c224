// keg export: a file or folder with all its blocks, for any IPFS tool.

import { saying } from '../../messages.ts'
import { baseName } from '../../paths.ts'
import { defineProgram, type ProgramContext } from '../../program.ts'
import { copyFile } from '../copy-file.ts'

export const exportCar = defineProgram(
  {
    name: 'keg export',
    summary: 'Write files and folders as a CAR, for any IPFS tool',
    usage: ['PATH [FILE]'],
    details: [
      'To NAME.car in this directory unless told; - is the standard output. CIDs are those of the unixfs-v1-2025 profile.',
      'The same can be read at /car/PATH.car: get /car/docs.car downloads it.',
    ].join('\n'),
    examples: ['keg export /docs', 'keg export /keg/12/docs old.car'],
    options: {},
    operands: [1, 2],
  },
  async (context, { operands: [operand = '', file] }) => {
    const path = context.path(operand)
    const car = path === '/' ? '/car/keg/HEAD.car' : `/car${path}.car`
    await context.fs.stat(path, context.cancel)
    if (file === '-') {
      for await (const piece of context.fs.read(car, context.cancel)) await context.stdout.write(piece)
      return 0
    }
    const to = context.path(file ?? `${path === '/' ? 'root' : baseName(path)}.car`)
    const { size } = await context.fs.stat(car, context.cancel)
    await saying(`cannot write '${to}'`, () => copyFile(context, { from: car, to, size }))
    await context.print(`${context.shown(to)}: ${await rootOf(context, to)}\n`)
    return 0
  },
)

/** Bytes before the root in a CAR of ours: its header holds one, and nothing else that varies. */
const ROOT_AT = 14
/** A CIDv1 with sha2-256. */
const CID_BYTES = 36

/** What was written: what is at the path may be something else by then, with the CAR in it. */
async function rootOf(context: ProgramContext, car: string): Promise<string> {
  let cid = ''
  const part = { start: ROOT_AT, end: ROOT_AT + CID_BYTES, ...context.cancel }
  for await (const bytes of context.fs.read(car, part)) cid += base32(bytes)
  return `b${cid}`
}

/** RFC 4648, in small letters and without padding: as CIDs are written. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const digits = bits.match(/.{1,5}/g) ?? []
  return digits.map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five.padEnd(5, '0'), 2)]).join('')
}
