// Work for the next turn of the event loop: after whatever has arrived by now, and not after a timer's pause.
const { port1, port2 } = new MessageChannel()
let waiting: (() => void)[] = []

port1.onmessage = () => {
  const due = waiting
  waiting = []
  for (const work of due) work()
}

/** @param work must not throw. */
export function inNextTurn(work: () => void): void {
  if (waiting.push(work) === 1) port2.postMessage(null)
}
