// In the page this takes the place of libp2p's own logger (vite.config.ts), with its formatting, colours and clocks:
// engine.ts gives libp2p a logger that leads to `dmesg`, so that the library's default is never asked to print.
function silent(): void {}

const quiet = Object.assign(silent, { enabled: false, error: silent, trace: silent, newScope: logger })

export function logger() {
  return quiet
}

export function defaultLogger() {
  return { forComponent: logger }
}
