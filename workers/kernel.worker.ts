// Entry of the kernel's worker: offers the control surface to its page, over comlink, and nothing else.
// Above: src/app/kernel.ts. Below: kernel/boot.ts, which gives the kernel its adapters.
import { expose } from 'comlink'
import { errorLine } from '../src/base/errors.ts'
import type { KernelControl } from '../src/syscalls/control.ts'
import { bootTab, type Tab } from './kernel/boot.ts'

let tab: Promise<Tab> | undefined

const control: KernelControl<MessagePort> = {
  async boot(options) {
    tab ??= bootTab(options)
    const { slot, nodeId } = await tab
    return { slot, nodeId }
  },
  async lifecycle(event) {
    await (await tab)?.lifecycle(event)
  },
}

// What no handler caught is a bug of ours; the tab goes on, and its log says so.
self.addEventListener('unhandledrejection', (event) => {
  event.preventDefault()
  const { reason } = event
  void tab?.then(({ log }) =>
    log.log('error', 'kernel', `an unhandled rejection: ${errorLine(reason)}`, { stack: String(reason?.stack) }),
  )
})

expose(control)
self.postMessage('here') // the page waits for a first word, whatever it is
