// Whether the relay would take these flags: scripts/start.mjs asks before it builds the page. It says what main.ts would.
import { isOsError } from '../src/base/errors.ts'
import { parseFlags } from './flags.ts'

try {
  parseFlags(process.argv.slice(2), process.env)
} catch (error) {
  if (!isOsError(error)) throw error
  process.stderr.write(`brittlestar relay: ${error.message}\n`)
  process.exit(2)
}
