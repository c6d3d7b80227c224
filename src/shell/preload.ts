// Everything of the shell that is loaded on first use, for a page that wants it all before the relay may vanish.

export async function preloadShell(): Promise<void> {
  await Promise.all([import('./engine.ts'), import('./transfer.ts'), import('uqr')])
}
