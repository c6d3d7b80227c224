// Runs the checks and suites one after the other and counts what passed. Used by check.mjs and test.mjs.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, run, runtime } from './install.mjs'

const bin = (path) => join(ROOT, 'node_modules', path)
const CACHE = join(ROOT, '.cache')

export class Tally {
  passed = 0
  failed = 0
  skipped = 0
  failures = []

  /** One check that is a whole: formatting, types. */
  async check(name, program, args, options = {}) {
    const began = performance.now()
    const code = await run(program, args, options)
    if (code === 0) this.passed++
    else {
      this.failed++
      this.failures.push(name)
    }
    console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`)
    return code === 0
  }

  /** A suite that reports its own counts. `read` turns its JSON report into { passed, failed, skipped }. */
  async suite(name, program, args, report, read, options = {}) {
    rmSync(report, { force: true })
    const code = await run(program, args, options)
    let counts
    try {
      counts = read(JSON.parse(readFileSync(report, 'utf8')))
    } catch (error) {
      counts = { passed: 0, failed: 1, skipped: 0 }
      console.error(`${name}: no report (${error.message})`)
    }
    if (code !== 0 && counts.failed === 0) counts.failed = 1
    this.passed += counts.passed
    this.failed += counts.failed
    this.skipped += counts.skipped
    if (counts.failed > 0) this.failures.push(name)
    console.log(
      `${counts.failed === 0 ? 'ok    ' : 'FAILED'} ${name}: ${counts.passed} passed, ${counts.failed} failed`,
    )
  }

  line() {
    return `${this.passed} passed, ${this.failed} failed${this.skipped > 0 ? `, ${this.skipped} skipped` : ''}`
  }
}

/** Formatting, lint, import rules and types: what a commit must not break. */
export async function staticChecks(tally) {
  const node = runtime()
  await tally.check('format and lint', node, [bin('@biomejs/biome/bin/biome'), 'ci', '--error-on-warnings', '.'])
  await tally.check('types', node, [bin('typescript/bin/tsc'), '-b'])
  await tally.check('planted violations are caught', node, [join(ROOT, 'scripts/planted.mjs')])
}

export async function vitest(tally, args = []) {
  mkdirSync(CACHE, { recursive: true })
  const report = join(CACHE, 'vitest.json')
  await tally.suite(
    'unit, contract and simulation tests',
    runtime(),
    [bin('vitest/vitest.mjs'), 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args],
    report,
    (json) => ({
      passed: json.numPassedTests,
      failed: json.numFailedTests,
      skipped: json.numPendingTests + json.numTodoTests,
    }),
  )
}

export async function e2e(tally, args = []) {
  mkdirSync(CACHE, { recursive: true })
  const report = join(CACHE, 'e2e.json')
  await tally.suite(
    'journeys in real browsers',
    runtime(),
    [bin('playwright/cli.js'), 'test', '--config', join(ROOT, 'e2e/playwright.config.ts'), ...args],
    report,
    ({ stats }) => ({ passed: stats.expected, failed: stats.unexpected + stats.flaky, skipped: stats.skipped }),
    { env: { ...process.env, PLAYWRIGHT_JSON_OUTPUT_NAME: report } },
  )
}
