// Draws the Mandelbrot set with characters, a few rows per task.
//
//   run /bin/examples/mandelbrot.js [COLUMNS] [ROWS] [--color]

const SHADES = ' .:-=+*#%@'
const MAX_STEPS = 2000
const ROWS_PER_TASK = 2

export async function start({ data: { args } }, os) {
  const color = args.includes('--color')
  const [columns = 100, rows = 32] = args.filter((arg) => arg !== '--color').map(Number)
  const isSize = (n) => Number.isInteger(n) && n >= 1 && n <= 1000
  if (!isSize(columns) || !isSize(rows)) {
    os.error('usage: mandelbrot.js [COLUMNS, 1 to 1000] [ROWS, 1 to 1000] [--color]')
    return os.exit(2)
  }
  const ids = []
  for (let first = 0; first < rows; first += ROWS_PER_TASK) {
    const last = Math.min(first + ROWS_PER_TASK, rows)
    ids.push(await os.emit('draw', { first, last, columns, rows, color }))
  }
  await os.gather(ids, 'show')
}

/** The rows from `first` up to `last` as lines of text. */
export function draw({ data: { first, last, columns, rows, color } }) {
  const lines = []
  for (let row = first; row < last; row++) {
    const y = rows === 1 ? 0 : (row / (rows - 1)) * 2.4 - 1.2
    let line = ''
    for (let column = 0; column < columns; column++) {
      const x = columns === 1 ? 0 : (column / (columns - 1)) * 3.2 - 2.2
      line += shade(stepsToEscape(x, y), color)
    }
    lines.push(color ? `${line}\x1b[0m` : line)
  }
  return lines
}

/** How many steps z → z² + c takes to leave the circle of radius 2. */
function stepsToEscape(x, y) {
  let [a, b, steps] = [0, 0, 0]
  for (; steps < MAX_STEPS && a * a + b * b <= 4; steps++) {
    const next = a * a - b * b + x
    b = 2 * a * b + y
    a = next
  }
  return steps
}

function shade(steps, color) {
  const level = steps === MAX_STEPS ? SHADES.length - 1 : Math.min(SHADES.length - 2, Math.floor(Math.log2(steps + 1)))
  if (!color) return SHADES[level]
  return steps === MAX_STEPS ? '\x1b[40m ' : `\x1b[48;5;${17 + level * 6}m `
}

/** All rows, in their order, whichever node drew them. */
export function show({ data: { results } }, os) {
  os.print(results.flat().join('\n'))
}
