// Counts the primes below a limit, a range per task.
//
//   run /bin/examples/primes.js [LIMIT] [CHUNK]

export async function start({ data: { args } }, os) {
  const limit = Number(args[0] ?? 5_000_000)
  const chunk = Number(args[1] ?? Math.min(Math.ceil(limit / 10) || 1, 20_000_000)) // twenty million: about 50 ms
  if (!Number.isSafeInteger(limit) || limit < 0 || limit > 1e12 || !Number.isSafeInteger(chunk) || chunk < 1) {
    os.error('usage: primes.js [LIMIT, at most 1e12] [CHUNK]')
    return os.exit(2)
  }
  const size = Math.max(chunk, Math.ceil(limit / 10_000)) // at most ten thousand tasks
  const ids = []
  for (let from = 0; from < limit; from += size) {
    ids.push(await os.emit('count', { from, to: Math.min(from + size, limit) }))
  }
  if (ids.length > 0) await os.gather(ids, 'total', { limit })
  else os.print(`0 primes below ${limit}`)
}

/** A segmented sieve of Eratosthenes: strikes out the multiples of small primes in one range only. */
export function count({ data: { from, to } }) {
  const struck = new Uint8Array(to - from)
  for (const prime of primesUpTo(Math.floor(Math.sqrt(to)))) {
    const first = Math.max(prime * prime, Math.ceil(from / prime) * prime)
    for (let n = first - from; n < struck.length; n += prime) struck[n] = 1
  }
  let primes = 0
  for (let i = Math.max(0, 2 - from); i < struck.length; i++) primes += 1 - struck[i]
  return primes
}

function primesUpTo(limit) {
  const struck = new Uint8Array(limit + 1)
  const primes = []
  for (let n = 2; n <= limit; n++) {
    if (struck[n]) continue
    primes.push(n)
    for (let multiple = n * n; multiple <= limit; multiple += n) struck[multiple] = 1
  }
  return primes
}

export function total({ data: { results, data } }, os) {
  const sum = results.reduce((a, b) => a + b, 0)
  os.print(`${sum} primes below ${data.limit}`)
}
