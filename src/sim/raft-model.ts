// Scenario: one journal, a handful of members, and everything that can go wrong with messages, disks, clocks' owners
// and links. No kernel: the machine of kernel/journal/raft alone, so that thousands of runs take seconds.

import { VirtualClock } from '../adapters/memory/clock.ts'
import { SeededRandom } from '../adapters/memory/random.ts'
import { toHex } from '../base/bytes.ts'
import type { NodeId } from '../base/ids.ts'
import { type GroupConfig, voterOf } from '../kernel/journal/raft/config.ts'
import { RaftLog } from '../kernel/journal/raft/log.ts'
import type { Entry, RaftMessage, Snapshot } from '../kernel/journal/raft/messages.ts'
import { type HardState, Raft, type Ready } from '../kernel/journal/raft/raft.ts'
import { NEW_WITNESS, Witness, type WitnessState } from '../kernel/journal/raft/witness.ts'
import { Steps } from './steps.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'

export interface RaftModelOptions {
  seed: number
  /** Random steps before the faults stop. */
  steps: number
  onLine?: (line: string) => void
  /** Which of them happen. */
  only?: Steps
}

export interface RaftModelReport {
  seed: number
  trace: string
  /** Proposals that their leader acknowledged, all of which were there in the end. */
  acknowledged: number
  terms: number
  crashes: number
  reconfigurations: number
  virtualMs: number
}

/** What survives a crash. */
interface ModelDisk {
  hard: HardState
  snapshot: Snapshot
  entries: Entry[]
  witness: WitnessState
}

interface ModelNode {
  id: NodeId
  disk: ModelDisk
  raft: Raft | undefined
  witness: Witness | undefined
  up: boolean
  /** Counts boots: what was under way for an earlier one is void. */
  boot: number
  storing: boolean
  /** Whom it believes to be reachable. */
  view: Set<NodeId>
}

interface Proposal {
  node: ModelNode
  boot: number
  term: number
  index: number
  value: string
}

const NO_CONFIG: GroupConfig = { voters: [], learners: [] }
const CANDIDATES = 5
/** The one that is never anything else: what it knows as a witness is not what a member knows. */
const WITNESS = `n${CANDIDATES - 1}` as NodeId

export class RaftModel {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly nodes: ModelNode[] = []
  readonly trace: Trace
  /** Links that carry nothing, as `from>to`. */
  readonly #cut = new Set<string>()
  #lossy = true
  #proposals = 0
  readonly #waiting: Proposal[] = []
  // --- what the checkers remember
  readonly #leaders = new Map<number, NodeId>()
  readonly #committed = new Map<number, string>()
  #highestAcknowledged = 0
  readonly acknowledged: { index: number; value: string }[] = []
  crashes = 0
  reconfigurations = 0

  constructor(options: RaftModelOptions) {
    this.random = new SeededRandom(options.seed)
    this.trace = new Trace(options.onLine)
    const ids = Array.from({ length: CANDIDATES }, (_, i) => `n${i}` as NodeId)
    const witnessed = this.random.float() < 0.5
    const voters = [ids[0], ids[1], witnessed ? WITNESS : ids[2]].map((id) => ({
      id: id as NodeId,
      witness: id === WITNESS,
    }))
    const config = { voters, learners: [] }
    for (const id of ids) {
      const member = voterOf(config, id)
      const snapshot = { index: member ? 1 : 0, term: 0, config: member ? config : NO_CONFIG, data: new Uint8Array(0) }
      const witness = { ...NEW_WITNESS, index: 1 }
      this.nodes.push({
        id,
        disk: { hard: { term: 0, vote: null }, snapshot, entries: [], witness },
        raft: undefined,
        witness: undefined,
        up: false,
        boot: 0,
        storing: false,
        view: new Set(ids),
      })
    }
    for (const node of this.nodes) this.#start(node)
  }

  // --- one member ------------------------------------------------------------------------------------------

