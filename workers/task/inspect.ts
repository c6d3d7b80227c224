// Values as text, in the notation of node's `util.inspect` and `util.format`, so that what a program logs reads as its author
// expects. Where lines break is our own: what fits a line stands on it. Below console.ts. It calls no getter, and runs nothing else
// of a program but the traps of its proxies. What it does not tell: what is in a Promise, a WeakMap or behind a private name.

const DEPTH = 2
/** Elements of an array, a Map or a Set, and bytes of a buffer. */
const MAX_ELEMENTS = 100
const MAX_BYTES = 50
const MAX_STRING = 10_000
/** Objects in one value, beyond which it says no more of others: width to the power of the depth is more than a line holds. */
const MAX_OBJECTS = 20_000
const LINE = 76

interface State {
  depth: number
  seen: object[]
  /** Objects that are shown within themselves, by their number. */
  circular: Map<object, number>
  indent: number
  left: number
}

/** As `util.inspect(value)`. */
export function inspect(value: unknown, depth = DEPTH): string {
  return show(value, 0, { depth, seen: [], circular: new Map(), indent: 0, left: MAX_OBJECTS })
}

/** As `util.format(...values)`. */
export function format(values: readonly unknown[]): string {
  const [first, ...rest] = values
  if (typeof first !== 'string') return values.map(plain).join(' ')
  const text = rest.length === 0 ? first : first.replace(/%[sdifjoOc%]/g, (mark) => substituted(mark, rest))
  return [text, ...rest.map(plain)].join(' ')
}

const plain = (value: unknown) => (typeof value === 'string' ? value : inspect(value))

/** What stands for one `%x`; it takes its value out of `rest`. */
function substituted(mark: string, rest: unknown[]): string {
  if (mark === '%%') return '%'
  if (rest.length === 0) return mark
  const value = rest.shift()
  switch (mark) {
    case '%s':
      return typeof value === 'object' && value !== null && !(value instanceof Error)
        ? inspect(value, 0)
        : textOf(value)
    case '%d':
      return typeof value === 'bigint' ? `${value}n` : typeof value === 'object' ? `${NaN}` : number(Number(value))
    case '%i':
      return typeof value === 'bigint' ? `${value}n` : number(Number.parseInt(textOf(value), 10))
    case '%f':
      return number(Number.parseFloat(textOf(value)))
    case '%j':
      return json(value)
    case '%c':
      return ''
    default:
      return inspect(value, mark === '%o' ? 4 : DEPTH)
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  return Object.is(value, -0) ? '-0' : String(value)
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined'
  } catch {
    return '[Circular]'
  }
}

