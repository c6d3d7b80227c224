// Holds docs/programs.md to the code: its table of calls, its list of what `os` offers, its limits and its program.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FileSystem } from './fs.ts'
import * as limits from './limits.ts'
import { ABI_VERSION, syscalls } from './table.ts'
import { TaskOs } from './task.ts'
import { runTasks } from './task-runtime.ts'

const document = readFileSync(join(import.meta.dirname, '../../docs/programs.md'), 'utf8')

function section(title: string): string {
  return document.split(`## ${title}\n`)[1]?.split('\n## ')[0] ?? ''
}

/** Cells of a section's table, without its head. */
function rows(title: string): string[][] {
  const lines = section(title).split('\n')
  const cells = lines.filter((line) => line.startsWith('| ')).map((line) => line.slice(2, -2).split(' | '))
  return cells.slice(1)
}

interface Sent {
  t: string
  id: unknown
  call: string
  args: { task: string; data: unknown; bytes: Uint8Array }
  result: number | null
}

interface Schema {
  entries?: Record<string, unknown>
  options?: Schema[]
}

function argumentNames(schema: Schema): string[] {
  if (schema.options) return [...new Set(schema.options.flatMap(argumentNames))]
  return Object.keys(schema.entries ?? {})
}

describe('docs/programs.md', () => {
  it('lists every system call with its arguments, and no other', () => {
    const documented = rows('System calls').map(([call, args]) => [call, args])
    const actual = Object.entries(syscalls).map(([name, schema]) => [
      `\`${name}\``,
      argumentNames(schema as Schema)
        .map((argument) => `\`${argument}\``)
        .join(' '),
    ])
    expect(documented).toEqual(actual)
    expect(actual.length).toBeLessThanOrEqual(13)
    expect(section('System calls')).toContain(`version ${ABI_VERSION} of`)
  })

  it('lists what `os` offers, and no other', () => {
    const documented = rows('What `os` offers').map(([call]) => /`os\.(\w+)/.exec(call ?? '')?.[1])
    const methods = Object.getOwnPropertyNames(TaskOs.prototype).filter((name) => name !== 'constructor')
    expect(documented.toSorted()).toEqual([...methods, 'fs'].toSorted())
    const files = /`node:fs\/promises`: `([^`]*)`/.exec(section('What `os` offers'))?.[1]?.split(' ')
    const fileMethods = Object.getOwnPropertyNames(FileSystem.prototype).filter((name) => name !== 'constructor')
    expect(files?.toSorted()).toEqual(fileMethods.toSorted())
  })

  it('states the limits that hold', () => {
    const MiB = 1024 * 1024
    expect(rows('Limits').map(([, bound]) => bound)).toEqual([
      `${limits.MAX_EVENT_BYTES / MiB} MiB`,
      `${limits.MAX_GATHER_BYTES / MiB} MiB`,
      `${limits.MAX_IO_BYTES / MiB} MiB`,
      limits.MAX_EMITS_PER_EVENT.toLocaleString('en'),
      limits.QUEUE_EVENTS.toLocaleString('en'),
      limits.MAX_PENDING_EVENTS.toLocaleString('en'),
      limits.MAX_OPEN_REFS.toLocaleString('en'),
      limits.MAX_CALLS_IN_FLIGHT.toLocaleString('en'),
      `${limits.MAX_PROGRAM_BYTES / MiB} MiB`,
      limits.MAX_PATH_LENGTH.toLocaleString('en'),
    ])
  })

  it('shows a program that works', async () => {
    const source = /```js\n(.*?)```/s.exec(document)?.[1] ?? ''
    const program = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(source)}`)
    const printed: string[] = []
    const results: number[] = []
    const emitted: { task: string; data: unknown }[] = []
    await new Promise<void>((resolve) => {
      let deliver: (message: unknown) => void = () => {}
      const post = (message: unknown) => {
        const { t, id, call, args, result } = message as Sent
        if (t === 'loaded') deliver({ t: 'run', events: [{ id: '0', task: 'start', data: { args: ['4'], cwd: '/' } }] })
        if (t === 'call' && call === 'emit') emitted.push(args)
        if (t === 'call' && call === 'write') printed.push(new TextDecoder().decode(args.bytes))
        if (t === 'call') deliver({ t: 'reply', id, ok: true, value: { id: `${emitted.length}` } })
        if (t !== 'done') return
        if (result !== null) results.push(result)
        const next = emitted.shift()
        if (!next) return resolve()
        const data = next.task === 'sum' ? { results, data: next.data } : next.data
        deliver({ t: 'run', events: [{ id: '1', task: next.task, data }] })
      }
      const link = {
        post: (message: unknown) => setImmediate(() => post(message)),
        onMessage: (listener: typeof deliver) => {
          deliver = listener
        },
        close() {},
      }
      runTasks(link, async () => program)
      deliver({ t: 'load', name: 'squares.js', source })
    })
    expect(printed.join('')).toBe('the sum is 30\n')
  })
})