  #start(node: ModelNode): void {
    const { hard, snapshot, entries } = node.disk
    const alive = (id: NodeId) => node.view.has(id)
    node.boot++
    node.up = true
    node.storing = false
    node.raft = new Raft({ self: node.id, hard, log: new RaftLog(snapshot, entries), alive })
    node.witness = new Witness(node.disk.witness, alive)
    for (const other of this.nodes) if (other !== node) this.#seeSoon(other, node)
    for (const other of this.nodes) if (other !== node) this.#seeSoon(node, other)
  }

  #crash(node: ModelNode): void {
    this.#note(`${node.id} crashes`)
    this.crashes++
    node.up = false
    node.raft = undefined
    node.witness = undefined
    for (const other of this.nodes) if (other !== node) this.#seeSoon(other, node)
  }

  /** Some time after the truth has changed, a node learns of it. */
  #seeSoon(node: ModelNode, other: ModelNode): void {
    this.#after(node, this.random.below(3_000), () => {
      const reachable = other.up && !this.#cut.has(`${node.id}>${other.id}`) && !this.#cut.has(`${other.id}>${node.id}`)
      if (reachable) {
        node.view.add(other.id)
        node.raft?.up(other.id, this.clock.nowMs())
      } else {
        node.view.delete(other.id)
        node.raft?.down(other.id, false)
        if (node.raft && node.raft.leader === undefined) this.#campaignSoon(node)
      }
      this.#pump(node)
    })
  }

  #campaignSoon(node: ModelNode): void {
    this.#after(node, this.random.below(600), () => {
      if (node.raft?.leader !== undefined || !node.raft?.quorate) return
      node.raft.campaign(this.clock.nowMs())
      this.#pump(node)
    })
  }

  #after(node: ModelNode, ms: number, action: () => void): void {
    const { boot } = node
    this.clock.setTimer(
      () => {
        if (node.up && node.boot === boot) action()
      },
      ms,
      'model',
    )
  }

  /** Stores and sends what the machine asks for, as a driver has to: one after the other. */
  #pump(node: ModelNode): void {
    this.#check(node)
    if (node.storing) return
    const ready = node.raft?.ready()
    if (!ready) return
    for (const { to, message } of ready.early) this.#send(node, to, message)
    node.storing = true
    this.#after(node, this.random.float() < 0.9 ? this.random.below(5) : this.random.below(300), () => {
      write(node.disk, ready)
      node.storing = false
      for (const { to, message } of ready.late) this.#send(node, to, message)
      node.raft?.stored(this.clock.nowMs())
      this.#pump(node)
    })
  }

  #send(node: ModelNode, to: NodeId, message: RaftMessage): void {
    const other = this.nodes.find(({ id }) => id === to)
    if (!other) return
    const times = this.#lossy && this.random.float() < 0.02 ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (this.#lossy && this.random.float() < 0.03) continue
      const ms = this.random.float() < 0.95 ? 1 + this.random.below(10) : this.random.below(2_000)
      this.clock.setTimer(() => this.#deliver(node.id, other, message), ms, 'message')
    }
  }

  #deliver(from: NodeId, node: ModelNode, message: RaftMessage): void {
    if (!node.up || this.#cut.has(`${from}>${node.id}`)) return
    this.#note(`${from}>${node.id} ${summary(message)}`)
    const nowMs = this.clock.nowMs()
    if (node.id !== WITNESS) {
      node.raft?.step(from, message, nowMs)
      return this.#pump(node)
    }
    const answers = node.witness?.step(from, message, nowMs) ?? []
    if (!node.witness || answers.length === 0) return
    const { state } = node.witness
    this.#after(node, this.random.below(10), () => {
      node.disk.witness = state
      for (const answer of answers) this.#send(node, answer.to, answer.message)
    })
  }

  // --- faults and work -------------------------------------------------------------------------------------

  /** @param steps says whether anything happens; time passes in any case. */
  disturb(steps: Steps): void {
    const random = this.random.fork()
    if (steps.next()) {
      const [what, act] = this.#choose(random)
      steps.tell(what)
      act()
    }
    for (const each of this.nodes) {
      each.raft?.tick(this.clock.nowMs())
      this.#pump(each)
    }
    this.#advance(random.float() < 0.9 ? random.below(40) : random.below(3_000))
  }

  /** One of the things that can happen, and what to call it. */
  #choose(random: SeededRandom): [what: string, act: () => void] {
    const node = random.pick(this.nodes)
    const dice = random.float()
    const { id } = node
    if (dice < 0.5) return ['a proposal', () => this.#propose(random)]
    if (dice < 0.56) return ['a change of members', () => this.#reconfigure(random)]
    if (dice < 0.6) return [`${id} hands over`, () => node.raft?.handOver(this.clock.nowMs())]
    if (dice < 0.64) return [`${id} campaigns`, () => node.raft?.campaign(this.clock.nowMs())]
    if (dice < 0.68) return [`${id} compacts`, () => this.#compact(node)]
    if (dice < 0.74) return [`${id} reads`, () => this.#read(node)]
    if (dice < 0.78 && node.up) return [`${id} crashes`, () => this.#crash(node)]
    if (dice < 0.86) return ['some come back', () => this.#startSome(random)]
    if (dice < 0.89) return ['a partition', () => this.#partition(random)]
    if (dice < 0.93) return ['links heal', () => this.#heal()]
    return ['nothing', () => undefined]
  }

  #startSome(random: SeededRandom): void {
    for (const each of this.nodes) if (!each.up && random.float() < 0.5) this.#start(each)
  }

  #advance(ms: number): void {
    const untilMs = this.clock.nowMs() + ms
    while (this.clock.step(untilMs)) this.#acknowledge()
    this.clock.jump(untilMs - this.clock.nowMs())
  }

  #leader(): ModelNode | undefined {
    return this.nodes.filter(({ raft }) => raft?.role === 'leader').sort((a, b) => term(b) - term(a))[0]
  }

  #propose(random: SeededRandom): void {
    const leaders = this.nodes.filter(({ raft }) => raft?.role === 'leader')
    if (leaders.length === 0) return
    const node = random.pick(leaders)
    const value = `v${this.#proposals++}`
    try {
      const index = (node.raft as Raft).propose([new TextEncoder().encode(value)], this.clock.nowMs())
      this.#waiting.push({ node, boot: node.boot, term: term(node), index, value })
      this.#note(`${node.id} proposes ${value} at ${index}`)
    } catch {
      this.#note(`${node.id} hands over`) // it does not take proposals then
    }
    this.#pump(node)
  }

  /** What a leader committed in its own term is acknowledged to whoever proposed it. */
  #acknowledge(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const waiting = this.#waiting[i] as Proposal
      const { node, boot, term: inTerm, index, value } = waiting
      const current = node.up && node.boot === boot && node.raft?.role === 'leader' && term(node) === inTerm
      if (current && (node.raft as Raft).commit < index) continue
      this.#waiting.splice(i, 1)
      if (!current) continue
      this.acknowledged.push({ index, value })
      this.#highestAcknowledged = Math.max(this.#highestAcknowledged, index)
    }
  }

  #reconfigure(random: SeededRandom): void {
    const node = this.#leader()
    if (!node?.raft) return
    const { voters, learners } = node.raft.config
    const { id } = random.pick(this.nodes)
    const without = voters.filter((voter) => voter.id !== id)
    const next = without.length < voters.length ? without : [...voters, { id, witness: id === WITNESS }]
    try {
      node.raft.reconfigure({ voters: next, learners: [...learners] }, this.clock.nowMs())
      this.reconfigurations++
      this.#note(`${node.id} changes members to ${next.map((voter) => voter.id + (voter.witness ? 'w' : ''))}`)
    } catch (error) {
      this.#note(`${node.id} may not change members: ${String(error)}`)
    }
    this.#pump(node)
  }

  #compact(node: ModelNode): void {
    const { raft } = node
    if (!raft || node.storing) return
    const index = Math.min(raft.commit, raft.log.stable)
    if (index <= raft.log.snapshot.index) return
    raft.log.compact(index, new TextEncoder().encode(`up to ${index}`))
    node.disk.entries = node.disk.entries.slice(index - node.disk.snapshot.index)
    node.disk.snapshot = raft.log.snapshot
  }

  /** Checker: a leader that is certain to lead knows of everything that was acknowledged. */
  #read({ id, raft }: ModelNode): void {
    if (raft?.role !== 'leader') return
    try {
      const certain = raft.confirm(this.clock.nowMs()) === undefined
      if (certain && raft.commit < this.#highestAcknowledged) {
        throw new Violation(`${id} would read at ${raft.commit}, while ${this.#highestAcknowledged} is acknowledged`)
      }
    } catch (error) {
      if (error instanceof Violation) throw error
    }
  }

  #partition(random: SeededRandom): void {
    const side = new Set(this.nodes.filter(() => random.float() < 0.5).map(({ id }) => id))
    const oneWay = random.float() < 0.3
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (side.has(a.id) && !side.has(b.id)) {
          this.#cut.add(`${a.id}>${b.id}`)
          if (!oneWay) this.#cut.add(`${b.id}>${a.id}`)
        }
      }
    }
    this.#note(`cut ${[...this.#cut].join(' ')}`)
    this.#allSee()
  }

  #heal(): void {
    this.#cut.clear()
    this.#note('healed')
    this.#allSee()
  }

  #allSee(): void {
    for (const node of this.nodes)
      for (const other of this.nodes) if (other !== node && node.up) this.#seeSoon(node, other)
  }

  // --- checkers --------------------------------------------------------------------------------------------

  #check({ id, raft }: ModelNode): void {
    if (!raft) return
    if (raft.role === 'leader') {
      const other = this.#leaders.get(raft.term)
      if (other !== undefined && other !== id) throw new Violation(`${other} and ${id} both lead term ${raft.term}`)
      this.#leaders.set(raft.term, id)
    }
    for (let index = Math.max(2, raft.log.snapshot.index + 1); index <= raft.commit; index++) {
      const entry = raft.log.entryAt(index)
      if (!entry) throw new Violation(`${id} committed ${index} without having it`)
      const text = `${entry.term} ${entry.kind} ${toHex(entry.bytes)}`
      const known = this.#committed.get(index)
      if (known === undefined) this.#committed.set(index, text)
      else if (known !== text) throw new Violation(`${id} committed '${text}' at ${index}, which was '${known}'`)
    }
  }

  /** Faults stop. Everybody comes back, somebody leads, and all that was acknowledged is there. */
  settle(): void {
    this.#lossy = false
    this.#heal()
    for (const node of this.nodes) if (!node.up) this.#start(node)
    for (let i = 0; i < 400; i++) {
      this.#advance(100)
      for (const node of this.nodes) {
        node.raft?.tick(this.clock.nowMs())
        this.#pump(node)
        if (node.raft && node.raft.leader === undefined && node.raft.quorate) this.#campaignSoon(node)
      }
      this.#propose(this.random)
      const leader = this.#leader()
      if (i > 50 && leader && (leader.raft as Raft).commit >= this.#lastProposed(leader)) break
    }
    const leader = this.#leader()
    if (!leader?.raft) throw new Violation('nobody leads after the faults have stopped')
    if (leader.raft.commit < this.#highestAcknowledged) {
      throw new Violation(`the leader has committed ${leader.raft.commit} of ${this.#highestAcknowledged}`)
    }
    for (const { index, value } of this.acknowledged) {
      const text = this.#committed.get(index)
      const hex = toHex(new TextEncoder().encode(value))
      if (!text?.endsWith(` data ${hex}`))
        throw new Violation(`${value} was acknowledged at ${index}, where now is ${text}`)
    }
  }

  /** All but what was proposed a moment ago. */
  #lastProposed(leader: ModelNode): number {
    return (leader.raft as Raft).log.lastIndex - 3
  }

  get terms(): number {
    return Math.max(0, ...this.#leaders.keys())
  }

  #note(line: string): void {
    this.trace.add(`${this.clock.nowMs().toFixed(1)} ${line}`)
  }
}

