// Entry of the page: a terminal where the system can run, an explanation where it cannot.
import { type Begun, begun } from './begin.ts' // first: modules run in the order of their imports

import { showScreen } from './screen.ts'

if (begun) show(begun)
else void explain()

/** Scripts and other tabs have a node here also when the screen fails. */
function show(parts: Begun): void {
  try {
    showScreen(parts)
  } catch (error) {
    parts.start()
    throw error
  }
}

async function explain(): Promise<void> {
  const element = document.querySelector('main') ?? document.body
  const { explainInsecurePage, explainMissing } = await import('./trouble.ts')
  if (!isSecureContext) return explainInsecurePage(element)
  const { missingPageApis } = await import('../adapters/system/features.ts')
  explainMissing(element, missingPageApis())
}
