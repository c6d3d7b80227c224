// The status line and the page's title: who am I, how many nodes, how much is stored, what about the relay. Changes
// with kernel events only; no timer runs while nothing happens.
import { formatBytes } from '../base/bytes.ts'
import { shortNode } from '../base/ids.ts'
import type { EventFeed } from '../shell/events.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import type { KernelEvent, NodeInfo, StorageRow } from '../syscalls/types.ts'
import { STORAGE_REFRESH_MS } from './limits.ts'

const RELAY_WORDS: Readonly<Record<NodeInfo['relay'], string>> = {
  connected: 'relay connected',
  connecting: 'looking for the relay…',
  offline: 'no relay: this tab goes on with the tabs it knows',
}

/** What screen readers say when it changes: the rest changes with each file, or never. */
export function spokenText(node: NodeInfo): string {
  return `${nodesText(node)}, ${RELAY_WORDS[node.relay]}`
}

function nodesText({ nodes }: NodeInfo): string {
  return nodes === 1 ? '1 node' : `${nodes} nodes`
}

export function statusText(node: NodeInfo, storage: StorageRow | undefined): string {
  const nodes = nodesText(node)
  const stored = storage ? `${formatBytes(storage.usedBytes)} stored` : ''
  const relay = RELAY_WORDS[node.relay]
  const parts = [`node ${shortNode(node.id)}`, `slot ${node.slot}`, `device ${node.device.slice(0, 8)}`, nodes]
  return [...parts, stored, relay].filter((part) => part !== '').join(' · ')
}

export class StatusLine {
  readonly #element: HTMLElement
  readonly #spoken: HTMLElement
  readonly #client: SyscallClient
  #node: NodeInfo | undefined
  #storage: StorageRow | undefined
  #storageTimer = false

  /** @param spoken what screen readers announce. */
  constructor(element: HTMLElement, spoken: HTMLElement, client: SyscallClient) {
    this.#element = element
    this.#spoken = spoken
    this.#client = client
  }

  say(text: string, kind: 'busy' | 'good' | 'bad', spoken = text): void {
    if (this.#element.textContent !== text) this.#element.textContent = text
    if (this.#spoken.textContent !== spoken) this.#spoken.textContent = spoken
    this.#element.dataset['kind'] = kind
  }

  /** Call once the kernel has booted. */
  async follow(events: EventFeed): Promise<void> {
    events.on((event) => this.#onEvent(event))
    await Promise.all([this.#refreshNode(), this.#refreshStorage()])
  }

  #onEvent(event: KernelEvent): void {
    if (event.type === 'peer-joined' || event.type === 'peer-left' || event.type === 'relay') void this.#refreshNode()
    else if (event.type === 'tree') this.#refreshStorageSoon()
  }

  /** Many writes in a row make one request. */
  #refreshStorageSoon(): void {
    if (this.#storageTimer) return
    this.#storageTimer = true
    setTimeout(() => {
      this.#storageTimer = false
      void this.#refreshStorage()
    }, STORAGE_REFRESH_MS)
  }

  async #refreshNode(): Promise<void> {
    await this.#try(async () => {
      this.#node = await this.#client.info('node')
    })
  }

  async #refreshStorage(): Promise<void> {
    await this.#try(async () => {
      const rows = await this.#client.info('storage')
      this.#storage = rows.find((row) => row.node === this.#node?.id) ?? rows[0]
    })
  }

  /** A question that fails leaves the old answer: that the kernel has ended is said elsewhere. */
  async #try(ask: () => Promise<void>): Promise<void> {
    try {
      await ask()
    } catch {
      return
    }
    this.#show()
  }

  #show(): void {
    const node = this.#node
    if (!node) return
    this.say(statusText(node, this.#storage), node.relay === 'offline' ? 'bad' : 'good', spokenText(node))
    this.#element.title = node.relayDetail
    document.title = `(${node.nodes}) Brittlestar`
  }
}
