import { describe, expect, it } from 'vitest'
import type { NodeInfo } from '../syscalls/types.ts'
import { MAX_ORPHAN_TRIES, MAX_ORPHANS } from './limits.ts'
import { keepOrphans } from './orphans.ts'

/** A page whose journals wait until all of the needed slots are open. */
function page(options: { slots: number[]; needed: number[]; broken?: number[]; wanted?: number }) {
  const { slots, needed, broken = [], wanted } = options
  const story: string[] = []
  const open = new Set<number>()
  const done = keepOrphans({
    client: {
      info: (async () => ({ waiting: needed.filter((slot) => !open.has(slot)).length }) as NodeInfo) as never,
    },
    orphans: async () => slots,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    wanted: async (slot) => slot === wanted,
    useless: (slot) => story.push(`useless ${slot}`),
    start: (slot) => {
      story.push(`open ${slot}`)
      if (!broken.includes(slot)) open.add(slot)
      return {
        booted: broken.includes(slot) ? Promise.reject(new Error('taken')) : Promise.resolve({ slot, nodeId: 'n' }),
        close: async () => {
          story.push(`close ${slot}`)
        },
      }
    },
  })
  return { story, done }
}

describe('slots of closed tabs', () => {
  it('stay closed where nothing waits for them', async () => {
    const { story, done } = page({ slots: [1, 2], needed: [] })
    await done
    expect(story).toEqual([])
  })

  it('are opened one after the other until nothing waits, and closed again', async () => {
    const { story, done } = page({ slots: [1, 2, 3], needed: [1, 2] })
    await done
    expect(story).toEqual(['open 1', 'open 2', 'close 1', 'close 2'])
  })

  it('that are of no help, or do not start, are closed at once', async () => {
    const { story, done } = page({ slots: [1, 2, 3], needed: [3], broken: [1] })
    await done
    const failed = ['open 1', 'useless 1', 'close 1', 'open 2', 'useless 2', 'close 2']
    expect(story).toEqual([...failed, 'open 3', 'close 3'])
  })

  it('are given back to a tab that wants them', async () => {
    const { story, done } = page({ slots: [1, 2], needed: [1, 2], wanted: 2 })
    await done
    expect(story).toEqual(['open 1', 'open 2', 'close 2', 'close 1'])
  })

  it('are not all tried where there are very many, and not all kept open', async () => {
    const many = Array.from({ length: 20 }, (_, i) => i + 1)
    const tried = page({ slots: many, needed: [99] })
    await tried.done
    expect(tried.story.filter((line) => line.startsWith('open'))).toHaveLength(MAX_ORPHAN_TRIES)
    const helpful = page({ slots: many, needed: many })
    await helpful.done
    expect(helpful.story.filter((line) => line.startsWith('open'))).toHaveLength(MAX_ORPHANS)
    expect(helpful.story.filter((line) => line.startsWith('close'))).toHaveLength(MAX_ORPHANS)
  })
})
