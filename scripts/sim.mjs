// `npm run sim -- --seed=N [--seeds=COUNT] [--scenario=churn] [--nodes=50] [--seconds=60] [--verbose]`: runs the
// simulator. A failing run prints the command that replays it; the same seed gives the same trace hash.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { command, ensureInstalled, ROOT, run, runtime, SetupError } from './lib/install.mjs'

await command(async (args) => {
  await ensureInstalled()
  if (process.execPath !== runtime() && !process.features.typescript) {
    return run(runtime(), [join(ROOT, 'scripts/sim.mjs'), ...args])
  }
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      seeds: { type: 'string', default: '1' },
      scenario: { type: 'string', default: 'churn' },
      nodes: { type: 'string', default: '50' },
      seconds: { type: 'string', default: '60' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const [seed, seeds, nodes, seconds] = ['seed', 'seeds', 'nodes', 'seconds'].map((name) => number(name, values[name]))
  const { replay, scenarios } = await import('../src/sim/scenarios.ts')
  const scenario = Object.hasOwn(scenarios, values.scenario) ? scenarios[values.scenario] : undefined
  if (!scenario) {
    const list = Object.entries(scenarios).map(([name, { summary }]) => `\n  ${name}: ${summary}`)
    throw new SetupError(`there is no scenario '${values.scenario}'; there are:${list.join('')}`)
  }
  for (let each = seed; each < seed + seeds; each++) {
    const began = performance.now()
    try {
      const report = await scenario.run({
        seed: each,
        nodes,
        seconds,
        settle: () => new Promise((resolve) => setImmediate(resolve)),
        ...(values.verbose ? { onLine: (line) => console.log(line) } : {}),
      })
      console.log(JSON.stringify({ ...report, realMs: Math.round(performance.now() - began) }))
    } catch (error) {
      console.error(`seed ${each} failed: ${error.stack}`)
      console.error(`replay: ${replay(values.scenario, { seed: each, nodes, seconds })} --verbose`)
      return 1
    }
  }
  return 0
})

function number(name, text) {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new SetupError(`--${name} is a whole number, not '${text}'`)
  return value
}
