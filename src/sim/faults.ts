// Makes the faults of a schedule happen to a cluster, and ends them.
import type { DeviceId } from '../base/ids.ts'
import type { Cluster, SimNode } from './cluster.ts'
import type { Fault, Seat } from './schedule.ts'

/** Tabs that are told of their freeze have that long to say so. */
const FAREWELL_MS = 50

export class Faults {
  readonly #cluster: Cluster
  readonly #note: (line: string) => void
  /** Who sits where. */
  readonly seats: SimNode[] = []
  /** What ends a fault, and when. */
  readonly #ends: { atMs: number; end: () => void | Promise<void> }[] = []
  /** Nodes whose disk was lost, and when. */
  readonly lost: { node: SimNode; atMs: number }[] = []
  /** Tabs that died without a word, and disks that were full. */
  deaths = 0
  full = 0

  constructor(cluster: Cluster, note: (line: string) => void) {
    this.#cluster = cluster
    this.#note = note
  }

  async open(devices: readonly number[]): Promise<void> {
    const ids: DeviceId[] = []
    for (const [seat, device] of devices.entries()) {
      const node = this.#cluster.addNode(ids[device])
      ids[seat] = node.device
      this.seats.push(node)
      await this.#cluster.run(node.boot())
    }
  }

  at(seat: Seat): SimNode {
    return this.seats[seat] as SimNode
  }

  /** Whatever is due ends. */
  async expire(): Promise<void> {
    const nowMs = this.#cluster.clock.nowMs()
    await this.#endAll((atMs) => atMs <= nowMs)
  }

  /** All faults end, all tabs are open. */
  async stop(): Promise<void> {
    await this.#endAll(() => true)
    for (const node of this.seats) await this.#boot(node)
  }

  async #endAll(due: (atMs: number) => boolean): Promise<void> {
    for (const each of [...this.#ends]) {
      if (!due(each.atMs)) continue
      this.#ends.splice(this.#ends.indexOf(each), 1)
      await each.end()
    }
  }

  #ending(forMs: number, end: () => void | Promise<void>): void {
    this.#ends.push({ atMs: this.#cluster.clock.nowMs() + forMs, end })
  }

  async #boot(node: SimNode): Promise<void> {
    if (node.up || !this.seats.includes(node)) return
    this.#note(`${node.id.slice(-4)} opens`)
    await this.#cluster.run(node.boot())
  }

  #kill(node: SimNode, keep: number): void {
    if (!node.up) return
    this.deaths++
    node.crash(keep)
  }

  async begin(fault: Fault): Promise<void> {
    this.#note(JSON.stringify(fault))
    switch (fault.do) {
      case 'cut':
        return this.#cut(fault)
      case 'outage':
        for (const seat of fault.seats) this.#kill(this.at(seat), fault.keep)
        return this.#ending(fault.forMs, async () => {
          for (const seat of fault.seats) await this.#boot(this.at(seat))
        })
      case 'break':
        return this.#cluster.hub.breakLink(this.at(fault.seats[0]).id, this.at(fault.seats[1]).id)
      case 'loss':
        this.#cluster.hub.conditions.lossRate = fault.rate
        return this.#ending(fault.forMs, () => {
          this.#cluster.hub.conditions.lossRate = 0
        })
      case 'relay':
        return this.#relay(fault)
      default:
        return this.#strike(this.at(fault.seat), fault)
    }
  }

  /** What befalls one node. */
  async #strike(node: SimNode, fault: Extract<Fault, { seat: Seat }>): Promise<void> {
    switch (fault.do) {
      case 'crash':
        this.#kill(node, fault.keep)
        return this.#ending(fault.forMs, () => this.#boot(node))
      case 'tear':
        node.disk.tearNextWrite(() => {
          this.#note(`${node.id.slice(-4)} dies in a write`)
          this.#kill(node, fault.keep)
        })
        return this.#ending(fault.forMs, () => {
          node.disk.tearNextWrite(undefined)
          return this.#boot(node)
        })
      case 'close':
        if (node.awake) await this.#cluster.run(node.close())
        return this.#ending(fault.forMs, () => this.#boot(node))
      case 'lose-disk':
        return this.#loseDisk(node, fault)
      case 'freeze':
        return this.#freeze(node, fault)
      case 'quota':
        this.full++
        node.disk.quotaBytes = node.disk.usedBytes() + fault.spareBytes
        return this.#ending(fault.forMs, () => this.#reload(node))
      case 'clock':
        node.skew.nowMs += fault.aheadMs
        node.skew.wallMs += fault.wallMs
        return
      case 'slow':
        this.#cluster.hub.setSlow(node.id, fault)
        return this.#ending(fault.forMs, () => this.#cluster.hub.setSlow(node.id, undefined))
    }
  }

  #loseDisk(node: SimNode, { seat, forMs }: Extract<Fault, { do: 'lose-disk' }>): void {
    this.#kill(node, 0)
    this.#cluster.forget(node)
    this.lost.push({ node, atMs: this.#cluster.clock.nowMs() })
    this.seats[seat] = this.#cluster.addNode(node.device)
    this.#ending(forMs, () => this.#boot(this.at(seat)))
  }

  async #freeze(node: SimNode, { told, forMs }: Extract<Fault, { do: 'freeze' }>): Promise<void> {
    if (!node.awake) return
    if (told) {
      node.kernel?.lifecycle('freeze')
      await this.#cluster.advance(FAREWELL_MS)
    }
    const thaw = node.freeze()
    const { kernel } = node
    this.#ending(forMs, () => {
      thaw()
      if (told && kernel === node.kernel) kernel?.lifecycle('resume')
    })
  }

  async #reload(node: SimNode): Promise<void> {
    node.disk.quotaBytes = Number.POSITIVE_INFINITY
    if (node.awake) await this.#cluster.run(node.close())
    await this.#boot(node)
  }

  #cut({ seats, way, forMs }: Extract<Fault, { do: 'cut' }>): void {
    const inside = this.seats.filter((_node, seat) => seats.includes(seat))
    const outside = this.seats.filter((_node, seat) => !seats.includes(seat))
    const set = (silent: boolean) => {
      for (const a of inside) {
        for (const b of outside) {
          if (way !== 'in') this.#cluster.hub.setSilent(a.id, b.id, silent)
          if (way !== 'out') this.#cluster.hub.setSilent(b.id, a.id, silent)
        }
      }
    }
    set(true)
    this.#ending(forMs, () => set(false))
  }

  #relay({ seat, forMs }: Extract<Fault, { do: 'relay' }>): void {
    const { hub } = this.#cluster
    const { id } = seat === null ? { id: undefined } : this.at(seat)
    const set = (up: boolean) => (id === undefined ? hub.setRelay(up) : hub.setRelayFor(id, up))
    set(false)
    this.#ending(forMs, () => set(true))
  }
}
