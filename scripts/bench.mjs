// `npm run bench [-- --only=boot,job] [--json FILE] [--quick]`: measures the product beside the platform's own limits.
// docs/bench.md tells what each row means.
import { join } from 'node:path'
import { ensureChromium } from './lib/chromium.mjs'
import { flags } from './lib/flags.mjs'
import { command, ensureBuilt, ensureInstalled, ROOT, run, runtime, SetupError } from './lib/install.mjs'

const USAGE = `npm run bench [-- --only=NAME,NAME] [--json FILE] [--quick]

  --only=NAME,NAME  some of the measurements; a name that there is not lists them
  --json FILE       where the numbers are written (.cache/bench.json)
  --quick           few repetitions: shows that it works, not for the record

docs/bench.md tells what each row means.`

await command(async (args) => {
  await ensureInstalled()
  if (process.execPath !== runtime() && !process.features.typescript) {
    return run(runtime(), [join(ROOT, 'scripts/bench.mjs'), ...args])
  }
  const values = flags(args, {
    usage: USAGE,
    options: {
      only: { type: 'string', default: '' },
      json: { type: 'string', default: join(ROOT, '.cache/bench.json') },
      quick: { type: 'boolean', default: false },
    },
  })
  if (!values) return 0
  await ensureBuilt()
  const chromiumPath = await ensureChromium()
  const { bench, measures } = await import('../bench/main.ts')
  const only = values.only.split(',').filter((name) => name !== '')
  for (const name of only) {
    if (!(name in measures)) {
      throw new SetupError(`there is no measurement '${name}'; there are: ${Object.keys(measures).join(', ')}`)
    }
  }
  const failed = await bench({ only, quick: values.quick, json: values.json, chromiumPath })
  return failed > 0 ? 1 : 0
})
