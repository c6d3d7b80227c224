import { describe, expect, it } from 'vitest'
import { FakeKernel } from '../shell/fake-kernel.ts'
import { statusText } from './status.ts'

describe('statusText', () => {
  const { node } = new FakeKernel()
  const storage = {
    node: node.id,
    device: node.device,
    usedBytes: 2048,
    quotaBytes: 1,
    blocks: 1,
    persisted: false,
    storage: 'ample' as const,
  }

  it('says who this is, how many there are, what is stored and whether the relay is there', () => {
    expect(statusText(node, storage)).toBe(
      'node fThisTab · slot 0 · device 01234567 · 1 node · 2.0 KiB stored · relay connected',
    )
  })

  it('says in words that the relay is away', () => {
    expect(statusText({ ...node, relay: 'offline', nodes: 3 }, undefined)).toBe(
      'node fThisTab · slot 0 · device 01234567 · 3 nodes · no relay: this tab goes on with the tabs it knows',
    )
  })
})