function show(value: unknown, level: number, state: State): string {
  if (value !== null && typeof value === 'object') return showObject(value, level, state)
  switch (typeof value) {
    case 'string':
      return showString(value)
    case 'number':
      return number(value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return showObject(value, level, state)
    default:
      return String(value)
  }
}

function showString(text: string): string {
  const left = text.length - MAX_STRING
  return left > 0 ? `${quoted(text.slice(0, MAX_STRING))}... ${counted(left, 'more character')}` : quoted(text)
}

const ESCAPES: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b', '\f': '\\f', '\v': '\\v' }

/** In the first of ' " ` that the text does not have. */
function quoted(text: string): string {
  const quote = ["'", '"', '`'].find((mark) => !text.includes(mark)) ?? "'"
  const escaped = text.replace(/[\p{Cc}\\']/gu, (mark) => {
    if (mark === "'") return quote === "'" ? "\\'" : mark
    if (mark === '\\') return '\\\\'
    return ESCAPES[mark] ?? `\\x${mark.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
  return `${quote}${escaped}${quote}`
}

function number(value: number): string {
  return Object.is(value, -0) ? '-0' : `${value}`
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

function showObject(value: object, level: number, state: State): string {
  if (state.seen.includes(value)) {
    if (!state.circular.has(value)) state.circular.set(value, state.circular.size + 1)
    return `[Circular *${state.circular.get(value)}]`
  }
  const shape = shapeOf(value)
  if ((level > state.depth || state.left-- <= 0) && !isEmpty(value, shape)) return `[${shape.name}]`
  state.seen.push(value)
  const entries = shape.entries((part) => show(part, level + 1, state), state)
  const list = shape.kind === 'array'
  for (const key of keysOf(value, list)) entries.push(property(value, key, { level, state }))
  state.seen.pop()
  const number = state.circular.get(value)
  const base = number === undefined ? shape.base : `<ref *${number}>${shape.base === '' ? '' : ` ${shape.base}`}`
  if (entries.length === 0 && shape.base !== '') return base
  const open = `${shape.prefix}${list ? '[' : '{'}`
  const close = list ? ']' : '}'
  if (entries.length === 0) return `${base === '' ? '' : `${base} `}${open}${close}`
  return fitted(entries, { front: `${base === '' ? '' : `${base} `}${open}`, close, indent: state.indent, list })
}

/** It says less than its name in brackets. */
function isEmpty(value: object, { kind, base, size }: Shape): boolean {
  return base === '' && size === 0 && keysOf(value, kind === 'array').length === 0
}

interface Shape {
  kind: 'object' | 'array'
  /** Where it lies too deep. */
  name: string
  /** What stands for it, before its properties: the whole of it if there are none. */
  base: string
  /** Before the bracket. */
  prefix: string
  /** Entries that it has besides its properties. */
  size: number
  entries: (show: (part: unknown) => string, state: State) => string[]
}

function shapeOf(value: object): Shape {
  const name = nameOf(value)
  const plainly: Shape = { kind: 'object', name, base: '', prefix: '', size: 0, entries: () => [] }
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (Array.isArray(value)) {
    const prefix = name === 'Array' ? '' : `${name}(${value.length}) `
    return { ...plainly, kind: 'array', prefix, ...elements(value) }
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const list = value as Uint8Array
    return { ...plainly, kind: 'array', prefix: `${name}(${list.length}) `, ...elements(list) }
  }
  if (value instanceof Map) return { ...plainly, prefix: `${name}(${value.size}) `, ...pairs(value) }
  if (value instanceof Set) return { ...plainly, prefix: `${name}(${value.size}) `, ...members(value) }
  if (value instanceof Error) return { ...plainly, base: errorText(value) }
  if (value instanceof Date) return { ...plainly, base: Number.isNaN(+value) ? 'Invalid Date' : value.toISOString() }
  if (value instanceof RegExp) return { ...plainly, base: String(value) }
  if (typeof value === 'function') return { ...plainly, base: functionText(value) }
  if (value instanceof ArrayBuffer) {
    return { ...plainly, prefix: `${name} `, size: 1, entries: () => bufferEntries(value) }
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet) {
    const unknown = [value instanceof Promise ? '<unknown>' : '<items unknown>']
    return { ...plainly, prefix: `${name} `, size: 1, entries: () => unknown }
  }
  for (const type of [Number, String, Boolean]) {
    if (value instanceof type) return { ...plainly, base: `[${type.name}: ${show(value.valueOf(), 0, spare())}]` }
  }
  if (tag === 'Arguments') return { ...plainly, kind: 'array', prefix: '[Arguments] ', ...elements([...(value as [])]) }
  const own = (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag]
  const tagged = typeof own === 'string' && own !== '' && own !== name ? ` [${own}]` : ''
  return { ...plainly, prefix: name === 'Object' && tagged === '' ? '' : `${name}${tagged} ` }
}

const spare = (): State => ({ depth: 0, seen: [], circular: new Map(), indent: 0, left: 1 })

/** Of what makes it, or `[Object: null prototype]`. */
function nameOf(value: object): string {
  for (let from: object | null = value; from; from = Object.getPrototypeOf(from)) {
    const made: unknown = Object.getOwnPropertyDescriptor(from, 'constructor')?.value
    if (typeof made === 'function' && made.name !== '' && value instanceof made) return made.name
  }
  return '[Object: null prototype]'
}

function elements(list: ArrayLike<unknown>): Pick<Shape, 'entries' | 'size'> {
  return {
    size: list.length,
    entries: (show, state) => {
      const shown: string[] = []
      let at = 0
      for (; at < list.length && shown.length < MAX_ELEMENTS; at++) {
        if (Object.hasOwn(list, at)) {
          shown.push(indented(state, () => show(list[at])))
          continue
        }
        let to = at
        while (to + 1 < list.length && !Object.hasOwn(list, to + 1)) to++
        shown.push(`<${counted(to - at + 1, 'empty item')}>`)
        at = to
      }
      if (at < list.length) shown.push(`... ${counted(list.length - at, 'more item')}`)
      return shown
    },
  }
}

function members(set: ReadonlySet<unknown>): Pick<Shape, 'entries' | 'size'> {
  return counting(set.size, (state, show) => [...first(set.values())].map((each) => indented(state, () => show(each))))
}

function pairs(map: ReadonlyMap<unknown, unknown>): Pick<Shape, 'entries' | 'size'> {
  return counting(map.size, (state, show) =>
    [...first(map.entries())].map(([key, value]) => indented(state, () => `${show(key)} => ${show(value)}`)),
  )
}

function counting(size: number, all: (state: State, show: (part: unknown) => string) => string[]) {
  const rest = size > MAX_ELEMENTS ? [`... ${counted(size - MAX_ELEMENTS, 'more item')}`] : []
  return { size, entries: (show: (part: unknown) => string, state: State) => [...all(state, show), ...rest] }
}

function* first<T>(all: Iterable<T>): Generator<T> {
  let left = MAX_ELEMENTS
  for (const each of all) {
    if (left-- === 0) return
    yield each
  }
}

function indented(state: State, show: () => string): string {
  state.indent += 2
  const text = show()
  state.indent -= 2
  return text
}

function bufferEntries(buffer: ArrayBuffer): string[] {
  const bytes = new Uint8Array(buffer, 0, Math.min(MAX_BYTES, buffer.byteLength))
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
  const left = buffer.byteLength - bytes.byteLength
  const more = left > 0 ? ` ... ${counted(left, 'more byte')}` : ''
  return [`[Uint8Contents]: <${hex}${more}>`, `[byteLength]: ${buffer.byteLength}`]
}

/** Its stack names blobs and lines of the runtime: the message says more. */
function errorText(error: Error): string {
  const text = `${error.name}: ${error.message}`
  return error.message === '' ? `[${error.name}]` : text
}

function functionText(value: object): string {
  const { name } = value as { name: unknown }
  const isClass = /^class[\s{]/.test(Function.prototype.toString.call(value))
  const kind = isClass ? 'class' : (nameOf(value) as string)
  const named = typeof name === 'string' && name !== '' ? name : '(anonymous)'
  if (!isClass) return named === '(anonymous)' ? `[${kind} (anonymous)]` : `[${kind}: ${named}]`
  const above = (Object.getPrototypeOf(value) as { name?: unknown } | null)?.name
  return `[class ${named}${typeof above === 'string' && above !== '' ? ` extends ${above}` : ''}]`
}

function keysOf(value: object, list: boolean): PropertyKey[] {
  const names: PropertyKey[] = Object.keys(value)
  const own = list || value instanceof String ? names.filter((name) => !/^\d+$/.test(String(name))) : names
  const symbols = Object.getOwnPropertySymbols(value)
  const error = value instanceof Error ? ['cause', 'errors'].filter((name) => Object.hasOwn(value, name)) : []
  const hidden = error.filter((name) => !names.includes(name))
  return [...own, ...hidden, ...symbols.filter((symbol) => Object.prototype.propertyIsEnumerable.call(value, symbol))]
}

function property(value: object, key: PropertyKey, { level, state }: { level: number; state: State }): string {
  const descriptor = Object.getOwnPropertyDescriptor(value, key)
  const name = keyText(key, descriptor?.enumerable !== false)
  if (!descriptor) return `${name}: undefined`
  const { get, set } = descriptor
  if (get) return `${name}: [Getter${set ? '/Setter' : ''}]`
  if (set) return `${name}: [Setter]`
  const text = indented(state, () => show(descriptor.value, level + 1, state))
  return `${name}: ${text}`
}

function keyText(key: PropertyKey, enumerable: boolean): string {
  if (typeof key === 'symbol') return String(key)
  const text = String(key)
  if (!enumerable) return `[${text}]`
  return /^[a-zA-Z_]\w*$/.test(text) ? text : quoted(text)
}

interface Frame {
  /** With the opening bracket. */
  front: string
  close: string
  indent: number
  list: boolean
}

/** On one line if it fits; else one below the other, and of a list as many on each line as fit. */
function fitted(entries: readonly string[], { front, close, indent, list }: Frame): string {
  const flat = `${front} ${entries.join(', ')} ${close}`
  if (indent + flat.length <= LINE && !flat.includes('\n')) return flat
  const lines = list ? filled(entries, LINE - indent - 2) : entries
  const margin = `\n${' '.repeat(indent)}`
  return `${front}${margin}  ${lines.join(`,${margin}  `)}${margin}${close}`
}

function filled(entries: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const entry of entries) {
    const line = `${lines.at(-1)}, ${entry}`
    if (lines.length > 0 && line.length <= width && !line.includes('\n')) lines[lines.length - 1] = line
    else lines.push(entry)
  }
  return lines
}
