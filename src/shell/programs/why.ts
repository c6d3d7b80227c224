// why: where the events of a process ran and why there, what was run again, what runs now, who took over. Told by its journal.
import { shortNode } from '../../base/ids.ts'
import type { HistoryRow } from '../../syscalls/types.ts'
import { processHistory } from '../journal.ts'
import { defineProgram, jsonOption, type ProgramContext } from '../program.ts'
import { printable } from '../table.ts'

/** Of events that run now; `ps --tree` shows more. */
const MAX_RUNNING = 10

interface Place {
  node: string
  completed: number
  lost: number
  /** The commonest reasons for which events were given to it. */
  why: string
}

interface Story {
  program: string
  state: string
  assigned: number
  completed: number
  /** What runs now, as far as the journal tells. */
  running: { event: string; task: string | null; node: string; atMs: number | null }[]
  rerun: { event: string; task: string | null; node: string | null; why: string }[]
  homes: { node: string | null; atMs: number | null; why: string }[]
  places: Place[]
}

export const why = defineProgram(
  {
    name: 'why',
    summary: 'Say where the events of a process ran, and why',
    usage: ['[--json] KID'],
    details: [
      'From the journal of the process: its homes and why it moved, how many events each tab completed and why they were',
      'placed there, each event that had to run again, with the reason, and what runs now. `log` shows every entry.',
    ].join('\n'),
    examples: ['why K-0123abcd'],
    options: jsonOption,
    operands: [1, 1],
  },
  async (context, { options, operands: [kid = ''] }) => {
    const rows: HistoryRow[] = []
    for await (const row of processHistory(context, kid)) rows.push(row)
    const story = tell(rows)
    if (options.json) await context.printJson(story)
    else await context.print(inWords(context, story))
    return 0
  },
)

function tell(rows: readonly HistoryRow[]): Story {
  const story: Story = {
    program: '?',
    state: 'running',
    assigned: 0,
    completed: 0,
    running: [],
    rerun: [],
    homes: [],
    places: [],
  }
  /** By event and tab: near the end of a job an event may run on two. */
  const running = new Map<string, Story['running'][number]>()
  const places = new Map<string, Place & { reasons: Map<string, number> }>()
  const placeOf = (node: string) => {
    const place = places.get(node) ?? { node, completed: 0, lost: 0, why: '', reasons: new Map<string, number>() }
    places.set(node, place)
    return place
  }
  for (const row of rows) {
    const { what, node, event, task, atMs, detail } = row
    if (what === 'spawned') story.program = detail
    // It begins where it was started: no move.
    const begins = what === 'home' && story.assigned === 0 && node === story.homes[0]?.node
    if (what === 'spawned' || (what === 'home' && !begins)) {
      running.clear() // a new home gives what ran to tabs anew
      story.homes.push({ node, atMs, why: what === 'home' ? detail : 'it was started there' })
    } else if (what === 'assigned' && node) {
      story.assigned++
      const { reasons } = placeOf(node)
      const reason = detail.split(':')[0] ?? detail
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      if (event) running.set(`${event} ${node}`, { event, task, node, atMs })
    } else if (what === 'completed' && node) {
      for (const key of [...running.keys()]) if (key.startsWith(`${event} `)) running.delete(key)
      story.completed++
      placeOf(node).completed++
    } else if (what === 'lost' && node) {
      placeOf(node).lost++
      running.delete(`${event} ${node}`)
      story.rerun.push({ event: event ?? '?', task, node, why: detail })
    } else if (what === 'ended') {
      running.clear()
      story.state = detail
    } else if (what === 'stopped' || what === 'continued') story.state = what === 'stopped' ? 'stopped' : 'running'
  }
  story.running = [...running.values()]
  story.places = [...places.values()].map(({ reasons, ...place }) => ({ ...place, why: commonest(reasons) }))
  return story
}

function commonest(reasons: ReadonlyMap<string, number>): string {
  const [first] = [...reasons].sort((a, b) => b[1] - a[1])
  return first?.[0] ?? ''
}

function inWords(
  context: ProgramContext,
  { program, state, assigned, completed, running, rerun, homes, places }: Story,
): string {
  const startMs = homes[0]?.atMs ?? 0
  const at = (atMs: number | null) => (atMs === null ? '' : ` after ${((atMs - startMs) / 1000).toFixed(1)} s`)
  const name = (node: string | null) => (node ? shortNode(node) : '?')
  const lines = [
    `${printable(program)}: ${printable(state)}`,
    `${completed} events completed, ${assigned} leases given`,
  ]
  for (const [i, home] of homes.entries()) {
    lines.push(i === 0 ? `home: ${name(home.node)}` : `home${at(home.atMs)}: ${name(home.node)}, because ${home.why}`)
  }
  const table = context.table(places, [
    { title: 'TAB', text: ({ node }) => name(node) },
    { title: 'DONE', right: true, text: (place) => String(place.completed) },
    { title: 'LOST', right: true, text: (place) => String(place.lost) },
    { title: 'WHY THERE', text: (place) => place.why },
  ])
  const again = rerun.map(({ event, task, node, why: reason }) => {
    return `again: ${event} ${task ?? ''} was lost on ${name(node)}: ${printable(reason)}`
  })
  const now = running.slice(0, MAX_RUNNING).map(({ event, task, node, atMs }) => {
    return `running: ${event} ${task ?? ''} on ${name(node)}, given to it${at(atMs)}`
  })
  if (running.length > MAX_RUNNING) now.push(`running: ${running.length - MAX_RUNNING} more (ps --tree)`)
  return `${[...lines, table.trimEnd(), ...again, ...now].join('\n')}\n`
}
