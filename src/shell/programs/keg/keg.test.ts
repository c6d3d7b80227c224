import { encode } from '@ipld/dag-pb'
import { sha256 } from '@noble/hashes/sha2.js'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { utf8 } from '../../../base/bytes.ts'
import { boot, newCluster, type TestCluster } from '../../../kernel/cluster.contract.ts'
import { carOf } from '../../../kernel/fs/importer.contract.ts'
import type { SimNode } from '../../../sim/cluster.ts'
import { createShell, type Shell } from '../../shell.ts'
import { FakeHost } from '../../test-shell.ts'

let cluster: TestCluster
let node: SimNode
let shell: Shell

beforeEach(async () => {
  cluster = newCluster({ seed: 3 })
  ;[node] = await boot<[SimNode]>(cluster, 1)
  shell = createShell({ client: node.os, host: new FakeHost() })
  await shell.load() // virtual time does not wait for it
})

const sh = (line: string) => cluster.run(shell.execute(line))

async function out(line: string): Promise<string> {
  const { stdout, stderr, code } = await sh(line)
  if (code !== 0 || stderr !== '') throw new Error(`${line} ended with ${code}: ${stderr}`)
  return stdout
}

describe('keg', () => {
  it('undoes rm -rf with one command, and undo with another', async () => {
    await out('mkdir -p /docs/deep && echo one > /docs/deep/a && echo two > /docs/b')
    await out('rm -rf /docs && echo more > /x')
    expect(await out('keg undo /docs')).toBe('/docs is as it was in 4, before: remove /docs\n')
    expect(await out('cat /docs/deep/a /docs/b /x')).toBe('one\ntwo\nmore\n')
    await out('keg undo /docs')
    expect(await out('ls /')).not.toContain('docs')
    expect(await sh('keg undo /nobody')).toMatchObject({
      code: 1,
      stderr: "keg undo: cannot undo '/nobody': no version that is remembered has it\n",
    })
  })

  it('undoes what was removed together with one command', async () => {
    await out('mkdir -p /docs/deep && echo a > /docs/a && echo b > /docs/b && echo c > /docs/deep/c')
    await out('rm -rf /docs/*')
    expect(await out('keg log -n 1')).toContain('remove /docs/a and 2 more')
    await out('keg undo /docs')
    expect(await out('cat /docs/a /docs/b /docs/deep/c')).toBe('a\nb\nc\n')
    await out('rm /docs/a /docs/b')
    await out('keg undo /docs/b')
    expect(await out('ls /docs')).toBe('b\ndeep\n')
    await out('keg create /data && echo x > /data/x && echo y > /data/y && rm /data/x /data/y && keg undo /data/')
    expect(await out('cat /data/x /data/y; rm -v /data/x /docs/b')).toBe("x\ny\nremoved '/data/x'\nremoved '/docs/b'\n")
  })

  it('lists versions, all or those of a path, as a table and as JSON', async () => {
    await out('echo 1 > /a && echo 2 > /b && echo 3 > /a')
    expect((await out('keg log')).split('\n').map((line) => line.split(/ {2,}/).at(-1))).toEqual([
      'WHAT',
      'write /a',
      'write /b',
      'write /a',
      '-',
      '',
    ])
    const rows = JSON.parse(await out('keg log --json /a'))
    expect(rows.map(({ version }: { version: number }) => version)).toEqual([4, 2])
    expect(JSON.parse(await out('keg log -n 1 --json'))).toHaveLength(1)
  })

  it('shows one version, and the difference of two', async () => {
    await out('mkdir /d && echo 1 > /d/a && echo 2 > /d/b && rm /d/a')
    expect(await out('keg show')).toMatch(/^Version: +5\nWhen: .*\nBy: .*\nKID: +K-[0-9a-f]{64}\n\nD {2}\/d\/a\n$/s)
    expect(await out('keg show HEAD~1')).toContain('A  /d/b')
    expect(await out('keg diff 2')).toBe('A  /d/b\n')
    expect(await out('keg diff 3 4 /d')).toBe('A  /d/b\n')
    expect(JSON.parse(await out('keg diff 3 --json')).changes).toEqual([
      { what: 'removed', path: 'd/a' },
      { what: 'added', path: 'd/b' },
    ])
    expect(await out('cat /keg/3/d/a')).toBe('1\n')
  })

  it('says of which version a version shows the changes when those between are forgotten', async () => {
    await out('echo 1 > /a && keg snapshot old && echo 2 > /b && echo 3 > /c')
    await cluster.advance(1_000)
    await out('keg gc --keep 1 --for 0s')
    expect(await out('keg show')).toMatch(/\n\nSince version 2: those between are forgotten.\nA {2}\/b\nA {2}\/c\n$/)
    expect(JSON.parse(await out('keg show --json'))).toMatchObject({ version: 4, since: 2 })
    expect(await out('keg show old')).toMatch(
      /\n\nWhat it changed is not known: the versions before it are forgotten.\n$/,
    )
    expect(JSON.parse(await out('keg show --json old'))).toMatchObject({ since: null, changes: [] })
    expect(await out('echo 4 > /d && keg show')).toMatch(/\n\nA {2}\/d\n$/)
  })

  it('brings back all of / by name, and says how to take that back', async () => {
    await out('echo 1 > /a')
    expect(await out('keg snapshot before')).toBe('version 2 is before: ls /keg/before\n')
    expect(await out('keg snapshot')).toContain('before')
    await out('rm /a && echo 2 > /b')
    expect(await out('keg checkout before')).toBe(
      '/ is as it was in before\n(keg checkout 4 brings back what was there)\n',
    )
    expect(await out('cat /a')).toBe('1\n')
    await out('keg checkout 4')
    expect(await out('ls /')).toBe('b  bin  car  dev  home  keg  net  proc  tmp\n'.replaceAll('  ', '\n'))
    await out('keg snapshot before 2')
    expect(await sh('keg snapshot before')).toMatchObject({
      code: 1,
      stderr: "keg snapshot: 'before' names version 2 already; remove it first: keg snapshot --delete before\n",
    })
    expect(await sh('keg snapshot before 99')).toMatchObject({ code: 1 })
    expect(await out('cat /keg/before/a')).toBe('1\n')
    await out('keg snapshot --delete before && keg snapshot before && keg snapshot before HEAD')
    await out('keg snapshot --delete before')
    expect(JSON.parse(await out('keg snapshot --json'))).toEqual([])
  })

  it('forgets versions', async () => {
    await out('echo 1 > /a && echo 2 > /a && echo 3 > /a')
    expect(await out('keg gc')).toBe('0 versions forgotten, 4 kept\n')
    await cluster.advance(1_000)
    expect(JSON.parse(await out('keg gc --keep 2 --for 0s --json'))).toEqual({ forgotten: 2, kept: 2 })
  })

  it('exports and imports CARs', async () => {
    await out('mkdir -p /docs/deep && echo one > /docs/deep/a && ln -s deep/a /docs/l')
    const cid = (await out('kid --cid /docs')).trim()
    expect(await out('cd /tmp && keg export /docs')).toBe(`/tmp/docs.car: ${cid}\n`)
    expect(await out('cd /tmp && keg import docs.car && cat docs/deep/a docs/l')).toBe(`/tmp/docs: ${cid}\none\none\n`)
    expect(await sh('keg import /tmp/docs.car /docs')).toMatchObject({
      code: 1,
      stderr: "keg import: cannot import '/tmp/docs.car' as '/docs': File exists\n",
    })
    expect(await sh('keg import /docs/l')).toMatchObject({
      code: 1,
      stderr: "keg import: cannot import '/docs/l' as 'l': it ends in the middle of a block (EINVAL)\n",
    })
    expect((await sh('keg export /nothing')).stderr).toContain('keg export: /nothing: no such file')
    await out('keg export / /all.car && keg import /all.car /again')
    expect(await out('cat /again/docs/deep/a')).toBe('one\n')
    const root = (await out('kid --cid /docs')).trim()
    expect(await out('cd /docs && keg export .')).toBe(`/docs/docs.car: ${root}\n`) // it is in /docs itself by now
    expect(await out('keg import /docs/docs.car /docs/again')).toBe(`/docs/again: ${root}\n`)
    expect(await out('keg export /docs/deep/a - | cat > /b.car && keg import /b.car && cat b')).toContain('one')
  })

  it('imports a link that leads to nothing, and says of it what it is', async () => {
    const link = encode({ Data: new UnixFS({ type: 'symlink', data: utf8('/nowhere') }).marshal(), Links: [] })
    const root = CID.createV1(0x70, createDigest(0x12, sha256(link)))
    const car = await carOf({ root, blocks: new Map([[String(root), link]]) })
    await cluster.run(node.fs.writeFile('/l.car', car))
    expect(await out('keg import /l.car')).toBe(`/l: ${root}\n`)
    expect(await out('ls -l /l')).toMatch(/ \/?l -> \/nowhere\n$/)
  })

  it('makes kegs, mounts and unmounts them, and has versions of each', async () => {
    const made = await out('keg create /data')
    const kid = /^\/data: (K-[0-9a-f]{64})\n$/.exec(made)?.[1] as string
    await out('echo one > /data/f && echo two > /data/f && mkdir /data/d')
    expect(await out('mount')).toMatch(
      new RegExp(`^KEG +PATH +VERSION +LED BY\\n${kid.slice(0, 14)}  /data +4  \\S+\\n$`),
    )
    expect(JSON.parse(await out('mount --json'))).toMatchObject([{ kid, paths: ['/data'], version: 4, here: true }])
    expect(await out('stat /data')).toContain(`Keg:      ${kid}\n`)
    expect((await out('keg log /data')).match(/(write|make) \/\w/g)).toEqual(['make /d', 'write /f', 'write /f'])
    expect(await out('keg show 3 /data')).toContain('M  /data/f\n')
    expect(await out('keg diff 1 /data')).toBe('A  /data/d\nA  /data/f\n')
    expect(await out('rm /data/f && keg undo /data/f')).toBe('/data/f is as it was in 4, before: remove /f\n')
    expect(await out('keg snapshot good /data/')).toBe(`version 6 is good: ls /keg/${kid}@good\n`)
    expect(await out(`ls /keg/${kid}@good`)).toBe('d\nf\n')
    expect(await out('keg snapshot older HEAD~1 /data/d')).toBe(`version 5 is older: ls /keg/${kid}@older\n`)
    expect(await out(`ls /keg/${kid}@older && keg snapshot -d older /data`)).toBe('d\n')
    expect(JSON.parse(await out('keg snapshot --json'))).toEqual([])
    expect(JSON.parse(await out('keg snapshot --json /data'))).toHaveLength(1)
    expect((await sh('keg snapshot good 2 /data')).stderr).toContain('first: keg snapshot --delete good /data\n')
    expect(await out('keg checkout 2 /data')).toContain('(keg checkout 6 /data brings back what was there)')
    expect(await out('cat /data/f')).toBe('one\n')
    await cluster.advance(1_000)
    expect(await sh('keg gc --keep 1 --for 0s /dta')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('/dta'),
    })
    expect(await out('keg gc --keep 1 --for 0s /data')).toBe(
      '5 versions forgotten, 2 kept: what only they held is freed within some minutes\n',
    )
    await out('umount /data && rmdir /data 2>/dev/null || rm -r /data')
    expect(await out('mount')).toBe('KEG  PATH  VERSION  LED BY\n')
    expect(await out('keg list')).toContain(`${kid.slice(0, 14)}  -  `)
    await out(`mount ${kid.slice(0, 9)} /home/data`)
    expect(await out('cat /home/data/f')).toBe('one\n')
    expect(await sh('mount K-0000 /x')).toMatchObject({
      code: 1,
      stderr: 'mount: no keg K-0000 is known here: see keg list, or give all of its KID (EINVAL)\n',
    })
    expect((await sh('rm -r /home/data')).stderr).toContain("cannot remove '/home/data'")
    expect((await sh(`keg export /home/data /x/y; mount ${kid} /home/data/f`)).stderr).toMatch(
      /^keg export: cannot write '\/x\/y': No such file or directory\nmount: cannot mount at '\/home\/data\/f': /,
    )
    expect((await sh('umount /home')).stderr).toContain('nothing is mounted at /home')
  })

  it('moves and copies between kegs as between directories', async () => {
    await out('keg create /data && mkdir -p /docs/deep && echo one > /docs/deep/a && ln -s deep/a /docs/l')
    expect(await out('cp -r /docs /data && cat /data/docs/l')).toBe('one\n')
    await out('mv /docs /data/moved && mv /data/moved/deep/a /back')
    expect(await out('cat /back')).toBe('one\n')
    expect(await out('ls /data /data/moved/deep')).toBe('/data:\ndocs\nmoved\n\n/data/moved/deep:\n')
    expect((await sh('ls /docs')).code).not.toBe(0)
    expect(await out('find /data -name a && du -s /data')).toContain('/data/docs/deep/a\n')
  })

  it('moves nothing out of a keg that others have changed since it was copied: what they wrote would be gone', async () => {
    await out('keg create /data && mkdir /docs && echo one > /docs/a && echo two > /b')
    const { call } = node.os
    const late = vi.spyOn(node.os, 'call').mockImplementation(async (name, args, options) => {
      const answer = await call.bind(node.os)(name, args, options)
      if ('op' in args && args.op === 'copy') {
        late.mockRestore()
        await node.fs.writeFile('/docs/late', 'late\n')
      }
      return answer
    })
    expect(await sh('mv /docs /b /data')).toMatchObject({
      code: 1,
      stderr: "mv: cannot move '/docs': it was changed while it was copied to '/data/docs': both are there\n",
    })
    expect(await out('cat /docs/a /docs/late /data/docs/a /data/b')).toBe('one\nlate\none\ntwo\n')
    await out('rm -r /data/docs && mv /docs /data')
    expect(await out('ls /data/docs')).toBe('a\nlate\n')
    expect((await sh('ls /docs /b')).stdout).toBe('')
  })

  it('says and chooses how many devices keep each block', async () => {
    await out('keg create /data')
    expect(await out('keg copies')).toBe('3\n')
    expect(await out('keg copies 5 /data')).toBe('')
    expect(JSON.parse(await out('keg copies --json /data/'))).toEqual({ path: '/data', copies: 5 })
    expect(await out('echo 1 > /data/f && fsck /data')).toBe(
      '/data: 1 file in 1 directory holds 2 B: 2 B stored once, 2 B on 1 device\nno block is lost\n',
    )
    expect(await out('keg copies && keg copies 1 && keg copies && keg copies /data')).toBe('3\n1\n5\n')
    for (const wrong of ['0', '9', 'many', '1.5', '-2']) expect((await sh(`keg copies ${wrong}`)).code).toBe(2)
    expect(await sh('keg copies /nowhere/x')).toMatchObject({ code: 1, stderr: expect.stringContaining('/nowhere') })
    expect(await out('keg copies')).toBe('1\n')
  })

  it('says and chooses where files are cut', async () => {
    await out('mkdir /images && echo a > /images/a')
    expect(await out('keg chunks content /images')).toBe('')
    await out('echo b > /images/b')
    expect(await out('keg chunks -R /images')).toBe('content  /images\nfixed    /images/a\ncontent  /images/b\n')
    expect(await out('stat /images/b')).toContain('Chunks:   content\n')
    await out('keg chunks -R fixed /images')
    expect(JSON.parse(await out('keg chunks --json /images /images/b'))).toEqual([
      { path: '/images', kind: 'directory', chunks: 'fixed' },
      { path: '/images/b', kind: 'file', chunks: 'fixed' },
    ])
    expect(await out('keg chunks -R /')).toContain('/images/b\n')
    expect(await out('keg chunks -R /')).not.toMatch(/keg|proc/)
    expect(await sh('keg chunks content /')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Operation not permitted'),
    })
    expect(await sh('keg chunks content /nothing')).toMatchObject({
      code: 1,
      stderr: "keg chunks: cannot change how '/nothing' is cut: No such file or directory\n",
    })
  })

  it('shows versions to every program, links as well', async () => {
    await out('mkdir /docs && echo one > /docs/a && ln -s a /docs/l && ln -s /nowhere /docs/dead && rm -r /docs')
    const [, { version }] = JSON.parse(await out('keg log --json'))
    expect(await out(`ls -l /keg/${version}/docs`)).toContain('l -> a')
    expect(await out(`cp -r /keg/${version}/docs /back && cat /back/l && ls -l /back`)).toMatch(
      /^one\n.*dead -> \/nowhere/s,
    )
    const cid = await out('kid --cid /back')
    expect(await out(`kid --cid /keg/${version}/docs`)).toBe(cid)
    expect(await out('keg export /back /b.car')).toBe(`/b.car: ${cid}`)
    expect(await out(`keg export /keg/${version}/docs /k.car`)).toBe(`/k.car: ${cid}`)
    expect(await out('keg checkout HEAD~1 /back')).toMatch(/\(keg checkout \d+ \/back brings back what was there\)/)
  })

  it.each([
    ['keg', 2, ''],
    [
      'keg frobnicate',
      2,
      "keg: there is no command 'frobnicate': log, show, diff, undo, checkout, snapshot, gc, export, import, chunks, create, list, copies\n",
    ],
    ['keg diff', 2, "keg diff: missing operand\nTry 'keg diff --help' for more information.\n"],
    ['keg diff 1 2 3', 2, "keg diff: two versions and one path at most\nTry 'keg diff --help' for more information.\n"],
    [
      'keg gc --for soon',
      2,
      "keg gc: invalid time 'soon': such as 30m, 12h or 7d\nTry 'keg gc --help' for more information.\n",
    ],
    ['keg checkout 99', 1, "keg checkout: cannot check out '/': no version '99' is remembered: see keg log\n"],
    ['keg show nobody', 1, "keg show: no version 'nobody' is remembered: see keg log\n"],
  ])('%s', async (line, code, stderr) => {
    await out('echo 1 > /a')
    const answer = await sh(line)
    expect(answer.code).toBe(code)
    if (stderr) expect(answer.stderr).toBe(stderr)
    else expect(answer.stderr).toContain('Usage: keg COMMAND')
  })

  it('explains itself', async () => {
    expect(await out('keg --help')).toContain('undo       Take back the last change of files')
    expect(await out('keg undo --help')).toContain('Usage: keg undo PATH...')
    expect(await out('help keg')).toContain('Usage: keg COMMAND')
  })
})
