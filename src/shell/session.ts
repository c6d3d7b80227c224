// What a shell remembers between commands: directory, variables, the last status, history. Programs reach it
// through their context. It knows neither kernel nor terminal.
import type { Kid } from '../base/ids.ts'
import { MAX_DETACHED, MAX_HISTORY_LINE_LENGTH, MAX_HISTORY_LINES } from './limits.ts'
import { GUEST, homeOf, isUserName, type UserStore } from './user.ts'

export interface HistoryStore {
  /** Oldest first. */
  lines(): readonly string[]
  append(line: string): void
  clear(): void
}

/** Adds a line as bash does with `ignoredups`; pure, so that every store keeps the same rules. */
export function withLine(lines: readonly string[], line: string): readonly string[] {
  if (line.trim() === '' || line.length > MAX_HISTORY_LINE_LENGTH || lines.at(-1) === line) return lines
  return [...lines, line].slice(-MAX_HISTORY_LINES)
}

export function memoryHistory(): HistoryStore {
  let lines: readonly string[] = []
  return {
    lines: () => lines,
    append: (line) => {
      lines = withLine(lines, line)
    },
    clear: () => {
      lines = []
    },
  }
}

export interface Variable {
  value: string
  exported: boolean
}

export class Session {
  cwd: string
  lastStatus = 0
  readonly variables = new Map<string, Variable>()
  readonly history: HistoryStore
  /** Processes started with `run --detach`, for `wait` without arguments. */
  readonly detached: Kid[] = []
  readonly #users: UserStore | undefined

  constructor(options: {
    cwd: string
    env: Readonly<Record<string, string>>
    history: HistoryStore
    users?: UserStore | undefined
  }) {
    this.cwd = options.cwd
    this.history = options.history
    this.#users = options.users
    const known = options.users?.name()
    const user = known !== undefined && isUserName(known) ? known : GUEST
    const variables = { HOME: homeOf(user), PWD: options.cwd, USER: user, ...options.env }
    for (const [name, value] of Object.entries(variables)) this.variables.set(name, { value, exported: true })
  }

  get(name: string): string | undefined {
    return this.variables.get(name)?.value
  }

  /** Keeps the variable's export mark unless `exported` says otherwise. */
  set(name: string, value: string, exported = this.variables.get(name)?.exported ?? false): void {
    this.variables.set(name, { value, exported })
  }

  environment(): [name: string, value: string][] {
    const rows = [...this.variables].filter(([, variable]) => variable.exported)
    return rows.map(([name, variable]): [string, string] => [name, variable.value]).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  changeDirectory(path: string): void {
    this.set('OLDPWD', this.cwd, true)
    this.cwd = path
    this.set('PWD', path, true)
  }

  /** Somebody sits here whose directory exists; the device remembers the name. */
  login(user: string): void {
    this.set('USER', user, true)
    this.set('HOME', homeOf(user), true)
    this.changeDirectory(homeOf(user))
    this.#users?.remember(user)
  }

  remember(kid: Kid): void {
    this.detached.push(kid)
    if (this.detached.length > MAX_DETACHED) this.detached.shift()
  }

  /** A copy for one stage of a pipeline: what it changes is gone with it, as in a subshell. */
  fork(): Session {
    const copy = new Session({ cwd: this.cwd, env: {}, history: this.history })
    copy.lastStatus = this.lastStatus
    copy.variables.clear()
    for (const [name, variable] of this.variables) copy.variables.set(name, { ...variable })
    copy.detached.push(...this.detached)
    return copy
  }
}
