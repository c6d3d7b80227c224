// put: files of this device into the tree.
import { baseName, parentPath } from '../paths.ts'
import { defineProgram } from '../program.ts'
import { importFiles } from '../transfer.ts'

export const put = defineProgram(
  {
    name: 'put',
    summary: 'Choose files of this device and store them here',
    usage: ['[OPTION]... [TARGET]'],
    details: [
      'TARGET is a directory (this one unless given), or the new name of a single file.',
      'Files and folders can also be dropped onto the page. Says of each on how many devices it is kept: as many as',
      'can be had, up to three. With --ack a file that would be less safe is an error: `majority` of the nodes that',
      'keep the tree, or `all` of them; `local` does not wait for others. After Ctrl-C, or when the tab was reloaded',
      'meanwhile, the same `put` goes on where it was: what was stored of a file is not stored again.',
    ].join('\n'),
    options: {
      recursive: { short: 'r', help: 'choose a folder, and store all that is in it' },
      ack: { short: 'a', value: 'LEVEL', oneOf: ['local', 'majority', 'all'], help: 'how safe each file has to be' },
    },
    operands: [0, 1],
  },
  async (context, { options: { ack, recursive }, operands: [operand = '.'] }) => {
    const pickFiles = context.need('pickFiles', 'no file picker here; os.fs.writeFile stores a file from a script')
    const target = context.path(operand)
    const exists = await context.fs.exists(target, context.cancel)
    const directory = exists ? (await context.fs.stat(target, context.cancel)).isDirectory() : operand.endsWith('/')
    const files = await pickFiles(context.signal, { folder: recursive })
    if (!directory && files.length === 1 && !files[0]?.path.includes('/')) {
      return importFiles(context, files, parentPath(target), { rename: baseName(target), ack })
    }
    if (!exists && files.length > 0) await context.fs.mkdir(target, { recursive: true, ...context.cancel })
    return importFiles(context, files, target, { ack })
  },
)
