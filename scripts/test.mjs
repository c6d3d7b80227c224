// `npm test`: installs what is missing, then runs everything. `npm test -- unit|e2e|check` runs a part.

import { dirname } from 'node:path'
import { ensureChromium } from './lib/chromium.mjs'
import { command, ensureBuilt, ensureInstalled, runtime } from './lib/install.mjs'
import { e2e, staticChecks, Tally, vitest } from './lib/steps.mjs'

await command(async ([part = 'all', ...rest]) => {
  await ensureInstalled()
  // Whatever the suites start by the name `node` is the runtime as well.
  process.env.PATH = `${dirname(runtime())}:${process.env.PATH}`
  const tally = new Tally()
  const wants = (name) => part === 'all' || part === name
  if (wants('unit') || wants('e2e')) process.env.CHROMIUM_PATH = await ensureChromium()
  if (wants('check')) await staticChecks(tally)
  if (wants('unit') || wants('e2e')) await ensureBuilt()
  if (wants('unit')) await vitest(tally, rest)
  if (wants('e2e')) await e2e(tally, rest)
  if (tally.failures.length > 0) console.log(`Failed: ${tally.failures.join('; ')}`)
  console.log(tally.line())
  return tally.failed === 0 ? 0 : 1
})