/** @throws {Violation} with what does not hold. */
export async function runRaftModel(options: RaftModelOptions): Promise<RaftModelReport> {
  const model = new RaftModel(options)
  const only = options.only ?? new Steps()
  for (let i = 0; i < options.steps; i++) model.disturb(only)
  model.settle()
  return {
    seed: options.seed,
    trace: model.trace.hash(),
    acknowledged: model.acknowledged.length,
    terms: model.terms,
    crashes: model.crashes,
    reconfigurations: model.reconfigurations,
    virtualMs: Math.round(model.clock.nowMs()),
  }
}

function write(disk: ModelDisk, { hard, snapshot, from, entries }: Ready): void {
  if (hard) disk.hard = hard
  if (snapshot) {
    const kept = disk.entries.slice(snapshot.index - disk.snapshot.index)
    disk.snapshot = snapshot
    disk.entries = kept
  }
  disk.entries = [...disk.entries.slice(0, from - disk.snapshot.index - 1), ...entries]
}

function term(node: ModelNode): number {
  return node.raft?.term ?? 0
}

function summary(message: RaftMessage): string {
  if (message.t === 'append') {
    const { prevIndex, prevTerm, entries, commit } = message
    return `append term ${message.term} after ${prevIndex}/${prevTerm}: ${entries.length}, commit ${commit}`
  }
  return JSON.stringify(message, (_key, value) => (value instanceof Uint8Array ? value.byteLength : value))
}
