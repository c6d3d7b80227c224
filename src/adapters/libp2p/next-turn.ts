// Work for the next turn of the event loop: after whatever has arrived by now, and not after a timer's pause.
const { port1, port2 } = new MessageChannel()
let waiting: (() => void)[] = []

port1.onmessage = () => {
  const due = waiting
  waiting = []
  runAll(due)
}

/** One that throws does so at its end, and keeps nobody else from running. */
function runAll([work, ...others]: (() => void)[]): void {
  try {
    work?.()
  } finally {
    if (others.length > 0) runAll(others)
  }
}

export function inNextTurn(work: () => void): void {
  if (waiting.push(work) === 1) port2.postMessage(null)
}
