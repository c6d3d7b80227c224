import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DeviceId, NodeId } from '../../base/ids.ts'
import { type Candidate, firstConfig, nextConfig } from './policy.ts'
import { type GroupConfig, isSingleStep } from './raft/config.ts'

const id = (name: string) => name as NodeId
/** `a1 b2`: node a on device 1, node b on device 2; a trailing `-` marks one that should not be chosen, `+` one that keeps well. */
function nodesOf(text: string): Candidate[] {
  return text.split(' ').map((each) => {
    const [name = '', device = '', mark] = each
    return { id: id(name), device: device as DeviceId, fit: mark !== '-', rank: mark === '+' ? 1 : 0 }
  })
}
const show = ({ voters, learners }: GroupConfig) =>
  [...voters.map((voter) => voter.id + (voter.witness ? 'w' : '')), ...learners.map((each) => `${each}?`)].join(' ')
const configOf = (text: string): GroupConfig => {
  const members = text.split(' ')
  return {
    voters: members
      .filter((each) => !each.endsWith('?'))
      .map((each) => ({ id: id(each[0] ?? ''), witness: each[1] === 'w' })),
    learners: members.filter((each) => each.endsWith('?')).map((each) => id(each[0] ?? '')),
  }
}

/** Applies changes until there are none; learners catch up at once. */
function settled(config: string, nodes: string, options: { gone?: string; witness?: string } = {}): string {
  let current = configOf(config)
  for (let i = 0; i < 30; i++) {
    const next = nextConfig({
      self: id('a'),
      config: current,
      nodes: nodesOf(nodes),
      gone: (each) => (options.gone ?? '').includes(each),
      caughtUp: () => true,
      slow: () => false,
      witness: options.witness === undefined ? undefined : id(options.witness),
    })
    if (!next) return show(current)
    expect(isSingleStep(current, next)).toBe(true)
    current = next
  }
  throw new Error(`never settles: ${show(current)}`)
}

describe('a new journal', () => {
  it('is kept by three nodes where there are three, on distinct devices where there are', () => {
    expect(show(firstConfig(id('a'), nodesOf('a1 b1 c2 d3')))).toBe('a c d')
    expect(show(firstConfig(id('a'), nodesOf('a1 b1 c1')))).toBe('a b c')
    expect(show(firstConfig(id('a'), nodesOf('a1 b2- c3 d4')))).toBe('a c d')
    expect(show(firstConfig(id('a'), nodesOf('a1 b2 c3+ d4 e5+')))).toBe('a c e')
    expect(show(firstConfig(id('a'), nodesOf('a1 b1+ c2 d3')))).toBe('a c d')
  })

  it('is kept by one node where there are two: each of two voters could stop the other', () => {
    expect(show(firstConfig(id('a'), nodesOf('a1 b2')))).toBe('a')
  })
})

describe('members', () => {
  it('come to be three', () => {
    expect(settled('a', 'a1 b2 c3 d4')).toBe('a b c')
  })

  it('stay one voter and a learner while there are two nodes', () => {
    expect(settled('a', 'a1 b2')).toBe('a b?')
  })

  it('are two and a witness where there is one', () => {
    expect(settled('a', 'a1 b2', { witness: 'r' })).toBe('a b rw')
    expect(settled('a b rw', 'a1 b2 c3', { witness: 'r' })).toBe('a b c')
  })

  it('are replaced when they are gone, and not before', () => {
    expect(settled('a b c', 'a1 b2 d4')).toBe('a b c')
    expect(settled('a b c', 'a1 b2 d4', { gone: 'c' })).toBe('a b d')
  })

  it('shrink to one voter when two are left', () => {
    expect(settled('a b c', 'a1 b2', { gone: 'c' })).toBe('a b?')
  })

  it('are exchanged for nodes on devices of their own', () => {
    expect(settled('a b c', 'a1 b1 c1 d2')).toMatch(/^a (b|c) d$/)
    expect(settled('a b c', 'a1 b1 c2 d3')).toBe('a c d')
  })

  it('settle, whoever is there', () => {
    const node = fc.record({ device: fc.constantFrom('1', '2', '3'), fit: fc.boolean(), here: fc.boolean() })
    fc.assert(
      fc.property(fc.array(node, { maxLength: 6 }), fc.boolean(), (others, witnessed) => {
        const names = 'bcdefg'
        const here = others.flatMap(({ device, fit, here }, i) =>
          here ? [`${names[i]}${device}${fit ? '' : '-'}`] : [],
        )
        const gone = others.flatMap(({ here }, i) => (here ? [] : [names[i]])).join('')
        const begin = ['a', ...others.map((_, i) => names[i])].slice(0, 3).join(' ')
        const end = settled(begin, ['a1', ...here].join(' '), { gone, ...(witnessed ? { witness: 'r' } : {}) })
        const voters = end.split(' ').filter((each) => !each.endsWith('?'))
        expect(voters.length).not.toBe(2)
        expect(voters).toContain('a')
      }),
    )
  })
})
