// Certificates: the relay's own self-signed one, kept in the data folder, or the operator's files.
// Browsers give WebCrypto, locks and storage only to secure origins, so other laptops need https.
import { webcrypto, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { OsError } from '../src/base/errors.ts'
import { isLoopback, lanAddresses } from './addresses.ts'
import { readIfThere, reason, writePrivate } from './data.ts'
import { limits } from './limits.ts'
import type { Log } from './log.ts'

export interface TlsMaterial {
  /** PEM. */
  cert: string
  key: string
  selfSigned: boolean
}

/** Gives the current certificate, and a new one when it should change. */
export interface TlsSource {
  current: TlsMaterial
  /** Looks again at addresses, dates or files. Resolves to the new material if there is any. */
  refresh(): Promise<TlsMaterial | undefined>
}

const DAY_MS = 24 * 60 * 60_000
const PEM = /-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----\n?/g

/** The operator's files. @throws {OsError} EINVAL when they are unreadable or do not belong together. */
export function tlsFromFiles(certFile: string, keyFile: string, log: Log): TlsSource {
  const read = (): TlsMaterial => {
    const material = { cert: readText(certFile), key: readText(keyFile), selfSigned: false }
    checkPair(material, certFile, keyFile)
    return material
  }
  const changedAt = () => [certFile, keyFile].map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs).join()
  let seen = changedAt()
  const source: TlsSource = {
    current: read(),
    async refresh() {
      const now = changedAt()
      if (now === seen) return undefined
      seen = now
      try {
        source.current = read()
      } catch (error) {
        log.error('the new TLS files are not usable; keeping the old certificate', { error })
        return undefined
      }
      return source.current
    },
  }
  return source
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OsError('EINVAL', `cannot read the TLS file ${file}: ${reason(cause)}`, { cause })
  }
}

function checkPair({ cert, key }: TlsMaterial, certFile: string, keyFile: string): void {
  const attempt = (what: string, file: string, action: () => unknown) => {
    try {
      action()
    } catch (cause) {
      throw new OsError('EINVAL', `cannot use the TLS ${what} ${file}: it is not a valid PEM ${what}`, { cause })
    }
  }
  attempt('certificate', certFile, () => new X509Certificate(cert))
  attempt('key', keyFile, () => createSecureContext({ key }))
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new OsError('EINVAL', `the TLS key ${keyFile} does not belong to the certificate ${certFile}`, { cause })
  }
}

export interface SelfSignedOptions {
  folder: string
  log: Log
  /** This machine's names and addresses now. */
  names?: () => string[]
  now?: () => number
}

/** The relay's own certificate: made at the first start, renewed before it ends and when an address is not in it. */
export async function selfSignedTls({
  folder,
  log,
  names = machineNames,
  now = Date.now,
}: SelfSignedOptions): Promise<TlsSource> {
  const file = join(folder, 'tls.pem')
  const renew = async (why: string, old: readonly string[]): Promise<TlsMaterial> => {
    const all = [...new Set([...names(), ...old])].slice(0, limits.certificateNames)
    const material = await generate(all, now())
    writePrivate(file, material.key + material.cert)
    log.info('made a certificate', { why, names: all })
    return material
  }
  const { stored, problem } = load(file)
  const why = stored ? staleness(stored, names(), now()) : problem
  if (problem) log.warn(`the certificate ${file} cannot be used: browsers warn once more about a new one`, { problem })
  const source: TlsSource = {
    current: stored && !why ? stored : await renew(why ?? 'there was none', stored ? namesIn(stored.cert) : []),
    async refresh() {
      const stale = staleness(source.current, names(), now())
      if (!stale) return undefined
      source.current = await renew(stale, namesIn(source.current.cert))
      return source.current
    },
  }
  return source
}

export function machineNames(): string[] {
  const host = hostname().toLowerCase()
  const own = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(host) ? [host] : []
  return [...new Set(['localhost', ...own, '127.0.0.1', '::1', ...lanAddresses()])]
}

/** Why the certificate should be replaced; empty when it is good. */
function staleness({ cert }: TlsMaterial, wanted: readonly string[], now: number): string {
  const certificate = new X509Certificate(cert)
  const left = Date.parse(certificate.validTo) - now
  if (left < limits.certificateRenewDays * DAY_MS) return 'the old one ends soon'
  if (Date.parse(certificate.validFrom) > now + DAY_MS) return 'the old one is not valid yet'
  // Names that went away stay in: every change makes people accept the certificate again.
  const missing = wanted.filter((name) => !covers(certificate, name))
  return missing.length === 0 ? '' : `an address was not in it: ${missing.join(', ')}`
}

function covers(certificate: X509Certificate, name: string): boolean {
  return (isAddress(name) ? certificate.checkIP(name) : certificate.checkHost(name, { subject: 'never' })) !== undefined
}

function isAddress(name: string): boolean {
  return /^[\d.]+$/.test(name) || name.includes(':')
}

/** Damaged: a new one is made, as when there was none. @returns neither when there is no file. */
function load(file: string): { stored?: TlsMaterial; problem?: string } {
  const text = readIfThere(file)?.toString('utf8')
  if (text === undefined) return {}
  const [key, cert] = text.match(PEM) ?? []
  if (key === undefined || cert === undefined) return { problem: 'the old one was not a key and a certificate in PEM' }
  try {
    createSecureContext({ key, cert })
    return { stored: { key, cert, selfSigned: true } }
  } catch (error) {
    return { problem: `the old one was damaged: ${reason(error)}` }
  }
}

/** The host names and addresses that a certificate is for. */
export function namesIn(cert: string): string[] {
  const text = new X509Certificate(cert).subjectAltName ?? ''
  return [...text.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map((match) => canonical(match[1] ?? ''))
}

/** OpenSSL prints IPv6 in full; URL parsing shortens it. */
function canonical(name: string): string {
  if (!name.includes(':')) return name
  return new URL(`http://[${name}]/`).hostname.replace(/^\[|\]$/g, '')
}

/** The public host of an operator's certificate, for the URL that people are shown. */
export function publicName(cert: string): string | undefined {
  return namesIn(cert).find((name) => !name.includes('*') && !isLoopback(name))
}

async function generate(names: readonly string[], now: number): Promise<TlsMaterial> {
  // Loaded when needed, which is once a year: it takes 100 ms. Its dependency injection needs the polyfill first.
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)))
        .toString('hex')
        .replace(/^./, '4'),
      name: 'CN=Brittlestar relay',
      // An hour back: the clocks of a LAN's machines differ.
      notBefore: new Date(now - 3_600_000),
      notAfter: new Date(now + limits.certificateDays * DAY_MS),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isAddress(value) ? ('ip' as const) : ('dns' as const), value })),
        ),
      ],
    },
    webcrypto as unknown as Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[1],
  )
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  return { cert: `${certificate.toString('pem')}\n`, key: pem('PRIVATE KEY', key), selfSigned: true }
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
