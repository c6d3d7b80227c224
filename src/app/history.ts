// The terminal's history in localStorage: one per origin, so tabs share it. Another tab's lines are kept, not
// overwritten. Without storage it lives as long as the page.
import { type HistoryStore, withLine } from '../shell/session.ts'

const KEY = 'brittlestar.history'

export function storedHistory(storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>): HistoryStore {
  let lines = read(storage) ?? []
  return {
    lines: () => lines,
    append(line) {
      lines = withLine(read(storage) ?? lines, line)
      try {
        storage.setItem(KEY, JSON.stringify(lines))
      } catch {
        // Storage is full or switched off: history is a comfort, and `lines` still has it.
      }
    },
    clear() {
      lines = []
      storage.removeItem(KEY)
    },
  }
}

function read(storage: Pick<Storage, 'getItem'>): readonly string[] | undefined {
  try {
    const value: unknown = JSON.parse(storage.getItem(KEY) ?? '[]')
    return Array.isArray(value) && value.every((line) => typeof line === 'string') ? value : undefined
  } catch {
    return undefined // somebody else wrote there
  }
}
