// Who sits at this device, in localStorage: one name per origin, so that its next tab begins with it. Without storage it
// lives as long as the page.
import type { UserStore } from '../shell/user.ts'

const KEY = 'brittlestar.user'

export function storedUsers(storage: Pick<Storage, 'getItem' | 'setItem'>): UserStore {
  let said: string | undefined
  const stored = () => {
    try {
      return storage.getItem(KEY) ?? undefined
    } catch {
      return undefined // storage is switched off
    }
  }
  return {
    name: () => said ?? stored(),
    remember(name) {
      said = name
      try {
        storage.setItem(KEY, name)
      } catch {
        // Storage is full or switched off: the next tab asks again, and `said` still has it.
      }
    },
  }
}
