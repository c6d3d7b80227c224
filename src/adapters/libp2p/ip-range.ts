// In the page this takes the place of the calculator with networks (`netmask`, vite.config.ts) by which libp2p tells
// private IPv4 addresses: of all it can do, the library uses this.

export class Netmask {
  readonly #base: number
  readonly #hostBits: number

  /** @param range as `10.0.0.0/8`. */
  constructor(range: string) {
    const [address = '', prefix = '32'] = range.split('/')
    this.#hostBits = 2 ** (32 - Number(prefix))
    this.#base = Math.floor(toNumber(address) / this.#hostBits)
  }

  contains(address: string): boolean {
    return Math.floor(toNumber(address) / this.#hostBits) === this.#base
  }
}

/** NaN for what is no dotted address: it is within no range. */
function toNumber(address: string): number {
  const bytes = address.split('.').map(Number)
  const isByte = (byte: number) => Number.isInteger(byte) && byte >= 0 && byte <= 255
  return bytes.length === 4 && bytes.every(isByte) ? bytes.reduce((sum, byte) => sum * 256 + byte, 0) : Number.NaN
}
