// Journeys in real browsers, two files at a time: they wait more than they compute. No retries: a flaky journey is a bug.
import { defineConfig } from 'playwright/test'

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  workers: 2,
  fullyParallel: false,
  retries: 0,
  // Patience costs nothing where all is well: a loaded machine is four times as slow as an idle one.
  timeout: 240_000,
  expect: { timeout: 60_000 },
  reporter: [['list'], ['json']],
  outputDir: '../.cache/e2e',
})
