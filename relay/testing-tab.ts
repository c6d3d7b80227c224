// A tab in a process of its own, for tests that freeze it: `node testing-tab.ts <port> <relay's peer id>`.
import { Cleanup, rendezvous, startTab, until } from './testing.ts'

const [port, peerId = ''] = process.argv.slice(2)
const heard = await rendezvous(await startTab(new Cleanup()), { port: Number(port), peerId })
await until(() => heard.events.length > 0, 'the tab has joined')
process.stdout.write('joined\n')
