// What this browser, or this way of opening the page, lacks: in words for the person in front of it.

interface Feature {
  /** For people: what is missing and, where known, what helps. */
  name: string
  present(scope: Scope): boolean
}

// biome-ignore lint/suspicious/noExplicitAny: looks for globals that may or may not exist
type Scope = Record<string, any>

const secureContext: Feature = {
  name: 'a secure page (open it as https:// or as http://localhost)',
  present: (scope) => scope['isSecureContext'] === true,
}

const common: Feature[] = [
  { name: 'WebCrypto', present: ({ crypto }) => typeof crypto?.subtle?.digest === 'function' },
  { name: 'Web Locks', present: ({ navigator }) => typeof navigator?.locks?.request === 'function' },
  { name: 'IndexedDB (some browsers switch it off in private windows)', present: ({ indexedDB }) => !!indexedDB },
  { name: 'the storage manager', present: ({ navigator }) => typeof navigator?.storage?.estimate === 'function' },
  { name: 'message channels', present: ({ MessageChannel }) => typeof MessageChannel === 'function' },
  {
    name: 'a newer browser (from 2024 on)',
    present: ({ Promise: promise, structuredClone }) =>
      typeof promise?.withResolvers === 'function' && typeof structuredClone === 'function',
  },
]

const pageOnly: Feature[] = [
  { name: 'WebRTC', present: ({ RTCPeerConnection }) => typeof RTCPeerConnection === 'function' },
  { name: 'module workers', present: hasModuleWorkers },
  {
    name: 'sandboxed frames',
    present: ({ HTMLIFrameElement }) =>
      !!HTMLIFrameElement && 'sandbox' in HTMLIFrameElement.prototype && 'srcdoc' in HTMLIFrameElement.prototype,
  },
  { name: 'session storage', present: hasSessionStorage },
]

const workerOnly: Feature[] = [
  { name: 'WebSocket in workers', present: ({ WebSocket }) => typeof WebSocket === 'function' },
  { name: 'fetch in workers', present: ({ fetch }) => typeof fetch === 'function' },
]

/** What the page lacks; empty when all is well. */
export function missingPageApis(scope: Scope = globalThis): string[] {
  return missing([...common, ...pageOnly], scope)
}

/** What the kernel's worker lacks; empty when all is well. */
export function missingWorkerApis(scope: Scope = globalThis): string[] {
  return missing([...common, ...workerOnly], scope)
}

/** An insecure page hides half of the list: then only that is said. */
function missing(features: Feature[], scope: Scope): string[] {
  if (!secureContext.present(scope)) return [secureContext.name]
  return features.filter((feature) => !feature.present(scope)).map((feature) => feature.name)
}

/** A browser that knows module workers reads the option `type`. */
function hasModuleWorkers({ Worker, URL: url }: Scope): boolean {
  if (typeof Worker !== 'function') return false
  let read = false
  const options = {
    get type(): 'module' {
      read = true
      return 'module'
    },
  }
  const source = url.createObjectURL(new Blob([''], { type: 'text/javascript' }))
  new Worker(source, options).terminate()
  url.revokeObjectURL(source)
  return read
}

function hasSessionStorage(scope: Scope): boolean {
  try {
    return !!scope['sessionStorage']
  } catch {
    return false // cookies are blocked: reading the property throws
  }
}
