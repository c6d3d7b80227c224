// The keys that the line editor takes for itself, as terminals send them; all others go to xterm-readline.

export type KeyAction =
  | 'cancel'
  | 'complete'
  | 'down'
  | 'killToStart'
  | 'killWord'
  | 'killWordAfter'
  | 'killWordPart'
  | 'up'
  | 'wordBack'
  | 'wordForward'
  | 'yank'

export const KEYS: Readonly<Record<string, KeyAction>> = {
  '\x03': 'cancel', // Ctrl-C
  '\t': 'complete',
  '\x0e': 'down', // Ctrl-N
  '\x1b[B': 'down',
  '\x15': 'killToStart', // Ctrl-U
  '\x17': 'killWord', // Ctrl-W
  '\x1bd': 'killWordAfter', // Alt-D
  '\x1b\x7f': 'killWordPart', // Alt-Backspace
  '\x10': 'up', // Ctrl-P
  '\x1b[A': 'up',
  '\x1bb': 'wordBack', // Alt-B, and Alt-Left or Ctrl-Left
  '\x1b[1;3D': 'wordBack',
  '\x1b[1;5D': 'wordBack',
  '\x1bf': 'wordForward', // Alt-F, and Alt-Right or Ctrl-Right
  '\x1b[1;3C': 'wordForward',
  '\x1b[1;5C': 'wordForward',
  '\x19': 'yank', // Ctrl-Y
}
