// Whom a node that has come has yet to meet: all who were here when the relay first answered. Until then it cannot know
// whether what nobody has told it exists. Above: kernel.ts. Below: the network's events.
import type { NodeId } from '../../base/ids.ts'
import type { NetworkEvent } from '../../ports/network.ts'
import { MAX_MESH_PEERS } from '../limits.ts'

export class Arrival {
  readonly #linked: () => readonly NodeId[]
  /** Those who were here and have not gone; undefined while the relay has neither answered nor turned out to be away. */
  #here: Set<NodeId> | undefined

  /** @param linked who can be asked. */
  constructor(linked: () => readonly NodeId[]) {
    this.#linked = linked
  }

  note(event: NetworkEvent): void {
    if (event.type === 'listed') this.#here = new Set(event.peers)
    else if (event.type === 'hint-gone') this.#here?.delete(event.peer)
    else if (event.type === 'relay' && event.state === 'offline') this.#here ??= new Set()
  }

  /** Nobody else was here, as far as can be known. */
  get alone(): boolean {
    return this.#here?.size === 0
  }

  /** Some who were here have no link to this node: in a large cluster, most of them. */
  get unmet(): boolean {
    if (!this.#here) return true
    const linked = new Set(this.#linked())
    if (this.#here.size > MAX_MESH_PEERS) return linked.size < MAX_MESH_PEERS / 2
    for (const peer of this.#here) if (!linked.has(peer)) return true
    return false
  }
}
