// A finger on the terminal scrolls it, and a flick goes on for a while: xterm 6 knows wheels only.
import type { Terminal } from '@xterm/xterm'

/** A flick becomes slower by a factor e in so many ms. */
const SLOWING_MS = 325
/** Slower than this, in pixels per ms, a flick has ended. */
const SLOWEST = 0.02
/** A finger that rests for so long before it goes flicks nothing. */
const REST_MS = 60

/** Two fingers, and one where the page is zoomed in, are the browser's: they zoom and move the page. */
export function scrollByFinger(term: Terminal, element: HTMLElement): void {
  const still = matchMedia('(prefers-reduced-motion: reduce)')
  let finger: { y: number; atMs: number; speed: number } | undefined
  let flick = 0
  /** Pixels that are no whole row yet. */
  let rest = 0

  const scroll = (pixels: number) => {
    rest += pixels
    const height = element.querySelector('.xterm-screen')?.clientHeight ?? 0
    const rows = height > 0 ? Math.trunc((rest * term.rows) / height) : 0
    rest -= (rows * height) / term.rows
    if (rows !== 0) term.scrollLines(rows)
  }
  const slide = (speed: number, sinceMs: number) => {
    flick = requestAnimationFrame((nowMs) => {
      const passedMs = Math.max(0, nowMs - sinceMs)
      scroll(speed * passedMs)
      const slower = speed * Math.exp(-passedMs / SLOWING_MS)
      if (Math.abs(slower) > SLOWEST) slide(slower, nowMs)
    })
  }

  // What is typed shows its line, and a flick would go on from there.
  term.onData(() => cancelAnimationFrame(flick))
  element.addEventListener(
    'touchstart',
    ({ touches, timeStamp }) => {
      cancelAnimationFrame(flick)
      const [touch] = touches
      finger = touch && touches.length === 1 ? { y: touch.clientY, atMs: timeStamp, speed: 0 } : undefined
      rest = 0
    },
    { passive: true },
  )
  element.addEventListener(
    'touchmove',
    (event) => {
      const [touch] = event.touches
      if (!finger || !touch || event.touches.length > 1 || (visualViewport?.scale ?? 1) > 1) return
      event.preventDefault() // a finger that goes down would reload the page
      const pixels = finger.y - touch.clientY
      finger = { y: touch.clientY, atMs: event.timeStamp, speed: pixels / Math.max(1, event.timeStamp - finger.atMs) }
      scroll(pixels)
    },
    { passive: false },
  )
  element.addEventListener('touchend', ({ timeStamp }) => {
    if (finger && timeStamp - finger.atMs < REST_MS && !still.matches) slide(finger.speed, timeStamp)
    finger = undefined
  })
  element.addEventListener('touchcancel', () => {
    finger = undefined
  })
}
