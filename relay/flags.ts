// The command line of `brittlestar relay`: one table of flags, from which --help and docs/relay.md's table come.
// Precedence: flag, then environment variable, then default.
import { OsError } from '../src/base/errors.ts'
import { parseAnnounce } from './addresses.ts'
import { defaultDataFolder } from './data.ts'
import { limits } from './limits.ts'
import { type LogLevel, logLevels } from './log.ts'

export interface IceServer {
  urls: string | string[]
  username?: string
  credential?: string
}

export interface RelayOptions {
  port: number
  host: string
  announce: string[]
  iceServers: IceServer[]
  maxPeers: number
  data: string
  cluster: string
  tlsCert: string | undefined
  tlsKey: string | undefined
  logLevel: LogLevel
}

export interface Flag {
  name: string
  /** What follows the flag, for the help; empty for a switch. */
  value: string
  env: string
  default: string
  help: string
  repeats?: true
}

const flag = (name: string, value: string, byDefault: string, help: string): Flag => ({
  name: `--${name}`,
  value,
  env: value === '' ? '' : `BRITTLESTAR_${name.toUpperCase().replaceAll('-', '_')}`,
  default: byDefault,
  help,
})

export const flags: readonly Flag[] = [
  flag('port', 'number', '4004', 'the one port, for http, https and WebSockets; 0 takes a free one'),
  flag('host', 'address', '::', 'the address to listen on; :: is all of them, 127.0.0.1 only this computer'),
  {
    ...flag('announce', 'address', '', 'a multiaddr or URL under which others reach this relay (reverse proxy)'),
    repeats: true,
  },
  {
    ...flag('ice-server', 'url|json', '', 'a STUN or TURN server for the tabs: a URL, or JSON with credentials'),
    repeats: true,
  },
  flag('max-peers', 'number', String(limits.maxPeers), 'how many tabs may be connected at once'),
  flag('data', 'folder', "the user's data folder", "where the relay's key and certificate are kept"),
  flag('cluster', 'name', 'brittlestar', 'the name of the cluster that meets here'),
  flag('tls-cert', 'file', '', 'a certificate chain (PEM) instead of the self-signed one'),
  flag('tls-key', 'file', '', 'its private key (PEM)'),
  flag('log-level', 'level', 'info', `how much to log on stderr: ${logLevels.join(', ')}`),
  flag('help', '', '', 'show this help'),
]

/** @throws {OsError} EINVAL with one sentence for the user. */
export function parseFlags(argv: readonly string[], env: NodeJS.ProcessEnv): RelayOptions | 'help' {
  const given = readArguments(argv)
  if (given.has('--help')) return 'help'
  const read = ({ name, env: variable, default: byDefault }: Flag): Value => {
    const values = given.get(name)
    if (values) return { values, from: name }
    const text = env[variable]
    if (text !== undefined && text !== '') return { values: [text], from: variable }
    return { values: byDefault === '' ? [] : [byDefault], from: name }
  }
  const value = (name: string): Value => read(flagNamed(name))
  const data = given.has('--data') || env['BRITTLESTAR_DATA'] ? one(value('--data')) : defaultDataFolder(env)
  const options: RelayOptions = {
    port: integer(value('--port'), { min: 0, max: 65_535 }),
    host: one(value('--host')),
    announce: list(value('--announce')).map(parsed(value('--announce').from, parseAnnounce)),
    iceServers: list(value('--ice-server')).flatMap(parsed(value('--ice-server').from, parseIceServers)),
    maxPeers: integer(value('--max-peers'), { min: 1, max: limits.maxPeersAllowed }),
    data,
    cluster: clusterName(value('--cluster')),
    tlsCert: value('--tls-cert').values[0],
    tlsKey: value('--tls-key').values[0],
    logLevel: logLevel(value('--log-level')),
  }
  if ((options.tlsCert === undefined) !== (options.tlsKey === undefined)) {
    throw new OsError('EINVAL', '--tls-cert and --tls-key go together: one of them is missing')
  }
  return options
}

type Value = { values: readonly string[]; from: string }

function flagNamed(name: string): Flag {
  const found = flags.find((candidate) => candidate.name === name)
  if (!found) throw new OsError('EINVAL', `unknown flag ${name}`)
  return found
}

/** `--name value` and `--name=value`, the latter for values that begin with dashes. */
function readArguments(argv: readonly string[]): Map<string, string[]> {
  const given = new Map<string, string[]>()
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? ''
    if (!argument.startsWith('--')) throw new OsError('EINVAL', `unexpected argument "${argument}"`)
    const equals = argument.indexOf('=')
    const name = equals === -1 ? argument : argument.slice(0, equals)
    const known = flagNamed(name)
    if (known.value === '') {
      if (equals !== -1) throw new OsError('EINVAL', `${name} takes no value`)
      given.set(name, [])
      continue
    }
    const value = equals === -1 ? argv[++i] : argument.slice(equals + 1)
    if (value === undefined || value === '' || (equals === -1 && value.startsWith('--'))) {
      throw new OsError('EINVAL', `${name} needs a value: ${known.help}`)
    }
    const before = given.get(name) ?? []
    if (before.length > 0 && !known.repeats) throw new OsError('EINVAL', `${name} was given twice`)
    given.set(name, [...before, value])
  }
  return given
}

