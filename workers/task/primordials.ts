// What the runtime takes from the platform before any user code runs. A program may replace every global and every
// prototype afterwards: the runtime uses only what is bound here, so its port never meets a replaced function.
// Imported first by task.worker.ts.
const { apply } = Reflect
const dataGetter = Object.getOwnPropertyDescriptor(MessageEvent.prototype, 'data')?.get
const { postMessage, addEventListener, start } = {
  postMessage: MessagePort.prototype.postMessage,
  addEventListener: EventTarget.prototype.addEventListener,
  start: MessagePort.prototype.start,
}
const BlobConstructor = Blob
const createObjectURL = URL.createObjectURL.bind(URL)
export const timers = {
  setTimeout: setTimeout.bind(self),
  setInterval: setInterval.bind(self),
  clearTimeout: clearTimeout.bind(self),
  clearInterval: clearInterval.bind(self),
}

/** Posts without ever looking up a method on the port. */
export function postTo(port: MessagePort, message: unknown, transfer?: readonly ArrayBuffer[]): void {
  apply(postMessage, port, transfer ? [message, transfer] : [message])
}

/** Hands each message's data, and nothing else of the event, to `listener`. */
export function listenTo(port: MessagePort, listener: (message: unknown) => void): void {
  const onMessage = (event: Event) => {
    if (dataGetter) listener(apply(dataGetter, event, []))
  }
  apply(addEventListener, port, ['message', onMessage])
  apply(start, port, [])
}

export function moduleUrl(source: string): string {
  return createObjectURL(new BlobConstructor([source], { type: 'text/javascript' }))
}

const turns = new MessageChannel()
const waiting: Record<number, () => void> = Object.create(null)
let lastTurn = 0
listenTo(turns.port1, (turn) => {
  const resume = waiting[turn as number]
  delete waiting[turn as number]
  resume?.()
})

/**
 * Resolves after rejections that nobody has handled so far were reported. Two turns of the event loop: the report
 * becomes a task only when the microtasks in which the first turn begins have run.
 */
export async function rejectionsReported(): Promise<void> {
  await turn()
  await turn()
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting[++lastTurn] = resolve
    postTo(turns.port2, lastTurn)
  })
}
