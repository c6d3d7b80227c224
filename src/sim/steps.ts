// The disturbances of a scenario that has no schedule, numbered as they come: a failure is shrunk by leaving some of them
// out (shrink.ts). A step draws its dice whether it happens or not, so that all others stay what they were.

export class Steps {
  readonly #only: ReadonlySet<number> | undefined
  readonly #told: string[] = []
  #count = 0

  /** @param only the numbers of those that happen; all of them unless told. */
  constructor(only?: readonly number[]) {
    this.#only = only && new Set(only)
  }

  /** How many have come. */
  get count(): number {
    return this.#count
  }

  /** What those did that happened, for people. */
  get told(): readonly string[] {
    return this.#told
  }

  /** @returns whether the next one happens. */
  next(): boolean {
    const number = this.#count++
    return this.#only?.has(number) ?? true
  }

  /** What the step that has just begun does. */
  tell(what: string): void {
    this.#told.push(`step ${this.#count - 1}: ${what}`)
  }
}

const NONE = 'none'

/** As `--steps=3,7,19`. */
export function formatSteps(steps: readonly number[]): string {
  return steps.length > 0 ? steps.join(',') : NONE
}

/** @throws {TypeError} */
export function parseSteps(text: string): number[] {
  if (text === NONE) return []
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text)) {
    throw new TypeError(`steps are numbers with commas between them, or '${NONE}', not '${text}'`)
  }
  return text.split(',').map(Number)
}
