// uname: which system, which node.
import { defineProgram, jsonOption } from '../program.ts'

export const uname = defineProgram(
  {
    name: 'uname',
    summary: 'Print what this system and this node are called',
    usage: ['[OPTION]...'],
    options: {
      all: { short: 'a', help: 'node id, version, cluster, slot and device as well' },
      nodename: { short: 'n', help: 'the node id only' },
      release: { short: 'r', help: 'the version only' },
      ...jsonOption,
    },
    operands: [0, 0],
  },
  async (context, { options }) => {
    if (!options.all && !options.nodename && !options.release && !options.json) {
      await context.print('Brittlestar\n')
      return 0
    }
    const node = await context.client.info('node', context.cancel)
    if (options.json) await context.printJson(node)
    else if (options.all) {
      const { id, version, cluster, slot, device } = node
      await context.print(`Brittlestar ${id} ${version} ${cluster} slot ${slot} device ${device}\n`)
    } else await context.print(`${options.nodename ? node.id : node.version}\n`)
    return 0
  },
)
