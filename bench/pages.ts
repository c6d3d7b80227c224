// A small web server for the pages that stand beside the product: a bare xterm, an empty page for raw data channels,
// IndexedDB and workers.
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join, resolve } from 'node:path'

const ROOT = join(import.meta.dirname, '..')

/** Paints what a terminal paints first, with nothing behind it. */
const XTERM_PAGE = `<!doctype html>
<html><head><meta charset="utf-8"><title>xterm</title><link rel="stylesheet" href="/xterm.css">
<style>html,body,#terminal{height:100%;margin:0}</style></head>
<body><div id="terminal"></div><script type="module">
import { Terminal } from '/xterm.mjs'
const terminal = new Terminal({ convertEol: true })
terminal.open(document.getElementById('terminal'))
terminal.write('a bare terminal\\n\\n/ $ ')
terminal.focus()
performance.mark('prompt')
</script></body></html>`

const FILES: Readonly<Record<string, { type: string; path: string }>> = {
  '/xterm.mjs': { type: 'text/javascript', path: 'node_modules/@xterm/xterm/lib/xterm.mjs' },
  '/xterm.css': { type: 'text/css', path: 'node_modules/@xterm/xterm/css/xterm.css' },
  '/idb-keyval.js': { type: 'text/javascript', path: 'node_modules/idb-keyval/dist/index.js' },
  '/lightning-fs.js': {
    type: 'text/javascript',
    path: 'node_modules/@isomorphic-git/lightning-fs/dist/lightning-fs.min.js',
  },
  '/primes.js': { type: 'text/javascript', path: 'public/examples/primes.js' },
}

export class Pages {
  #server: Server | undefined
  /** A folder of scripts that a measurement brings along; they are at /scripts/. */
  scripts = ''
  url = ''

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      const path = request.url ?? '/'
      const script = this.#scriptAt(path)
      const file = script ? { type: 'text/javascript', path: script } : FILES[path]
      const html = path === '/' ? '<!doctype html><title>empty</title>' : path === '/xterm' ? XTERM_PAGE : undefined
      const body = file ? readFileSync(resolve(ROOT, file.path)) : html
      const type = file?.type ?? 'text/html; charset=utf-8'
      if (body === undefined) response.writeHead(404).end()
      else response.writeHead(200, { 'content-type': type, 'cache-control': 'max-age=3600' }).end(body)
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    this.url = `http://localhost:${(server.address() as AddressInfo).port}`
    return this
  }

  #scriptAt(path: string): string | undefined {
    const [, folder, name, ...more] = path.split('/')
    if (this.scripts === '' || folder !== 'scripts' || !name?.endsWith('.js') || more.length > 0) return undefined
    return join(this.scripts, basename(name))
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
  }
}
