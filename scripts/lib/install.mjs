// Makes a fresh clone runnable: installs packages, builds the page, finds a Node that can run both.
// Used by every command in scripts/. Plain JavaScript, because it runs before anything is installed (Node 20.19).
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname, join, relative, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The first Node that runs the relay's TypeScript as it is, without a flag. */
const NEEDED = [
  [22, 18],
  [24, 0],
]
const LOCK_WAIT_MS = 10 * 60_000
const LOCK_POLL_MS = 100
/** A lock folder without its pid file is being made or was left by a crash at that very moment. */
const LOCK_GRACE_MS = 5_000
const PARENT_POLL_MS = 250
const BUILD_INPUTS = ['src', 'workers', 'public', 'index.html', 'vite.config.ts', 'package-lock.json']

const at = (...parts) => join(ROOT, ...parts)

/** Something the user can act on: commands print its message as one line and exit with 1. */
export class SetupError extends Error {
  name = 'SetupError'
}

/** Runs a command's main function; a SetupError becomes one line on stderr and exit code 1. */
export async function command(main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(`brittlestar: ${error.message}`)
    process.exitCode = 1
  }
}

/** Path of the Node that runs the relay, the build and the tests: this one if it is new enough, else the pinned one. */
export function runtime() {
  return newEnough(process.versions.node) ? process.execPath : pinnedRuntime()
}

function pinnedRuntime() {
  return at('node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node')
}

function newEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  const needed = NEEDED.find(([wanted]) => wanted === major)
  return needed ? minor >= needed[1] : major > NEEDED.at(-1)[0]
}

/**
 * Runs a program in the project's folder and resolves to its exit code (128 + n after signal n).
 * SIGINT and SIGTERM that arrive meanwhile are passed on to it, and the end of the npm that started us ends it too.
 * @param {{ env?: object, stdio?: import('node:child_process').StdioOptions, cwd?: string, shell?: boolean,
 *   onChild?: (child: import('node:child_process').ChildProcess) => void }} [options]
 */
export function run(cmd, args, { env = {}, stdio = 'inherit', cwd = ROOT, shell = false, onChild } = {}) {
  return new Promise((resolve, reject) => {
    let child
    let orphaned
    const forward = (signal) => child.kill(signal)
    const done = () => {
      clearInterval(orphaned)
      process.off('SIGINT', forward).off('SIGTERM', forward)
    }
    const fail = (error) => {
      done()
      reject(new SetupError(`cannot run ${cmd}: ${error.message}`))
    }
    // Before the program can have begun: a signal in between would end us, and leave it running.
    process.on('SIGINT', forward).on('SIGTERM', forward)
    try {
      child = spawn(cmd, args, { cwd, env: { ...process.env, ...env }, stdio, shell })
    } catch (error) {
      return fail(error) // some reasons are thrown: there is nothing that a signal could be for
    }
    onChild?.(child)
    orphaned = onOrphaned(() => child.kill('SIGTERM'))
    child.on('error', fail)
    child.on('close', (code, signal) => {
      done()
      resolve(code ?? 128 + (constants.signals[signal] ?? 0))
    })
  })
}

/** npm that is told to stop leaves its scripts' programs running without a parent. */
function onOrphaned(action) {
  if (!process.env.npm_lifecycle_event) return undefined
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    action()
  }, PARENT_POLL_MS)
  return timer.unref()
}

/** As `run`, but keeps the output: for programs whose output matters only when they fail. */
async function runQuietly(cmd, args, options = {}) {
  let output = ''
  const keep = (text) => {
    output = (output + text).slice(-64 * 1024)
  }
  const onChild = (child) => {
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', keep)
  }
  const code = await run(cmd, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], onChild })
  return { code, output }
}

/** `npm ci`, if the installed packages are not those of package-lock.json. Quick when they are. */
export async function ensureInstalled() {
  if (isInstalled()) return
  await withLock('install', async () => {
    if (isInstalled()) return
    console.error('brittlestar: installing packages (only the first time)…')
    const [cmd, ...args] = npmCommand()
    const flags = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
    const result = await runQuietly(cmd, [...args, ...flags], { shell: cmd === 'npm' && process.platform === 'win32' })
    if (result.code !== 0) {
      throw new SetupError(`npm ci failed: ${npmReason(result.output)} (run "npm ci" to see all of it)`)
    }
    await ensureRuntime()
    writeFileSync(at('node_modules/.brittlestar-stamp'), packagesHash())
  })
}

/** npm 12 and --ignore-scripts skip the install script that puts the pinned Node in its place: run it here. */
async function ensureRuntime() {
  if (newEnough(process.versions.node) || existsSync(pinnedRuntime())) return
  const result = await runQuietly(process.execPath, ['installArchSpecificPackage.js'], { cwd: at('node_modules/node') })
  if (existsSync(pinnedRuntime())) return
  throw new SetupError(
    `this is Node ${process.versions.node}, the relay needs ${NEEDED[0].join('.')} or newer, and the one from npm did not install: ${npmReason(result.output)}`,
  )
}

