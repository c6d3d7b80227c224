// Counts the words of a file, with every node of the cluster at work.
//
//   run /bin/examples/wordcount.js FILE [OUT] [CHUNK]
//
// start → map, one per CHUNK bytes → plan → reduce, one per range of words → finish.
// A word is a run of ASCII letters and digits, in lower case; all other bytes separate. The counts are those of
//   LC_ALL=C tr -cs '[:alnum:]' '\n' < FILE | tr A-Z a-z | sort | uniq -c
// which is why a file that begins with a separator has one empty word.

const MAX_MAPS = 4096 // larger files get larger chunks
const RANGES = 64 // into which a map sorts its words, so that neighbours meet in one reduce
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte)
  return /[a-z0-9]/i.test(char) ? char.toLowerCase().charCodeAt(0) : 0 // 0: a separator
})

export async function start({ data: { args, cwd } }, os) {
  const [file, out, chunk = 4 * 1024 * 1024] = args
  if (!file || !(Number(chunk) >= 1)) {
    os.error('usage: wordcount.js FILE [OUT] [CHUNK]')
    return os.exit(2)
  }
  const absolute = (path) => (path.startsWith('/') ? path : `${cwd}/${path}`)
  const path = absolute(file)
  const stats = await os.fs.stat(path).catch((error) => error)
  if (stats instanceof Error) return fail(os, stats.message)
  if (stats.isDirectory()) return fail(os, `${path} is a directory`)
  const before = out && (await os.fs.stat(absolute(out)).catch(() => null)) // it need not be there
  if (before?.isDirectory()) return fail(os, `${absolute(out)} is a directory`)
  const { size } = stats
  const temp = `/tmp/wordcount-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`
  await os.fs.mkdir(temp, { recursive: true })
  const limits = await sample(os, path, size)
  const step = Math.max(Math.floor(chunk), Math.ceil(size / MAX_MAPS))
  const maps = []
  for (let begin = 0; begin === 0 || begin < size; begin += step) {
    maps.push(await os.emit('map', { path, begin, end: begin + step, temp, limits }))
  }
  await os.gather(maps, 'plan', { temp, share: 2 * step, out: out ? absolute(out) : null })
}

async function fail(os, message) {
  os.error(`wordcount: ${message}`)
  return os.exit(1)
}

/** A task of the job; where it fails, nothing of the job is left behind. */
function cleaning(task) {
  return ({ data }, os) =>
    task(data, os).catch(async (error) => {
      await os.fs.rm((data.data ?? data).temp, { recursive: true, force: true })
      return fail(os, error.message)
    })
}

/** Words that part all words into ranges of about the same size: from pieces all over the file. */
async function sample(os, path, size) {
  const words = new Set()
  for (let i = 0; i < 8; i++) {
    const begin = Math.floor((size * i) / 8)
    for await (const bytes of os.fs.read(path, { start: begin, end: begin + 16384 })) {
      for (const [word] of countWords(bytes.slice())) words.add(word.slice(0, 32))
    }
  }
  const sorted = [...words].sort()
  return Array.from({ length: RANGES - 1 }, (_, i) => sorted[Math.floor(((i + 1) * sorted.length) / RANGES)] ?? '')
}

/** Counts the words that begin in one chunk and writes them to a file, range after range. */
export const map = cleaning(async ({ path, begin, end, temp, limits }, os) => {
  const bytes = await readWords(os, path, begin, end)
  const counts = countWords(bytes)
  if (begin === 0 && bytes.length > 0 && LOWER[bytes[0]] === 0) counts.push(['', 1])
  const lines = Array.from({ length: RANGES }, () => [])
  for (const [word, n] of counts) {
    let range = 0 // binary search: the first whose limit is beyond the word
    for (let high = RANGES - 1; range < high; ) {
      const middle = (range + high) >> 1
      if (word < limits[middle]) high = middle
      else range = middle + 1
    }
    lines[range].push(`${word} ${n}\n`)
  }
  const parts = lines.map((part) => new TextEncoder().encode(part.join('')))
  const file = `${temp}/map-${begin}`
  await os.fs.writeFile(file, await join(parts))
  return { file, sizes: parts.map((part) => part.length) }
})

