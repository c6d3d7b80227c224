// Directories that are known to have no keg mounted in or below them, so that they are not looked through again: they are
// immutable. Above: mount-table.ts, namespace.ts. Below: nothing.
import type { CidText } from '../blocks/cid.ts'

/** A few MB. */
const MAX_REMEMBERED = 50_000

export class Mountless {
  readonly #known = new Set<CidText>()

  has(directory: CidText): boolean {
    return this.#known.has(directory)
  }

  add(directory: CidText): void {
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear()
    this.#known.add(directory)
  }
}
