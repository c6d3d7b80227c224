// A seeded generator (xoshiro128**, Blackman and Vigna 2018, seeded by splitmix32): the same seed, the same run.
import type { Random } from '../../ports/random.ts'

export class SeededRandom implements Random {
  readonly #state: [number, number, number, number]

  constructor(seed: number) {
    let x = seed >>> 0
    const next = () => {
      x = (x + 0x9e3779b9) >>> 0
      let z = x
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    }
    this.#state = [next(), next(), next(), next()]
  }

  uint32(): number {
    const s = this.#state
    const x = Math.imul(s[1], 5)
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = (s[3] << 11) | (s[3] >>> 21)
    return result
  }

  float(): number {
    return this.uint32() / 0x1_0000_0000
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.uint32() & 0xff)
  }

  /** Uniform integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.float() * below)
  }

  /** @param items at least one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** An independent generator, so that one consumer's draws do not shift another's. */
  fork(): SeededRandom {
    return new SeededRandom(this.uint32())
  }
}
