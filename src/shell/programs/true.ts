// true: succeeds.
import { defineProgram } from '../program.ts'

export const trueProgram = defineProgram(
  { name: 'true', summary: 'Do nothing, successfully', usage: [''], options: {} },
  () => Promise.resolve(0),
)