/** The npm that started us, or the one on PATH. */
function npmCommand() {
  const { npm_execpath: cli, npm_node_execpath: node } = process.env
  if (cli && basename(cli) === 'npm-cli.js' && existsSync(cli)) {
    // The pinned Node lives in node_modules, which npm ci removes first: do not run npm with it.
    const usable = node && existsSync(node) && !node.startsWith(at('node_modules'))
    if (usable) return [node, cli]
  }
  return ['npm']
}

function npmReason(output) {
  const lines = output.split('\n').map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim())
  return lines.find((line) => line !== '' && !/^(code|errno|syscall) /.test(line)) ?? 'no reason given'
}

/** True when node_modules is what package-lock.json asks for, whoever installed it. */
function isInstalled() {
  const stamp = at('node_modules/.brittlestar-stamp')
  const hash = packagesHash()
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return true
  if (!matchesLock()) return false
  if (!newEnough(process.versions.node) && !existsSync(pinnedRuntime())) return false
  writeFileSync(stamp, hash)
  return true
}

function packagesHash() {
  const hash = createHash('sha256')
  for (const file of ['package.json', 'package-lock.json']) hash.update(readFileSync(at(file))).update('\0')
  return hash.digest('hex')
}

/** npm keeps a copy of the lock file in node_modules that says what it really installed. */
function matchesLock() {
  const hidden = at('node_modules/.package-lock.json')
  if (!existsSync(hidden)) return false
  const wanted = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(hidden, 'utf8')).packages
  const same = (path) =>
    installed[path]?.version === wanted[path]?.version && installed[path]?.integrity === wanted[path]?.integrity
  return (
    Object.keys(installed).every((path) => wanted[path] && same(path)) &&
    Object.keys(wanted).every((path) => path === '' || wanted[path].optional || same(path))
  )
}

/** `vite build`, if anything that goes into dist/ has changed since the last one. */
export async function ensureBuilt() {
  if (isBuilt()) return
  await withLock('build', async () => {
    const hash = inputsHash()
    if (isBuilt(hash)) return
    if (!existsSync(at('index.html'))) throw new SetupError('cannot build the page: index.html is missing')
    console.error('brittlestar: building the page…')
    const result = await runQuietly(runtime(), [at('node_modules/vite/bin/vite.js'), 'build', '--logLevel', 'warn'])
    if (result.code !== 0) {
      console.error(result.output.trimEnd())
      throw new SetupError('the build failed: see above')
    }
    writeFileSync(at('dist/.stamp'), hash)
  })
}

export function isBuilt(hash = inputsHash()) {
  return existsSync(at('dist/.stamp')) && readFileSync(at('dist/.stamp'), 'utf8') === hash
}

function inputsHash() {
  const hash = createHash('sha256')
  for (const file of BUILD_INPUTS.flatMap((input) => [...filesUnder(at(input))])) {
    hash.update(relative(ROOT, file).split(sep).join('/')).update('\0').update(readFileSync(file)).update('\0')
  }
  return hash.digest('hex')
}

/** Every file that can reach the bundle, in a fixed order; tests cannot. */
function* filesUnder(path) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isFile()) yield path
  if (!stat?.isDirectory()) return
  for (const name of readdirSync(path).sort()) {
    if (!/\.(test|contract)\.ts$|\.md$/.test(name)) yield* filesUnder(join(path, name))
  }
}

/** One at a time among all commands in this checkout. A lock whose owner died is taken over. */
async function withLock(name, work) {
  const lock = at('.cache', `${name}.lock`)
  mkdirSync(dirname(lock), { recursive: true })
  const deadline = Date.now() + LOCK_WAIT_MS
  while (!take(lock)) {
    if (Date.now() > deadline) throw new SetupError(`another command has held ${relative(ROOT, lock)} for 10 minutes`)
    await sleep(LOCK_POLL_MS)
  }
  try {
    await work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function take(lock) {
  try {
    mkdirSync(lock)
    writeFileSync(join(lock, 'pid'), String(process.pid))
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw new SetupError(`cannot write ${relative(ROOT, lock)}: ${error.message}`)
  }
  if (abandoned(lock)) rmSync(lock, { recursive: true, force: true })
  return false
}

function abandoned(lock) {
  const pidFile = join(lock, 'pid')
  if (!existsSync(pidFile)) {
    const made = statSync(lock, { throwIfNoEntry: false })
    return made !== undefined && Date.now() - made.mtimeMs > LOCK_GRACE_MS
  }
  const pid = Number(readFileSync(pidFile, 'utf8'))
  if (!pid) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}
