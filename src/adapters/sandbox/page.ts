// The page's half of the sandbox: makes one hidden frame per domain and hands it the kernel worker's port. After
// that kernel and frame speak directly, so a busy page delays neither spawns nor kills in frames that exist.
import { errorLine } from '../../base/errors.ts'
import { frameDocument } from './frame.ts'
import { MAX_FRAMES } from './limits.ts'
import type { FrameStart, FromPage, ToPage } from './messages.ts'

export interface SandboxHostOptions {
  /** The task runtime as one self-contained script without imports; asked for when the first frame is made. */
  taskRuntimeSource: () => Promise<string>
}

export interface SandboxHost {
  /** Removes every frame and with it every worker. Idempotent. */
  close(): void
  frameCount(): number
}

/** @param port to the kernel worker's `createSandbox`. */
export function hostSandboxes(port: MessagePort, options: SandboxHostOptions): SandboxHost {
  const frames = new Map<number, HTMLIFrameElement>()
  let runtime: Promise<string> | undefined

  const remove = (domain: number) => {
    frames.get(domain)?.remove()
    frames.delete(domain)
  }

  const add = async (domain: number, kernel: MessagePort) => {
    if (frames.size >= MAX_FRAMES) throw new Error(`more than ${MAX_FRAMES} processes have workers in this tab`)
    const frame = hiddenFrame()
    frames.set(domain, frame) // from now on `drop` finds it, whatever is still awaited here
    runtime ??= options.taskRuntimeSource()
    const [source, html] = await Promise.all([runtime, frameDocument()])
    if (frames.get(domain) !== frame) return kernel.close()
    await loaded(frame, html)
    const start: FrameStart = { runtime: enclosed(source) }
    frame.contentWindow?.postMessage(start, '*', [kernel]) // an opaque origin cannot be named as a target
  }

  port.onmessage = (event: MessageEvent<ToPage>) => {
    const { t, domain } = event.data
    const kernel = event.ports[0]
    if (t === 'drop') remove(domain)
    else if (kernel) {
      add(domain, kernel).catch((error: unknown) => {
        runtime = undefined // the next spawn may fetch it again
        remove(domain)
        port.postMessage({ t: 'frame-failed', domain, reason: errorLine(error) } satisfies FromPage)
      })
    }
  }

  return {
    close() {
      for (const domain of [...frames.keys()]) {
        remove(domain)
        port.postMessage({ t: 'frame-failed', domain, reason: 'the page has closed its sandboxes' } satisfies FromPage)
      }
      port.close()
    },
    frameCount: () => frames.size,
  }
}

/**
 * Strict, and in a block: what a classic script declares at its top level is visible to every program in the worker,
 * and the functions of sloppy code can be had from a stack trace.
 */
function enclosed(source: string): string {
  return `'use strict';{${source}\n}`
}

/** Neither seen nor focusable nor read out; scripts, and nothing else that `sandbox` takes away. */
function hiddenFrame(): HTMLIFrameElement {
  const frame = document.createElement('iframe')
  frame.setAttribute('sandbox', 'allow-scripts')
  frame.setAttribute('aria-hidden', 'true')
  frame.setAttribute('tabindex', '-1')
  frame.title = 'sandbox'
  frame.inert = true
  frame.style.display = 'none'
  return frame
}

function loaded(frame: HTMLIFrameElement, html: string): Promise<void> {
  return new Promise((resolve) => {
    frame.addEventListener('load', () => resolve(), { once: true })
    frame.srcdoc = html
    document.body.append(frame)
  })
}
