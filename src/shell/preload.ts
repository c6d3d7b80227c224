// Everything of the shell that is loaded on first use, for a page that wants it all before the relay may vanish; but for
// what is of no use without one (the QR code of `invite`).

export async function preloadShell(): Promise<void> {
  await Promise.all([import('./engine.ts'), import('./transfer.ts')])
}
