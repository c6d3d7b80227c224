// `npm start`: installs and builds if needed, then runs the relay with the flags given. See docs/relay.md.
import { join } from 'node:path'
import { command, ensureBuilt, ensureInstalled, isBuilt, ROOT, run, runtime } from './lib/install.mjs'

await command(async (flags) => {
  await ensureInstalled()
  // An explicit page folder (tests, packagers) needs no build; neither does a question about the flags.
  if (!process.env.BRITTLESTAR_DIST && !flags.includes('--help') && !isBuilt()) {
    const code = await run(runtime(), [join(ROOT, 'relay/check-flags.ts'), ...flags])
    if (code !== 0) return code
    await ensureBuilt()
  }
  // The ipc channel tells the relay when this process is gone, however it went.
  return run(runtime(), [join(ROOT, 'relay/main.ts'), ...flags], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
})
