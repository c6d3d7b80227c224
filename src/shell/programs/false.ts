// false: fails.
import { defineProgram } from '../program.ts'

export const falseProgram = defineProgram(
  { name: 'false', summary: 'Do nothing, unsuccessfully', usage: [''], options: {} },
  () => Promise.resolve(1),
)
