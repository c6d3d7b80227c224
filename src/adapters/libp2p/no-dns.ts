// In the page this takes the place of libp2p's DNS client (vite.config.ts), which asks companies' resolvers over HTTPS:
// an address of the kind /dnsaddr, which any peer may announce, would make a tab talk to them. Relays are reached at
// names that the browser itself resolves.
import { OsError } from '../../base/errors.ts'

export function dns() {
  return {
    query: () => Promise.reject(new OsError('ENOTSUP', 'addresses of the kind /dnsaddr are not looked up')),
  }
}

/** DNS record types, RFC 1035, 3.2.2: the one that libp2p asks for. */
export const RecordType = { TXT: 16 } as const
