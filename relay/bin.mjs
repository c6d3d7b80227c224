#!/usr/bin/env node
// The `brittlestar` command. It runs on any Node ≥ 20.19 and starts the relay with one that runs TypeScript.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, runtime } from '../scripts/lib/install.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const usage = `Usage: brittlestar relay [flags]   serve the page and let tabs find each other
       brittlestar relay --help    the flags
       brittlestar --version
`
const [name, ...flags] = process.argv.slice(2)

if (name === 'relay') {
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc']
  process.exitCode = await run(runtime(), [join(here, 'main.ts'), ...flags], { stdio, cwd: process.cwd() })
} else if (name === '--version') {
  process.stdout.write(`${JSON.parse(readFileSync(join(here, '../package.json'), 'utf8')).version}\n`)
} else if (name === '--help' || name === 'help') {
  process.stdout.write(usage)
} else {
  process.stderr.write(name === undefined ? usage : `brittlestar: unknown command "${name}": see brittlestar --help\n`)
  process.exitCode = 2
}
