// Tabs whose pages are of different versions, because the relay was updated between them, do not understand each other: the
// people at both are told, once for newer tabs and once for older ones. Above: kernel.ts. Below: frames.ts.
import { PROTOCOL_VERSION } from './frames.ts'

/** @returns what to call with the version that a peer speaks. */
export function tellOfVersions(tell: (text: string) => void): (theirs: number) => void {
  const told = new Set<string>()
  return (theirs) => {
    const text = theirs > PROTOCOL_VERSION ? ofNewer : ofOlder
    if (told.has(text)) return
    told.add(text)
    tell(text)
  }
}

const ofNewer =
  'there are tabs of a newer version, which this one cannot talk to: it sees neither them nor their files. Reload this page'
const ofOlder =
  'there are tabs of an older version, which this one cannot talk to: it sees neither them nor their files. Reload their pages'
