// `npm run check`: formatting, lint, import rules and types. Fast; no browser.
import { command, ensureInstalled } from './lib/install.mjs'
import { staticChecks, Tally } from './lib/steps.mjs'

await command(async () => {
  await ensureInstalled()
  const tally = new Tally()
  await staticChecks(tally)
  console.log(tally.line())
  return tally.failed === 0 ? 0 : 1
})
