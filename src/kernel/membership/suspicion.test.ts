import { expect, it } from 'vitest'
import { VirtualClock } from '../../adapters/memory/clock.ts'
import { nodeId } from '../harness.contract.ts'
import type { Hello } from '../rpc/frames.ts'
import { type Member, newMember } from './member.ts'
import { OwnStalls } from './own-stalls.ts'
import { Suspicion } from './suspicion.ts'

// A number's fractions are half as fine once it has passed 8,192: what is left to wait rounds to less than the clock can move by.
it.each([7_391.2, 7_391.909_972_632_53])(
  'looks a few times after one that is accused at %d ms and does not answer',
  (accusedMs) => {
    const clock = new VirtualClock()
    clock.jump(accusedMs)
    const stalls = new OwnStalls()
    stalls.expect(1_000_000) // it never stands still itself
    const suspicion = new Suspicion({
      clock,
      network: { heardPackets: async () => undefined } as never,
      log: { log: () => undefined },
      stalls,
      ask: (member: Member) => member.detector.asked(clock.nowMs()),
      isMember: () => true,
      report: () => undefined,
      busy: () => undefined,
      left: () => undefined,
    })
    const member = newMember(nodeId('a'), { device: 'd', session: 's', slots: 1 } as Hello, clock.nowMs(), null)
    member.linked = true
    suspicion.accused(member)
    let fired = 0
    while (fired < 100 && clock.step(accusedMs + 10_000)) fired++
    expect(fired).toBeLessThan(10)
  },
)
