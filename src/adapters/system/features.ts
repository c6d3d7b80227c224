// What this browser, or this way of opening the page, lacks: in words for the person in front of it.

type Scope = Readonly<Record<string, unknown>>

interface Feature {
  /** For people: what is missing and, where known, what helps. */
  name: string
  /** Where it is found, e.g. `crypto.subtle.digest`. */
  api: string
}

const common: Feature[] = [
  { name: 'WebCrypto', api: 'crypto.subtle.digest' },
  { name: 'Web Locks', api: 'navigator.locks.request' },
  { name: 'IndexedDB (some browsers switch it off in private windows)', api: 'indexedDB' },
  { name: 'the storage manager', api: 'navigator.storage.estimate' },
  { name: 'message channels', api: 'MessageChannel' },
  { name: 'copying of structured data', api: 'structuredClone' },
  { name: 'a newer browser (from 2024 on)', api: 'Promise.withResolvers' },
]

const pageOnly: Feature[] = [
  { name: 'WebRTC', api: 'RTCPeerConnection' },
  { name: 'workers', api: 'Worker' },
  { name: 'sandboxed frames', api: 'HTMLIFrameElement' },
  { name: 'session storage (cookies may be blocked)', api: 'sessionStorage' },
]

const workerOnly: Feature[] = [
  { name: 'WebSocket in workers', api: 'WebSocket' },
  { name: 'fetch in workers', api: 'fetch' },
]

/** What the page lacks; empty when all is well. */
export function missingPageApis(scope: object = globalThis): string[] {
  const missing = missingOf([...common, ...pageOnly], scope as Scope)
  if (has(scope as Scope, 'Worker') && !hasModuleWorkers()) missing.push('module workers')
  return missing
}

/** What the kernel's worker lacks; empty when all is well. */
export function missingWorkerApis(scope: object = globalThis): string[] {
  return missingOf([...common, ...workerOnly], scope as Scope)
}

/** An insecure page hides half of the list: then only that is said. */
function missingOf(features: Feature[], scope: Scope): string[] {
  if (scope['isSecureContext'] !== true) return ['a secure page (open it as https:// or as http://localhost)']
  return features.filter(({ api }) => !has(scope, api)).map(({ name }) => name)
}

function has(scope: Scope, api: string): boolean {
  try {
    let value: unknown = scope
    for (const name of api.split('.')) value = (value as Scope)[name]
    return value !== undefined && value !== null
  } catch {
    return false // a step is missing, or the browser forbids even to look
  }
}

/** A browser that knows module workers reads the option `type`. */
function hasModuleWorkers(): boolean {
  let read = false
  const options: WorkerOptions = {
    get type(): 'module' {
      read = true
      return 'module'
    },
  }
  const url = URL.createObjectURL(new Blob([''], { type: 'text/javascript' }))
  new Worker(url, options).terminate()
  URL.revokeObjectURL(url)
  return read
}
