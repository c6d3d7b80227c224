import { describe, expect, it } from 'vitest'
import type { NodeInfo } from '../syscalls/types.ts'
import { MAX_ORPHANS } from './limits.ts'
import { keepOrphans } from './orphans.ts'

/** A page whose journals wait until so many of the orphans are open. */
function page({ slots, needed, broken = [] }: { slots: number[]; needed: number; broken?: number[] }) {
  const story: string[] = []
  const open = new Set<number>()
  let waits = needed > 0
  const done = keepOrphans({
    client: {
      info: (async () => {
        if (open.size >= needed) waits = false
        return { waiting: waits ? 2 : 0 } as NodeInfo
      }) as never,
    },
    orphans: async () => slots,
    sleep: async () => undefined,
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
    const { story, done } = page({ slots: [1, 2], needed: 0 })
    await done
    expect(story).toEqual([])
  })

  it('are opened one after the other until nothing waits, and closed again', async () => {
    const { story, done } = page({ slots: [1, 2, 3], needed: 2 })
    await done
    expect(story).toEqual(['open 1', 'open 2', 'close 1', 'close 2'])
  })

  it('that do not start are passed over, and ended', async () => {
    const { story, done } = page({ slots: [1, 2], needed: 1, broken: [1] })
    await done
    expect(story).toEqual(['open 1', 'open 2', 'close 1', 'close 2'])
  })

  it('are closed again when they are of no help; never are all of many opened', async () => {
    const { story, done } = page({ slots: [1, 2, 3, 4, 5, 6], needed: 9 })
    await done
    expect(story.filter((line) => line.startsWith('open'))).toHaveLength(MAX_ORPHANS)
    expect(story.filter((line) => line.startsWith('close'))).toHaveLength(MAX_ORPHANS)
  })
})
