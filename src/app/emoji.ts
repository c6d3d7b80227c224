// In the page this takes the place of the list of all emoji (`emoji-regex`, vite.config.ts) by which the line editor
// tells how wide they are: browsers know it themselves, and newer ones more of it.

/** Emoji as Unicode recommends them (UTS #51); in a browser that cannot name sequences, their single characters. */
function emoji(): RegExp {
  try {
    return /\p{RGI_Emoji}/gv
  } catch {
    return /\p{Extended_Pictographic}/gu
  }
}

export { emoji as 'module.exports' }
