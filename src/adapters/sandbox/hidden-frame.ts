// The element around a frame's document (frame.ts), in the page. Above: page.ts, spare.ts.
import { frameDocument } from './frame.ts'

/** Neither seen nor focusable nor read out; scripts, and nothing else that `sandbox` takes away. */
export function hiddenFrame(): HTMLIFrameElement {
  const frame = document.createElement('iframe')
  frame.setAttribute('sandbox', 'allow-scripts')
  frame.setAttribute('aria-hidden', 'true')
  frame.setAttribute('tabindex', '-1')
  frame.title = 'sandbox'
  frame.inert = true
  frame.style.display = 'none'
  return frame
}

/** Resolves when its document is there. @param wanted asked before it enters the page: else it resolves with false at once. */
export async function load(frame: HTMLIFrameElement, wanted: () => boolean): Promise<boolean> {
  const html = await frameDocument()
  if (!wanted()) return false
  await new Promise<void>((resolve) => {
    frame.addEventListener('load', () => resolve(), { once: true })
    frame.srcdoc = html
    document.body.append(frame)
  })
  return wanted()
}
