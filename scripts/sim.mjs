// `npm run sim -- [--scenario=storm] [--seed=N] [--seeds=COUNT] [--nodes=N] [--seconds=N] [--schedule=FILE | --steps=N,N]
// [--verbose]`: runs the simulator and stops at the first failure, of which it prints the shortest trace that it finds, and
// the command that replays it. The same seed gives the same trace hash. See docs/simulator.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { flags } from './lib/flags.mjs'
import { command, ensureInstalled, ROOT, run, runtime, SetupError } from './lib/install.mjs'

const USAGE = `npm run sim [-- --scenario=NAME] [--seed=N] [--seeds=COUNT] [--nodes=N] [--seconds=N]
                [--schedule=FILE | --steps=N,N] [--verbose]

  --scenario=NAME  what happens (storm); a name that there is not lists them
  --seed=N         the first seed; any, unless told
  --seeds=COUNT    so many seeds in a row, until one fails
  --nodes=N        kernels; as the scenario says, unless told
  --seconds=N      of virtual time; as the scenario says, unless told
  --schedule=FILE  replays a failure's shortest trace
  --steps=N,N      only those steps of a seed
  --verbose        tells every event

docs/simulator.md tells more.`

/** Between two lines about progress. */
const PROGRESS_MS = 5_000

await command(async (args) => {
  await ensureInstalled()
  if (process.execPath !== runtime() && !process.features.typescript) {
    return run(runtime(), [join(ROOT, 'scripts/sim.mjs'), ...args])
  }
  const values = flags(args, {
    usage: USAGE,
    options: {
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      seeds: { type: 'string', default: '1' },
      scenario: { type: 'string', default: 'storm' },
      nodes: { type: 'string' },
      seconds: { type: 'string' },
      schedule: { type: 'string' },
      steps: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  })
  if (!values) return 0
  const { scenarios } = await import('../src/sim/scenarios.ts')
  const scenario = Object.hasOwn(scenarios, values.scenario) ? scenarios[values.scenario] : undefined
  if (!scenario) {
    const list = Object.entries(scenarios).map(([name, { summary }]) => `\n  ${name}: ${summary}`)
    throw new SetupError(`there is no scenario '${values.scenario}'; there are:${list.join('')}`)
  }
  const schedule = values.schedule === undefined ? undefined : await readSchedule(values.schedule)
  const options = {
    scenario: values.scenario,
    seed: schedule?.seed ?? number('seed', values.seed),
    seeds: number('seeds', values.seeds),
    nodes: values.nodes === undefined ? scenario.usual.nodes : number('nodes', values.nodes),
    seconds: values.seconds === undefined ? scenario.usual.seconds : number('seconds', values.seconds),
    schedule,
    only: values.steps === undefined ? undefined : await someSteps(values.steps),
    shrinkRuns: schedule || values.steps !== undefined ? 0 : 150,
  }
  return hunt(options, values.verbose)
})

async function hunt(options, verbose) {
  const { hunt, tell } = await import('../src/sim/hunt.ts')
  const progress = progressOf(options.seeds)
  const found = await hunt({
    ...options,
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    ...(verbose ? { onLine: (line) => console.log(line) } : {}),
    onReport: progress.report,
    onShrinking: (message) => console.error(`${message}\nlooking for a shorter trace …`),
  })
  if (!found) {
    progress.end()
    return 0
  }
  console.error(found.error.stack)
  if (options.shrinkRuns === 0) return 1
  console.error(tell(found, 'schedule' in found.shortest ? keep(found) : undefined))
  return 1
}

/** Keeps a schedule where the command that replays it finds it. */
function keep({ scenario, seed, shortest: { schedule } }) {
  const folder = join(ROOT, '.cache/sim')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${scenario}-${seed}.json`)
  writeFileSync(file, `${JSON.stringify(schedule, null, 1)}\n`)
  return relative(process.cwd(), file)
}

/** One run tells its figures; many tell from time to time how far they are. */
function progressOf(seeds) {
  const beganMs = performance.now()
  let [done, virtualMs, toldMs] = [0, 0, beganMs]
  const line = () => {
    const realMs = performance.now() - beganMs
    const rate = (virtualMs / realMs).toFixed(0)
    return `${done} of ${seeds} seeds hold; ${(realMs / 1000).toFixed(0)} s, ${rate} simulated seconds per second`
  }
  const report = (figures) => {
    done++
    virtualMs += figures.virtualMs
    const nowMs = performance.now()
    if (seeds === 1) console.log(JSON.stringify({ ...figures, realMs: Math.round(nowMs - beganMs) }))
    else if (nowMs - toldMs > PROGRESS_MS) {
      toldMs = nowMs
      console.log(`${line()} (at seed ${figures.seed})`)
    }
  }
  return { report, end: () => seeds > 1 && console.log(line()) }
}

async function someSteps(text) {
  const { parseSteps } = await import('../src/sim/steps.ts')
  try {
    return parseSteps(text)
  } catch (error) {
    throw new SetupError(`--steps: ${error.message}`)
  }
}

async function readSchedule(file) {
  const { parseSchedule } = await import('../src/sim/schedule.ts')
  try {
    return parseSchedule(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new SetupError(`cannot read the schedule ${file}: ${error.message}`)
  }
}

function number(name, text) {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new SetupError(`--${name} is a whole number, not '${text}'`)
  return value
}
