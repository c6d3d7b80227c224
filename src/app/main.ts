// Entry of the page: a terminal where the system can run, an explanation where it cannot.
import { begun } from './begin.ts' // first: modules run in the order of their imports

import { showScreen } from './screen.ts'

if (begun) showScreen(begun)
else void explain()

async function explain(): Promise<void> {
  const element = document.querySelector('main') ?? document.body
  const { explainInsecurePage, explainMissing } = await import('./trouble.ts')
  if (!isSecureContext) return explainInsecurePage(element)
  const { missingPageApis } = await import('../adapters/system/features.ts')
  explainMissing(element, missingPageApis())
}
