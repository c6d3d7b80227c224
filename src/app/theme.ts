// Colours of the terminal, dark and light; style.css has those of the page around it.
import type { ITheme } from '@xterm/xterm'

const DARK: ITheme = {
  background: '#10161b',
  foreground: '#d8e1e5',
  cursor: '#ff9a6b',
  cursorAccent: '#10161b',
  selectionBackground: '#3a4f5c',
  black: '#1b252c',
  red: '#ff7b72',
  green: '#7ed492',
  yellow: '#e8c46a',
  blue: '#7db4ff',
  magenta: '#d6a0ee',
  cyan: '#63cfc8',
  white: '#d8e1e5',
  brightBlack: '#8296a1',
  brightRed: '#ff9d95',
  brightGreen: '#a0e5b0',
  brightYellow: '#f5d88c',
  brightBlue: '#a3caff',
  brightMagenta: '#e5c0f5',
  brightCyan: '#8fe3dd',
  brightWhite: '#ffffff',
}

const LIGHT: ITheme = {
  background: '#fbf9f5',
  foreground: '#24323b',
  cursor: '#c4501b',
  cursorAccent: '#fbf9f5',
  selectionBackground: '#cfdde4',
  black: '#24323b',
  red: '#b3261e',
  green: '#1e7038',
  yellow: '#7a5900',
  blue: '#1f5bb5',
  magenta: '#7d3b9c',
  cyan: '#00696a',
  white: '#6a7a84',
  brightBlack: '#5c6b75',
  brightRed: '#c4342b',
  brightGreen: '#23803f',
  brightYellow: '#856100',
  brightBlue: '#2a69c9',
  brightMagenta: '#8d47ad',
  brightCyan: '#007879',
  brightWhite: '#24323b',
}

const light = () => matchMedia('(prefers-color-scheme: light)')

export function colourScheme(): ITheme {
  return light().matches ? LIGHT : DARK
}

export function onSchemeChange(listener: () => void): void {
  light().addEventListener('change', listener)
}
