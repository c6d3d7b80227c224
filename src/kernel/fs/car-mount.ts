// /car: whatever stands at /PATH, as a CAR at /car/PATH.car. It is made when it is read: nothing of it is stored.
import { OsError } from '../../base/errors.ts'
import type { CidText } from '../blocks/cid.ts'
import { type CarPlan, type CarSource, planCar, readCar } from './car.ts'
import type { Entry } from './directory.ts'
import type { Mount } from './fs.ts'
import { madeReader } from './handles.ts'

const SUFFIX = '.car'
/** Plans of the last ones that were looked at, so that stat, open, read and whoever wants to know the CID make one. */
const KEPT_PLANS = 4

export class CarPlans {
  readonly source: CarSource
  readonly #plans = new Map<CidText, Promise<CarPlan>>()

  constructor(source: CarSource) {
    this.source = source
  }

  /** @param signal ends one that is made for nobody else. @throws {OsError} as `planCar`. */
  async of(entry: Entry, signal?: AbortSignal): Promise<CarPlan> {
    const known = this.#plans.get(entry.cid)
    if (known) return known
    const plan = planCar(signal ? { ...this.source, options: { signal } } : this.source, entry)
    if (signal) await plan
    this.#plans.set(entry.cid, plan)
    plan.catch(() => this.#plans.delete(entry.cid))
    for (const oldest of this.#plans.keys()) if (this.#plans.size > KEPT_PLANS) this.#plans.delete(oldest)
    return plan
  }
}

export function carMount(
  plans: CarPlans,
  /** What stands at a path of the tree, or of a version below /keg; undefined for nothing. */
  entryAt: (names: readonly string[]) => Promise<Entry | undefined>,
): Mount {
  const { source } = plans
  const carAt = async (names: readonly string[]): Promise<Entry | undefined> => {
    const last = names.at(-1)
    if (last === undefined || !last.endsWith(SUFFIX) || last === SUFFIX) return undefined
    return entryAt([...names.slice(0, -1), last.slice(0, -SUFFIX.length)])
  }
  const directory = { kind: 'directory' as const, size: 0, mtimeMs: 0, mode: 0o555 }
  return {
    async stat(names) {
      const entry = await carAt(names)
      if (entry) return { kind: 'file', size: (await plans.of(entry)).size, mtimeMs: entry.mtimeMs, mode: 0o444 }
      return (await entryAt(names))?.kind === 'directory' ? directory : undefined
    },
    async list(names) {
      const entry = await entryAt(names)
      if (entry?.kind !== 'directory') throw new OsError('ENOENT', `/car/${names.join('/')}: no such directory`)
      const rows = [...(await source.tree.directory(entry.cid, source.options))].flatMap(
        ([name, { kind, mtimeMs }]) => [
          { name: name + SUFFIX, kind: 'file' as const, size: 0, mtimeMs, mode: 0o444 },
          ...(kind === 'directory' ? [{ ...directory, name, mtimeMs }] : []),
        ],
      )
      return rows.sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    async open(names) {
      const entry = await carAt(names)
      if (!entry) throw new OsError('ENOENT', `/car/${names.join('/')}: no such file`)
      const plan = await plans.of(entry)
      return madeReader(plan.size, (offset, length, signal) => readCar(source, plan, offset, length, signal))
    },
  }
}
