// In the page this takes the place of unbash's parser of what stands inside `$(( … ))` (vite.config.ts): parse.ts refuses
// arithmetic by the kind of its node, whatever is in it.

/** @returns null, as for what is no expression. */
export function parseArithmeticExpression(): null {
  return null
}
