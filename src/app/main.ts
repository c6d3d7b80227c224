// The first code of the page: starts the kernel's worker, defines `globalThis.os`, then loads the terminal.
import { EventFeed } from '../shell/events.ts'
import { startKernel } from './kernel.ts'
import { boot, type Os } from './os.ts'

declare global {
  var os: Os
}

if (isSecureContext) start()
else void import('./trouble.ts').then(({ explainInsecurePage }) => explainInsecurePage(mainElement()))

function start(): void {
  if (typeof Worker !== 'function' || typeof MessageChannel !== 'function') return void explainMissing()
  const kernel = startKernel()
  const events = new EventFeed(kernel.client, (error) => reportError(error))
  globalThis.os = boot({ kernel, events })
  void import('./screen.ts').then(({ showScreen }) => showScreen(kernel, events))
}

async function explainMissing(): Promise<void> {
  const [{ explainMissing }, { missingPageApis }] = await Promise.all([
    import('./trouble.ts'),
    import('../adapters/system/features.ts'),
  ])
  explainMissing(mainElement(), missingPageApis())
}

function mainElement(): HTMLElement {
  return document.querySelector('main') ?? document.body
}
