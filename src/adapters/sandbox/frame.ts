// The document that holds the workers of one domain: an opaque origin, almost everything refused, one inline script.
// It starts and ends workers for the kernel and reads nothing of what they say. No untrusted code ever runs in the
// document itself: there RTCPeerConnection would work despite the policy, and it could navigate away with data.

/**
 * Runs in the frame: says that it lives when it is asked, and begins when it gets the runtime. Plain text, since its hash
 * is what the policy admits; speaks messages.ts. The workers are classic ones: Chromium (156) starts no module workers
 * from blobs of an opaque origin. A worker's own messages to its parent are not listened to.
 */
const BOOTSTRAP = `
addEventListener('message', function begin(event) {
  if (event.source !== parent || !event.ports[0]) return
  const kernel = event.ports[0]
  if (event.data.t === 'alive') return kernel.postMessage(0)
  removeEventListener('message', begin)
  const url = URL.createObjectURL(new Blob([event.data.runtime], { type: 'text/javascript' }))
  const workers = new Map()
  const end = (id) => {
    workers.get(id)?.terminate()
    workers.delete(id)
  }
  const start = (id, port) => {
    const worker = new Worker(url)
    workers.set(id, worker)
    worker.onerror = (error) => {
      error.preventDefault()
      end(id)
      kernel.postMessage({ t: 'exit', id, reason: error.message || 'the worker could not start' })
    }
    worker.postMessage(0, [port])
  }
  kernel.onmessage = ({ data, ports }) => {
    if (data.t === 'ping') kernel.postMessage({ t: 'pong' })
    else if (data.t === 'terminate') end(data.id)
    else if (data.t === 'spawn') {
      try {
        start(data.id, ports[0])
      } catch (error) {
        kernel.postMessage({ t: 'exit', id: data.id, reason: String(error) })
      }
    }
  }
})
`

/**
 * The frame's policy. A page that has a policy of its own must allow as much: srcdoc inherits it.
 * No `webrtc 'block'`: Chromium (156) does not know it and says so on the console; workers have no RTCPeerConnection.
 */
export async function framePolicy(): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(BOOTSTRAP))
  const hash = btoa(String.fromCharCode(...new Uint8Array(digest)))
  return [
    "default-src 'none'",
    `script-src 'sha256-${hash}' blob: 'wasm-unsafe-eval'`,
    'worker-src blob:',
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
}

export async function frameDocument(): Promise<string> {
  const policy = await framePolicy()
  return `<!doctype html><meta http-equiv="Content-Security-Policy" content="${policy}"><script>${BOOTSTRAP}</script>`
}
