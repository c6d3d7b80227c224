// `npm run dev`: Vite's dev server for the page with hot reload, and a relay beside it. Flags go to the relay.
// The page asks its own origin for /relay.json; Vite passes that on, and the answer holds the relay's own address.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { command, ensureBuilt, ensureInstalled, ROOT, runtime, SetupError } from './lib/install.mjs'

await command(async (flags) => {
  await ensureInstalled()
  await ensureBuilt()
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => relay.kill(signal))
  const relay = spawn(runtime(), [join(ROOT, 'relay/main.ts'), ...flags], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  const relayEnded = new Promise((resolve) => relay.on('close', (code) => resolve(code ?? 1)))
  const url = await relayUrl(relay, relayEnded)
  const { createServer } = await import('vite')
  const vite = await createServer({
    root: ROOT,
    server: {
      proxy: { '/relay.json': { target: url, changeOrigin: true }, '/goodbye/': { target: url, changeOrigin: true } },
    },
  })
  await vite.listen()
  console.log('\n  The page with hot reload:')
  vite.printUrls()
  const code = await relayEnded
  await vite.close()
  return code
})

/** The relay says over the ipc channel where it listens: with --port 0 nobody knows before. */
function relayUrl(relay, relayEnded) {
  return new Promise((resolve, reject) => {
    relay.once('message', (message) => resolve(message.url))
    relayEnded.then((code) => reject(new SetupError(`the relay ended with exit code ${code}: see above`)))
  })
}
