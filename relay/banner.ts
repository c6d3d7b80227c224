// What the relay prints for people, on stdout: where the page is, and how other laptops get there.
import { renderUnicodeCompact } from 'uqr'

export interface Banner {
  version: string
  cluster: string
  localUrl: string
  /** The page for other computers, or null when they cannot reach this relay. */
  secureUrl: string | null
  selfSigned: boolean
}

export function bannerText({ version, cluster, localUrl, secureUrl, selfSigned }: Banner): string {
  const head = `Brittlestar relay ${version}, cluster "${cluster}"\n\n  This computer:  ${localUrl}\n`
  if (secureUrl === null) return `${head}\nOther computers cannot reach it: it listens on this one only.\n`
  const code = renderUnicodeCompact(secureUrl, { border: 1 })
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
  const warning = selfSigned
    ? '\nTheir browsers will warn about the certificate, because this relay signed it itself: choose "Advanced", then "Proceed".\n'
    : ''
  return `${head}  Other laptops:  ${secureUrl}\n\n${code}\n${warning}`
}
