// Everything that the first command needs and the first prompt does not: parser, interpreter, programs.
// shell.ts imports it lazily.
export { completeLine } from './complete.ts'
export { runProgram, runScript } from './interpret.ts'
export { parseCommand } from './parse.ts'
export { programs } from './programs/index.ts'