function one({ values, from }: Value): string {
  const value = values[0]
  if (value === undefined) throw new OsError('EINVAL', `${from} needs a value`)
  return value
}

/** A repeated flag's values; in an environment variable they stand one beside the other, separated by spaces. */
function list({ values, from }: Value): string[] {
  if (from.startsWith('--')) return [...values]
  return values.flatMap((text) => (/^\s*[[{]/.test(text) ? [text] : text.trim().split(/\s+/)))
}

function parsed<T>(from: string, parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (cause) {
      throw new OsError('EINVAL', `bad ${from}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
  }
}

function integer(value: Value, { min, max }: { min: number; max: number }): number {
  const text = one(value)
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= min && number <= max)) {
    throw new OsError('EINVAL', `bad ${value.from}: "${text}" is not a whole number from ${min} to ${max}`)
  }
  return number
}

function logLevel(value: Value): LogLevel {
  const text = one(value)
  const level = logLevels.find((name) => name === text)
  if (!level) throw new OsError('EINVAL', `bad ${value.from}: "${text}" is none of ${logLevels.join(', ')}`)
  return level
}

function clusterName(value: Value): string {
  const text = one(value)
  if (text.length > limits.clusterNameChars || /[\p{Cc}\s]/u.test(text)) {
    const rule = `1 to ${limits.clusterNameChars} characters without spaces`
    throw new OsError('EINVAL', `bad ${value.from}: "${text}" must be ${rule}`)
  }
  return text
}

const ICE_URL = /^(stuns?|turns?):[^\s]+$/

/** A URL, one RTCIceServer as JSON, or a JSON array of them. */
function parseIceServers(text: string): IceServer[] {
  if (!/^\s*[[{]/.test(text)) return [iceServer({ urls: text })]
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new OsError('EINVAL', `"${text}" is not JSON`, { cause })
  }
  return (Array.isArray(json) ? json : [json]).map(iceServer)
}

function iceServer(value: unknown): IceServer {
  const { urls, username, credential } = Object(value) as Record<string, unknown>
  const all: unknown[] = Array.isArray(urls) ? urls : [urls]
  if (all.length === 0 || !all.every((url) => typeof url === 'string' && ICE_URL.test(url))) {
    throw new OsError('EINVAL', `${JSON.stringify(urls)} is not a URL such as stun:stun.example.org:3478`)
  }
  for (const text of [username, credential]) {
    if (text !== undefined && typeof text !== 'string') throw new OsError('EINVAL', 'credentials must be strings')
  }
  return {
    urls: urls as string | string[],
    ...(typeof username === 'string' ? { username } : {}),
    ...(typeof credential === 'string' ? { credential } : {}),
  }
}

export function helpText(version: string): string {
  const rows = flags.map((row) => ({ ...row, usage: `${row.name}${row.value === '' ? '' : ` <${row.value}>`}` }))
  const width = Math.max(...rows.map(({ usage }) => usage.length))
  const lines = rows.map((row) => {
    const notes = [
      row.default === '' ? '' : `default: ${row.default}`,
      row.repeats ? 'may be repeated' : '',
      row.env === '' ? '' : `env: ${row.env}`,
    ]
    const note = notes.filter((text) => text !== '').join('; ')
    return `  ${row.usage.padEnd(width)}  ${row.help}${note === '' ? '' : `\n  ${' '.repeat(width)}  (${note})`}`
  })
  return `brittlestar relay ${version}: serves the page and lets tabs find each other

Usage: brittlestar relay [flags]      (or: npm start -- [flags])

${lines.join('\n')}

A flag wins over its environment variable, which wins over the default.
Exit codes: 0 after SIGTERM, SIGINT or SIGHUP, 2 when it cannot start as asked, 1 when it fails later.
`
}

/** The table of docs/relay.md; a test compares the two. */
export function flagsTable(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const rows = flags.map(({ name, value, env, default: byDefault, help, repeats }) => {
    const usage = `\`${name}${value === '' ? '' : ` <${cell(value)}>`}\``
    const code = (text: string) => (text === '' ? '' : text.includes(' ') ? text : `\`${text}\``)
    return `| ${usage} | ${code(env)} | ${code(byDefault)} | ${cell(help)}${repeats ? '; may be repeated' : ''} |`
  })
  return ['| Flag | Environment variable | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n')
}
