// Finds a Chromium for the browser tests, or gets one: the system's, else Playwright's download, else Debian's
// package. Plain JavaScript; needs the packages to be installed.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ROOT, run, runtime, SetupError } from './install.mjs'

const CANDIDATES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]
/** A download on a closed network should give up before a person does. */
const DOWNLOAD_TIMEOUT_S = 300

const installed = () => [process.env.CHROMIUM_PATH, ...CANDIDATES].find((path) => path && existsSync(path))

/** Path of a Chromium. @throws {SetupError} with what to do when none can be had. */
export async function ensureChromium() {
  const found = installed() ?? downloaded()
  if (found) return found
  console.log('No Chromium found: trying Playwright’s download.')
  await attempt(runtime(), [join(ROOT, 'node_modules/playwright/cli.js'), 'install', 'chromium'])
  const afterDownload = downloaded()
  if (afterDownload) return afterDownload
  if (existsSync('/usr/bin/apt-get')) {
    console.log('Trying Debian’s package.')
    const root = process.getuid?.() === 0
    const apt = (...args) => attempt(root ? 'apt-get' : 'sudo', root ? args : ['-n', 'apt-get', ...args])
    await apt('-qq', 'update')
    await apt('-qq', '-y', 'install', 'chromium')
    const afterApt = installed()
    if (afterApt) return afterApt
  }
  throw new SetupError('the browser tests need Chromium: install it, or set CHROMIUM_PATH to its program')
}

function downloaded() {
  const { chromium } = createRequire(join(ROOT, 'package.json'))('playwright')
  const path = chromium.executablePath()
  return path && existsSync(path) ? path : undefined
}

/** Output is shown; failure is not the end, the next way is tried. */
async function attempt(program, args) {
  if (spawnSync('timeout', ['1', 'true']).error) return run(program, args)
  return run('timeout', [String(DOWNLOAD_TIMEOUT_S), program, ...args])
}
