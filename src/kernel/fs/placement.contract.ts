import { MemoryNetwork } from '../../adapters/memory/network.ts'
import type { NodeId } from '../../base/ids.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { boot, newCluster, oneHome, type TestCluster } from '../cluster.contract.ts'
import { nodeId, RawPeer, type RawStream } from '../harness.contract.ts'
import { PLACED_BYTES } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'

export const UNIT = PLACED_BYTES

/** A membership of which these are linked, and none is frozen or silent. */
export const linkedTo = (peers: readonly string[], deviceOf: (id: string) => string = (id) => id) => ({
  events: { on: () => undefined },
  linked: () => peers,
  answering: () => peers,
  mustAnswer: () => undefined,
  has: () => true,
  row: (id: string) => ({ device: deviceOf(id) }),
})

export interface Stored {
  path: string
  cid: string
  bytes: Uint8Array
}

export async function write(
  cluster: TestCluster,
  node: SimNode,
  path: string,
  bytes: Uint8Array = cluster.random.bytes(UNIT),
): Promise<Stored> {
  const { cid } = await cluster.run(node.fs.writeFile(path, bytes))
  return { path, cid: cid as string, bytes }
}

export async function writeAll(cluster: TestCluster, node: SimNode, count: number, folder = ''): Promise<Stored[]> {
  const files: Stored[] = []
  for (let i = 0; i < count; i++) files.push(await write(cluster, node, `${folder}/file-${i}`))
  return files
}

export const holders = (nodes: readonly SimNode[], { cid }: { cid: string }) =>
  nodes.filter(({ disk }) => disk.blocks.has(cid))
/** Those that keep it because they were asked to, as their disks have it. */
export const keepers = (nodes: readonly SimNode[], { cid }: { cid: string }) => {
  return nodes.filter(({ disk }) => {
    const pages = [...disk.records].filter(([name]) => name.startsWith('pins '))
    return pages.some(([, page]) => Buffer.from(page).includes(cid))
  })
}

export async function withFiles<N extends SimNode[]>(size: number, seed: number, count: number) {
  const cluster = newCluster({ seed })
  const nodes = await boot<N>(cluster, size)
  await oneHome(cluster)
  await cluster.run((nodes[0] as SimNode).fs.writeFile('/first', 'x'))
  await cluster.advance(10_000)
  const files = await writeAll(cluster, nodes[0] as SimNode, count)
  await cluster.advance(10_000)
  return { cluster, nodes, files }
}

export const treesOf = (nodes: readonly SimNode[]) => [
  ...new Set(
    nodes.flatMap(({ disk }) =>
      [...disk.logs.keys()].filter((name) => name.startsWith('tree/')).map((name) => name.slice('tree/'.length)),
    ),
  ),
]
export const membersOf = (nodes: readonly SimNode[]) =>
  nodes.filter(({ disk }) => [...disk.logs.keys()].some((name) => name.startsWith('tree/')))

export const health = (cluster: TestCluster, node: SimNode, path = '/') =>
  cluster.run(node.os.call('info', { topic: 'health', path }))

type Frames = unknown[]
/** A peer linked to all of those, which answers pings, and what it is told to answer. */
export async function stranger(
  cluster: TestCluster,
  victims: readonly SimNode[],
  answer: (method: string, args: Record<string, unknown>, from: SimNode) => unknown,
  name = '1',
  hello: object = {},
  pulse: object = {},
) {
  const id = nodeId(name)
  const network = new MemoryNetwork(cluster.hub, id)
  await network.start()
  const lanes: { victim: SimNode; control: RawStream; bulk: RawStream }[] = []
  for (const victim of victims) {
    const peer = new RawPeer(network, victim.id)
    await cluster.run(network.connect(victim.id))
    lanes.push({
      victim,
      ...(await cluster.run(peer.greet({ cluster: 'sim', device: 'e'.repeat(32) as never, ...hello }))),
    })
  }
  const seen = new Map<RawStream, number>()
  const calls: string[] = []
  const step = async (ms: number) => {
    await cluster.advance(ms)
    for (const { victim, control, bulk } of lanes) {
      for (const lane of [control, bulk]) {
        for (const f of lane.frames.slice(seen.get(lane) ?? 0) as Frames[]) {
          if (f[0] === FRAME.PING && f[1] !== 0) lane.send([FRAME.PONG, f[1]] as never)
          if (f[0] === FRAME.CALL) {
            calls.push(String(f[2]))
            const result = answer(String(f[2]), f.at(-1) as Record<string, unknown>, victim)
            if (result !== undefined) lane.send([FRAME.RESULT, f[1], result] as never)
          }
        }
        seen.set(lane, lane.frames.length)
      }
    }
  }
  let beat = 0
  /** Lets time pass, and sends heartbeats. */
  const advance = async (ms: number) => {
    for (let at = 0; at < ms; at += 100) {
      await step(100)
      if (++beat % 5 === 0) {
        for (const { control } of lanes)
          control.send([FRAME.PING, 0, { state: 'alive', running: 0, storage: 2, watch: true, ...pulse }] as never)
      }
    }
  }
  const to = (victim: SimNode) => (lanes.find((lane) => lane.victim === victim) as (typeof lanes)[number]).control
  return { id: id as NodeId, advance, to, lanes, calls }
}
