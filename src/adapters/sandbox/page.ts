// The page's half of the sandbox: makes one hidden frame per domain and hands it the kernel worker's port. After
// that kernel and frame speak directly, so a busy page delays neither spawns nor kills in frames that exist.
import { errorLine } from '../../base/errors.ts'
import { hiddenFrame, load } from './hidden-frame.ts'
import { MAX_FRAMES } from './limits.ts'
import type { FromPage, ToNewFrame, ToPage } from './messages.ts'
import { SpareFrame } from './spare.ts'

export interface SandboxHostOptions {
  /** The task runtime as one self-contained script without imports; asked for when the first frame is made. */
  taskRuntimeSource: () => Promise<string>
  /** How long a frame may wait for the next process. */
  spareMs?: number
}

export interface SandboxHost {
  /** Removes every frame and with it every worker. Idempotent. */
  close(): void
  /** Frames of processes. */
  frameCount(): number
}

/** @param port to the kernel worker's `createSandbox`. */
export function hostSandboxes(port: MessagePort, options: SandboxHostOptions): SandboxHost {
  /** By domain; undefined while there is none yet. */
  const frames = new Map<number, HTMLIFrameElement | undefined>()
  const spare = new SpareFrame(options.spareMs)
  let runtime: Promise<string> | undefined

  const remove = (domain: number) => {
    frames.get(domain)?.remove()
    frames.delete(domain)
  }

  const frameFor = async (domain: number): Promise<HTMLIFrameElement | undefined> => {
    const wanted = () => frames.has(domain)
    const spared = await spare.take()
    const frame = spared ?? hiddenFrame()
    if (wanted()) frames.set(domain, frame)
    else frame.remove()
    return spared || (await load(frame, wanted)) ? frame : undefined
  }

  const add = async (domain: number, kernel: MessagePort) => {
    if (frames.size >= MAX_FRAMES) throw new Error(`more than ${MAX_FRAMES} processes have workers in this tab`)
    frames.set(domain, undefined) // until `drop`, whatever is awaited here
    runtime ??= options.taskRuntimeSource()
    const [source, frame] = await Promise.all([runtime, frameFor(domain)])
    if (!frame || !frames.has(domain)) return kernel.close()
    const start: ToNewFrame = { t: 'start', runtime: enclosed(source) }
    frame.contentWindow?.postMessage(start, '*', [kernel]) // an opaque origin cannot be named as a target
    void spare.prepare()
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
      spare.drop()
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
