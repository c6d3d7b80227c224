// Everything that the first command needs and the first prompt does not: parser, interpreter, programs. One chunk, imported
// lazily: the page fetches it when the prompt is there.
export { completeLine } from './complete.ts'
export { runProgram, runScript } from './interpret.ts'
export { parseCommand } from './parse.ts'
export { programs } from './programs/index.ts'
export { importFiles } from './transfer.ts'
