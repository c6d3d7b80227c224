// A frame that waits for the next process: to make one, and a renderer for it, is most of what a short program takes. There is
// none before the first process. Above: page.ts. Below: hidden-frame.ts.
import { hiddenFrame, load } from './hidden-frame.ts'
import { SPARE_ANSWER_MS, SPARE_UNUSED_MS } from './limits.ts'
import type { ToNewFrame } from './messages.ts'

export class SpareFrame {
  readonly #unusedMs: number
  #frame: HTMLIFrameElement | undefined
  /** One that is not loaded yet. */
  #coming: HTMLIFrameElement | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(unusedMs = SPARE_UNUSED_MS) {
    this.#unusedMs = unusedMs
  }

  /** Resolves with the frame, which is the caller's from now on, or with undefined: there is none, or its renderer is dead. */
  async take(): Promise<HTMLIFrameElement | undefined> {
    const frame = this.#frame
    this.#frame = undefined
    clearTimeout(this.#timer)
    if (!frame || (await isAlive(frame))) return frame
    frame.remove()
    return undefined
  }

  /** Makes one, unless there is one. It is dropped when nobody takes it for long. Where none can be made, there is none. */
  async prepare(): Promise<void> {
    if (this.#frame) return
    const frame = hiddenFrame()
    this.#coming?.remove() // its renderer may be dead
    this.#coming = frame
    const here = await load(frame, () => this.#coming === frame).catch(() => false)
    if (!here) return
    this.#coming = undefined
    this.#frame = frame
    this.#timer = setTimeout(() => this.drop(), this.#unusedMs)
  }

  drop(): void {
    clearTimeout(this.#timer)
    this.#frame?.remove()
    this.#coming?.remove()
    this.#frame = this.#coming = undefined
  }
}

/** Nothing tells a page that the renderer of a frame was killed. */
function isAlive(frame: HTMLIFrameElement): Promise<boolean> {
  const { port1, port2 } = new MessageChannel()
  return new Promise<boolean>((resolve) => {
    const late = setTimeout(() => resolve(false), SPARE_ANSWER_MS)
    port1.onmessage = () => {
      clearTimeout(late)
      resolve(true)
    }
    frame.contentWindow?.postMessage({ t: 'alive' } satisfies ToNewFrame, '*', [port2])
  }).finally(() => port1.close())
}
