// keg: kegs, and their versions. One file per subcommand; this one finds it.
import { utf8 } from '../../../base/bytes.ts'
import { OsError } from '../../../base/errors.ts'
import { type Program, ProgramContext } from '../../program.ts'
import { checkout } from './checkout.ts'
import { chunks } from './chunks.ts'
import { copies } from './copies.ts'
import { create } from './create.ts'
import { diff } from './diff.ts'
import { exportCar } from './export.ts'
import { gc } from './gc.ts'
import { importCar } from './import.ts'
import { list } from './list.ts'
import { log } from './log.ts'
import { show } from './show.ts'
import { snapshot } from './snapshot.ts'
import { undo } from './undo.ts'
import { explain } from './versions.ts'

const subcommands = [log, show, diff, undo, checkout, snapshot, gc, exportCar, importCar, chunks, create, list, copies]
const nameOf = (program: Program) => program.name.slice('keg '.length)

const help = `Usage: keg COMMAND [ARGUMENT]...
Show earlier versions and bring them back; exchange files with IPFS tools; make kegs

Every change of / makes a version, and what was there stays until keg gc forgets it. Of more than 1024 versions, old ones
that lie close together are thinned out, but for those with a name.

${subcommands.map((program) => `  ${nameOf(program).padEnd(10)} ${program.summary}`).join('\n')}

A VERSION is a number (keg log shows them), a name that keg snapshot gave, HEAD (the newest), HEAD~2 (two before it),
@10m (as it was ten minutes ago; s, m, h, d) or the KID of its root. /keg/VERSION is that version as a directory.

A keg beside / (keg create, mount) has versions of its own: of the keg that a PATH is in, where one is given.
/keg/KEG is that keg as it is now, /keg/KEG@VERSION a version of it.

'keg COMMAND --help' tells more of a command.
`

export const keg: Program = {
  name: 'keg',
  summary: 'Show earlier versions and bring them back; make kegs',
  help,
  async run(context) {
    const [word, ...args] = context.args
    if (word === undefined || word === '--help' || word === '-h' || word === 'help') {
      await (word === undefined ? context.stderr.write(utf8(help)) : context.print(help))
      return word === undefined ? 2 : 0
    }
    if (word.startsWith('-')) {
      await context.complain(`unrecognized option '${word}'\nTry 'keg --help' for more information.`)
      return 2
    }
    const found = subcommands.find((program) => nameOf(program) === word)
    if (!found) {
      await context.complain(`there is no command '${word}': ${subcommands.map(nameOf).join(', ')}`)
      return 2
    }
    const { session, parts, signal, stdin, stdout, stderr } = context
    const streams = { stdin, stdout, stderr }
    const own = new ProgramContext({ name: found.name, args, streams, session, parts, signal })
    try {
      return await found.run(own)
    } catch (error) {
      if (!(error instanceof OsError) || signal.aborted || error.code === 'EPIPE') throw error
      await own.complain(explain(error))
      return 1
    }
  },
}
