// Methods that work also when they are taken out of their object, as those of node:fs/promises do:
// `const { readFile } = os.fs`, `start(event, { emit, print })`. Private fields are found through `this` only.

/** Taken before a program could replace it. */
const bind = Function.prototype.call.bind(Function.prototype.bind) as (method: unknown, object: object) => unknown

/** @returns what makes the methods of `type` an object's own, bound to it. */
export function binderOf<T extends object>(type: { prototype: T }): (object: T) => void {
  const all = Object.entries(Object.getOwnPropertyDescriptors(type.prototype))
  const methods = all.filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function')
  const rows = methods.map(([name, { value }]) => ({ name, value: value as unknown }))
  return (object) => {
    const own = object as Record<string, unknown>
    // Counted, and not iterated: a program may have replaced how arrays are.
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as (typeof rows)[number]
      own[row.name] = bind(row.value, object)
    }
  }
}