/** From the first separator in the chunk, or the beginning of the file, to the first separator behind the chunk. */
async function readWords(os, path, begin, end) {
  const pieces = []
  let skipping = begin > 0
  for (let [at, to] = [begin, end]; ; [at, to] = [to, to + 65536]) {
    let length = 0
    for await (const piece of os.fs.read(path, { start: at, end: to })) {
      length += piece.length
      const behind = at >= end
      const separator = skipping || behind ? piece.findIndex((byte) => LOWER[byte] === 0) : -1
      const isLast = behind && separator >= 0
      if (!skipping) pieces.push(isLast ? piece.subarray(0, separator) : piece)
      else if (!behind && separator >= 0) pieces.push(piece.subarray(separator))
      if (isLast) return join(pieces)
      skipping &&= separator < 0
    }
    if (length < to - at) return join(pieces) // it is the end of the file
  }
}

async function join(pieces) {
  return new Uint8Array(await new Blob(pieces).arrayBuffer())
}

/** Pairs of word and count. A hash table over the bytes is four times as fast as strings in a Map. */
function countWords(bytes) {
  const [starts, lengths, hashes, counts] = [[], [], [], []] // of each different word
  let slots = new Int32Array(1 << 15) // by hash: the word's number, from 1; 0 when free
  for (let i = 0; i < bytes.length; i++) {
    const start = i
    let hash = 0
    while (i < bytes.length) {
      const byte = LOWER[bytes[i]]
      if (byte === 0) break
      hash = (Math.imul(hash, 31) + byte) | 0
      bytes[i++] = byte
    }
    const length = i - start
    if (length === 0) continue
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) // short words have neighbouring sums: spread them
    hash = (hash ^ (hash >>> 12)) & 0x3fffffff
    let slot = hash & (slots.length - 1)
    let word = slots[slot] - 1
    while (
      word >= 0 &&
      !(hashes[word] === hash && lengths[word] === length && same(bytes, starts[word], start, length))
    ) {
      slot = (slot + 1) & (slots.length - 1)
      word = slots[slot] - 1
    }
    if (word >= 0) {
      counts[word]++
      continue
    }
    slots[slot] = counts.push(1)
    starts.push(start)
    lengths.push(length)
    hashes.push(hash)
    if (counts.length * 2 > slots.length) slots = rehash(hashes, slots.length * 2)
  }
  const text = new TextDecoder('latin1').decode(bytes) // one character per byte
  return starts.map((start, i) => [text.slice(start, start + lengths[i]), counts[i]])
}

function same(bytes, a, b, length) {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}

function rehash(hashes, size) {
  const slots = new Int32Array(size)
  hashes.forEach((hash, word) => {
    let slot = hash & (size - 1)
    while (slots[slot] > 0) slot = (slot + 1) & (size - 1)
    slots[slot] = word + 1
  })
  return slots
}

/** Joins neighbouring ranges until each reduce has about the same to do. */
export const plan = cleaning(async ({ results, data }, os) => {
  const total = results.flatMap(({ sizes }) => sizes).reduce((sum, size) => sum + size, 0)
  const share = Math.min(data.share, Math.max(total / 16, 65536))
  const next = results.map(() => 0) // how far each map's file is given out
  const reduces = []
  let pending = 0
  for (let range = 0, first = 0; range < RANGES; range++) {
    for (const { sizes } of results) pending += sizes[range]
    if (pending <= share && range < RANGES - 1) continue
    const pieces = results.map(({ file, sizes }, i) => {
      const start = next[i]
      for (let r = first; r <= range; r++) next[i] += sizes[r]
      return { file, start, end: next[i] }
    })
    const file = `${data.temp}/reduce-${reduces.length}`
    const filled = pieces.filter(({ start, end }) => end > start)
    reduces.push(await os.emit('reduce', { pieces: filled, file, temp: data.temp }))
    first = range + 1
    pending = 0
  }
  await os.gather(reduces, 'finish', data)
})

/** Adds up the counts of one range of words. */
export const reduce = cleaning(async ({ pieces, file }, os) => {
  const totals = new Map()
  for (const { file, start, end } of pieces) {
    const parts = []
    for await (const part of os.fs.read(file, { start, end })) parts.push(part)
    for (const line of new TextDecoder().decode(await join(parts)).split('\n')) {
      const [word, n] = line.split(' ')
      if (n) totals.set(word, (totals.get(word) ?? 0) + Number(n))
    }
  }
  const words = [...totals.keys()].sort()
  await os.fs.writeFile(file, words.map((word) => `${word} ${totals.get(word)}\n`).join(''))
  return file
})

/** The ranges in their order are the sorted result. */
export const finish = cleaning(async ({ results: files, data }, os) => {
  async function* content() {
    for (const file of files) yield* os.fs.read(file)
  }
  if (data.out) await os.fs.writeFile(data.out, content())
  else for await (const piece of content()) await os.write(piece)
  await os.fs.rm(data.temp, { recursive: true })
})
