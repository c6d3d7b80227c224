// Does the network stack of a silent member still answer? It acknowledges what is sent also where its tab is busy or frozen;
// that of a killed tab sends nothing any more, which the browser itself notes after 5 to 6 s. Above: suspicion.ts, which
// says who is silent, and what becomes of it. Below: the network port, which counts packets.
import { errorLine } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Network } from '../../ports/network.ts'
import { ANSWER_MS, CALM_MS, MAX_CALM_MS, OWN_STALL_MS, UNHEARD_MS } from '../limits.ts'
import type { Member } from './member.ts'

export interface StackProbeOptions {
  network: Network
  clock: Clock
  log: LogSink
  /** Sends it something that every stack acknowledges. */
  ask(member: Member): void
  /** Nothing at all has come of it for as long as an answer takes. */
  unheard(member: Member): void
  /** The same for UNHEARD_MS, and the member is held to be silent. */
  gone(member: Member): void
  /** Whether silence counts against it in `inMs`; infinite: not at all. */
  silentInMs(member: Member): number
}

interface Probe {
  /** Counted before it was asked. Undefined: being counted. */
  packets: number | undefined
  askedMs: number
  timer: Timer | undefined
}

export class StackProbe {
  readonly #options: StackProbeOptions
  readonly #probes = new Map<NodeId, Probe>()
  /** Of those whose stack was found to be alive: when the next probe may begin, and how long the pause was. */
  readonly #calm = new Map<NodeId, { untilMs: number; pauseMs: number }>()

  constructor(options: StackProbeOptions) {
    this.#options = options
  }

  /** It is silent: its packets are counted from now on, unless they are, or it was found to be alive a moment ago. */
  begin(member: Member): void {
    const { clock } = this.#options
    const { id } = member
    if (this.#probes.has(id) || clock.nowMs() < (this.#calm.get(id)?.untilMs ?? 0)) return
    const probe: Probe = { packets: undefined, askedMs: 0, timer: undefined }
    this.#probes.set(id, probe)
    this.#count(member, probe, (packets) => {
      probe.packets = packets
      // After the count: what it acknowledges was not counted yet.
      this.#options.ask(member)
      probe.askedMs = clock.nowMs()
      this.#lookIn(member, probe, ANSWER_MS)
    })
  }

  /** Something was heard of it, or it is no member any longer. */
  end(id: NodeId): void {
    this.#calm.delete(id)
    this.#stop(id)
  }

  close(): void {
    for (const id of [...this.#probes.keys()]) this.#stop(id)
  }

  #stop(id: NodeId): void {
    const probe = this.#probes.get(id)
    probe?.timer?.cancel()
    this.#probes.delete(id)
  }

  #lookIn(member: Member, probe: Probe, ms: number): void {
    const { clock } = this.#options
    const dueMs = clock.nowMs() + ms
    const look = () => {
      // We stood still, and perhaps this whole machine did: it has heard nobody.
      const stalled = () => clock.nowMs() - dueMs > OWN_STALL_MS
      if (stalled()) return this.#stop(member.id)
      this.#count(member, probe, (packets) => {
        // The same while the page was counting, or it is busy itself.
        if (stalled()) this.#stop(member.id)
        else this.#judge(member, probe, packets)
      })
    }
    probe.timer = clock.setTimer(look, ms, 'is its network stack there')
  }

  /** A page that stands still counts late, or never: then nothing comes of it. */
  #count(member: Member, probe: Probe, then: (packets: number) => void): void {
    const { network, log } = this.#options
    const counted = (packets: number | undefined) => {
      if (this.#probes.get(member.id) !== probe) return
      if (packets === undefined) this.#stop(member.id)
      else then(packets)
    }
    network
      .heardPackets(member.id)
      .then(counted)
      .catch((error: unknown) => log.log('error', 'membership', `cannot probe a peer: ${errorLine(error)}`))
  }

  #judge(member: Member, probe: Probe, packets: number): void {
    const { clock, unheard, gone, silentInMs } = this.#options
    const nowMs = clock.nowMs()
    if (packets !== probe.packets) {
      // It is busy: asked again after a while, twice as long each time, as each question waits for it.
      const before = this.#calm.get(member.id)
      const pauseMs = before ? Math.min(MAX_CALM_MS, 2 * before.pauseMs) : CALM_MS
      this.#calm.set(member.id, { untilMs: nowMs + pauseMs, pauseMs })
      return this.#stop(member.id)
    }
    const leftMs = Math.max(probe.askedMs + UNHEARD_MS - nowMs, silentInMs(member))
    if (leftMs <= 0) return gone(member)
    unheard(member)
    if (Number.isFinite(leftMs)) this.#lookIn(member, probe, leftMs)
    else this.#stop(member.id)
  }
}
