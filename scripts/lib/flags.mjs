// The flags of a command: what it takes, or one clear line about what is wrong with them. Used by bench.mjs and sim.mjs.
import { parseArgs } from 'node:util'
import { SetupError } from './install.mjs'

/**
 * @param args as typed.
 * @param about `usage` answers `--help`; `options` as for node:util's parseArgs.
 * @returns the values; undefined when help was asked for and given.
 * @throws {SetupError} for a flag that there is not, or one without its value.
 */
export function flags(args, { usage, options }) {
  let values
  try {
    values = parseArgs({ args, options: { ...options, help: { type: 'boolean', short: 'h', default: false } } }).values
  } catch (error) {
    if (!String(error.code).startsWith('ERR_PARSE_ARGS_')) throw error
    throw new SetupError(`${error.message.split('. ')[0]}; --help tells what there is`, { cause: error })
  }
  if (!values.help) return values
  console.log(usage)
  return undefined
}
