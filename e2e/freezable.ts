// A tab that can be frozen as browsers freeze tabs in the background. Playwright makes each page that it opens believe that
// it has the focus, and such a page is never hidden; so this tab is in a browser of its own, to which it only connects.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { chromium } from 'playwright/test'
import { chromiumPath, FLAGS, Tab } from './fixtures.ts'

export interface Freezable {
  tab: Tab
  freeze(): Promise<void>
  thaw(): Promise<void>
  close(): Promise<void>
}

export async function openFreezable(url: string): Promise<Freezable> {
  const profile = mkdtempSync(join(tmpdir(), 'brittlestar-freezable-'))
  const flags = ['--headless', '--remote-debugging-port=0', `--user-data-dir=${profile}`, ...FLAGS, 'about:blank']
  const child = spawn(chromiumPath() ?? chromium.executablePath(), flags, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const end = async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    return await connect(child, url, end)
  } catch (error) {
    await end()
    throw error
  }
}

async function connect(child: ChildProcessByStdio<null, null, Readable>, url: string, end: () => Promise<void>) {
  const endpoint = await new Promise<string>((resolve, reject) => {
    let said = ''
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`Chromium ended with exit code ${code}: ${said}`)))
    child.stderr.on('data', (chunk) => {
      if (said.length < 65_536) said += chunk
      const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1]
      if (found) resolve(found)
    })
  })
  const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true })
  const page = browser.contexts()[0]?.pages()[0]
  if (!page) throw new Error('the browser has no page')
  const tab = await new Tab(page).open(url)
  const session = await tab.context.newCDPSession(page)
  const state = async (to: 'frozen' | 'active') => void (await session.send('Page.setWebLifecycleState', { state: to }))
  return {
    tab,
    freeze: () => state('frozen'),
    thaw: () => state('active'),
    async close() {
      await browser.close()
      await end()
    },
  }
}
