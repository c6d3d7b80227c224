import { describe, expect, it } from 'vitest'
import { concat, fromUtf8, utf8 } from '../base/bytes.ts'
import { Cluster, type SimNode } from './cluster.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const load = (source: string) => import(`data:text/javascript,${encodeURIComponent(source)}`)

async function boot(cluster: Cluster, count: number): Promise<SimNode[]> {
  const nodes = Array.from({ length: count }, () => cluster.addNode())
  for (const node of nodes) await cluster.run(node.boot())
  await cluster.until(() => meshed(nodes), 'full mesh')
  return nodes
}

async function meshed(nodes: SimNode[]): Promise<boolean> {
  const counts = await Promise.all(nodes.map(async (node) => (await node.os.info('peers')).length))
  return counts.every((count) => count === nodes.length - 1)
}

describe('a cluster of kernels', () => {
  it('meshes, shares one tree and reads files of other nodes', async () => {
    const cluster = new Cluster({ seed: 1, settle, split: true })
    const [a, b, c] = (await boot(cluster, 3)) as [SimNode, SimNode, SimNode]
    await cluster.run(a.fs.writeFile('/hello.txt', 'hello from a'))
    expect(await cluster.run(b.fs.readFile('/hello.txt', 'utf8'))).toBe('hello from a')
    await cluster.run(b.fs.mkdir('/tmp/x/y', { recursive: true }))
    await cluster.run(c.fs.writeFile('/tmp/x/y/z', concat([utf8('1'), new Uint8Array(3 * 1024 * 1024)])))
    expect((await cluster.run(a.fs.stat('/tmp/x/y/z'))).size).toBe(3 * 1024 * 1024 + 1)
    expect((await cluster.run(a.fs.readFile('/tmp/x/y/z'))).byteLength).toBe(3 * 1024 * 1024 + 1)
    expect(await cluster.run(b.fs.readdir('/'))).toEqual([
      'bin',
      'car',
      'dev',
      'hello.txt',
      'home',
      'keg',
      'net',
      'proc',
      'tmp',
    ])
  })

  it('notices a closed tab at once and a killed one within 5 s', async () => {
    const cluster = new Cluster({ seed: 2, settle })
    const [a, b, c] = (await boot(cluster, 3)) as [SimNode, SimNode, SimNode]
    await cluster.run(b.close())
    const closedMs = await cluster.until(async () => (await a.os.info('peers')).length === 1, 'b gone')
    expect(closedMs).toBeLessThan(1_000)
    c.crash()
    const killedMs = await cluster.until(async () => (await a.os.info('peers')).length === 0, 'c gone')
    expect(killedMs).toBeLessThan(5_000)
  })

  it('runs a program on all nodes and gathers its results in order', async () => {
    const source = `
      export async function start(event, os) {
        const ids = []
        for (let i = 0; i < 40; i++) ids.push(await os.emit('square', i))
        await os.gather(ids, 'sum', 'total')
      }
      export async function square(event) { await new Promise((resolve) => setTimeout(resolve, 1)); return event.data * event.data }
      export async function sum(event, os) {
        await os.print(event.data.data + ' ' + event.data.results.reduce((a, b) => a + b, 0))
        await os.fs.writeFile('/tmp/out/result.txt', String(event.data.results[39]))
      }`
    const cluster = new Cluster({ seed: 3, settle: () => new Promise((resolve) => setTimeout(resolve, 0)), load })
    const [a, b] = (await boot(cluster, 3)) as [SimNode, SimNode, SimNode]
    await cluster.run(a.fs.writeFile('/p.js', source))
    const { kid } = await cluster.run(b.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
    const { exits } = await cluster.run(a.os.call('wait', { for: 'exit', kids: [kid] }))
    expect(exits).toMatchObject([{ kid, state: 'exited', code: 0, error: null }])
    const out = await cluster.run(a.fs.readFile(`/proc/${kid}/stdout`))
    expect(fromUtf8(out)).toBe(`total ${20540}\n`)
    expect(await cluster.run(a.fs.readFile('/tmp/out/result.txt', 'utf8'))).toBe('1521')
    const [row] = await cluster.run(a.os.info('processes'))
    expect(row).toMatchObject({ state: 'exited', done: 42, total: 42, nodes: 3, home: b.id })
  })

  it('answers a page that asks for more at once than the kernel takes', async () => {
    const cluster = new Cluster({ seed: 4, settle: () => new Promise((resolve) => setImmediate(resolve)) })
    const [a] = (await boot(cluster, 1)) as [SimNode]
    const names = Array.from({ length: 400 }, (_, i) => `/many-${i}`)
    await cluster.run(Promise.all(names.map((name) => a.fs.mkdir(name))))
    expect(await cluster.run(a.fs.readdir('/'))).toEqual(expect.arrayContaining(names.map((name) => name.slice(1))))
  })
})
