// What people meet when storage runs out, and what files of many sizes must survive.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, Tab, test } from './fixtures.ts'

test('a full disk gives a clear error and loses nothing that was there', async ({ tab }) => {
  const a = await tab()
  await a.out('echo precious > /precious.txt')
  // What the browser does when the quota is used up, without filling a real disk; the adapter's own tests use a real
  // quota (a small storage bucket).
  await a.kernelWorker().evaluate(() => {
    const { put } = IDBObjectStore.prototype
    Object.assign(globalThis, { put })
    IDBObjectStore.prototype.put = () => {
      throw new DOMException('The quota has been exceeded.', 'QuotaExceededError')
    }
  })
  const error = await a.page.evaluate(async () => {
    function* noise(): Generator<Uint8Array> {
      for (let i = 0; i < 32; i++) {
        const piece = new Uint8Array(1024 * 1024)
        for (let at = 0; at < piece.byteLength; at += 65_536) crypto.getRandomValues(piece.subarray(at, at + 65_536))
        yield piece
      }
    }
    try {
      await globalThis.os.fs.writeFile('/big.bin', noise())
      return 'no error'
    } catch (thrown) {
      return `${(thrown as { code: string }).code}: ${(thrown as Error).message}`
    }
  })
  expect(error).toContain('ENOSPC')
  expect((await a.sh('ls /big.bin')).code).not.toBe(0)
  expect(await a.out('cat /precious.txt')).toBe('precious\n')
  await a.kernelWorker().evaluate(() => {
    IDBObjectStore.prototype.put = (globalThis as unknown as { put: IDBObjectStore['put'] }).put
  })
  await a.out('echo there is room again > /again.txt')
})

test('on a disk that is full to the last byte files can be removed and forgotten, and the user is told', async ({
  chrome,
  relay,
}) => {
  const MIB = 2 ** 20
  const context = await chrome.newContext()
  const page = await context.newPage()
  // Before the first visit: the browser reckons for half a minute with the quota that it knew when the storage was used first.
  const session = await context.newCDPSession(page)
  await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(relay.url).origin, quotaSize: 24 * MIB })
  const a = await new Tab(page).open(relay.url)
  const write = (path: string, bytes: number) =>
    page.evaluate(
      async ([at, size]) => {
        const noise = new Uint8Array(size)
        for (let i = 0; i < size; i += 65_536) crypto.getRandomValues(noise.subarray(i, Math.min(size, i + 65_536)))
        try {
          await globalThis.os.fs.writeFile(at, noise)
          return 'written'
        } catch (error) {
          return (error as { code: string }).code
        }
      },
      [path, bytes] as const,
    )
  await a.out('mkdir /d')
  for (let i = 0; i < 17; i++) expect(await write(`/d/${i}`, MIB)).toBe('written')
  // What is laid aside for removing comes on top of that.
  const usage = () => page.evaluate(async () => (await navigator.storage.estimate()).usage ?? 0)
  await expect.poll(usage).toBeGreaterThan(20 * MIB)
  let files = 0
  for (let size = MIB / 2; size >= 32; size /= 4) {
    let said = 'written'
    while (said === 'written') said = await write(`/d/small${files++}`, size)
    expect(said).toBe('ENOSPC')
  }
  for (let i = 0; i < 12; i++) await a.out(`rm /d/${i}`)
  expect(await a.out('ls /d')).not.toMatch(/^11$/m)
  expect(await a.out('keg gc --keep 1 --for 0s')).toContain('forgotten')
  await expect(page.locator('.xterm-rows')).toContainText('this device has no room left')
  expect(await a.out('df')).toContain('full')
  expect(await a.out('cat /d/16 | wc -c')).toBe(`${MIB}\n`)
  expect(a.errors).toEqual([])
  await context.close()
})

test('a full disk in one of two tabs stops nobody’s writes in the other', async ({ cluster }) => {
  const [a, b] = (await cluster(2)) as [Tab, Tab]
  await a.out('mkdir /d')
  const fewer = async () => JSON.parse((await a.sh('fsck --json')).stdout).under as number
  await expect.poll(fewer, { timeout: 60_000 }).toBe(0) // both keep the tree
  await b.kernelWorker().evaluate(() => {
    const put = IDBObjectStore.prototype.put
    IDBObjectStore.prototype.put = function (value: unknown, ...rest: [IDBValidKey?]) {
      if (value instanceof Uint8Array) throw new DOMException('no room', 'QuotaExceededError')
      return put.call(this, value, ...rest)
    }
  })
  const text = 'x'.repeat(100_000)
  for (let i = 0; i < 5; i++)
    await a.page.evaluate(([n, t]) => globalThis.os.fs.writeFile(`/d/${n}`, t), [i, text] as const)
  expect(await a.out('ls /d')).toBe('0\n1\n2\n3\n4\n')
  expect(await b.out('cat /d/4 | wc -c')).toBe('100000\n') // it reads what it cannot keep
  await expect.poll(fewer).toBeGreaterThan(0) // nobody is told that it is safer than it is
})

test('a device whose storage the browser deletes says so, and the others go on without it', async ({
  tab,
  cluster,
}) => {
  const [a, b, c] = await cluster(3)
  if (!a || !b || !c) throw new Error('three tabs')
  const beside = await tab({ beside: a })
  for (const each of [a, b, c, beside]) await each.untilPeers(3)
  await b.out('echo precious > /precious.txt')
  const session = await a.context.newCDPSession(a.page)
  const origin = new URL(a.page.url()).origin
  await session.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' })
  for (const each of [a, beside]) {
    await expect(each.page.locator('.xterm-rows')).toContainText('deleted this tab’s storage; reload')
    await expect(each.page.locator('header')).toContainText('no relay')
  }
  await b.untilPeers(1)
  await b.out('echo more >> /precious.txt')
  expect(await c.out('cat /precious.txt')).toBe('precious\nmore\n')
  await a.page.reload()
  await a.page.waitForFunction(() => 'os' in globalThis)
  await a.page.evaluate(() => globalThis.os.ready)
  await a.untilPeers(2)
  expect(await a.out('cat /precious.txt')).toBe('precious\nmore\n')
})

test('files of awkward sizes read back on another tab as they were written', async ({ cluster }) => {
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  for (const size of [0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5 * 1024 * 1024 + 7]) {
    const path = `/size-${size}`
    await a.page.evaluate(
      ([to, length]) => {
        const bytes = new Uint8Array(length)
        for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8)) & 0xff
        return globalThis.os.fs.writeFile(to, bytes)
      },
      [path, size] as const,
    )
    const digest = await b.page.evaluate(async (from) => {
      const bytes = await globalThis.os.fs.readFile(from)
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes)))
      return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    }, path)
    const expected = Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
    expect(digest, path).toBe(createHash('sha256').update(expected).digest('hex'))
  }
})

test('get downloads what put stored', async ({ tab }) => {
  const a = await tab()
  const chooser = a.page.waitForEvent('filechooser')
  const put = a.sh('put /stored.txt')
  await (await chooser).setFiles({ name: 'local.txt', mimeType: 'text/plain', buffer: Buffer.from('from my disk') })
  expect(await put).toMatchObject({ code: 0 })
  expect(await a.out('cat /stored.txt')).toBe('from my disk')
  const download = a.page.waitForEvent('download')
  expect(await a.sh('get /stored.txt')).toMatchObject({ code: 0 })
  const stream = await (await download).createReadStream()
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  expect(Buffer.concat(chunks).toString()).toBe('from my disk')
})

test('a folder goes in and comes out as an archive', async ({ tab }) => {
  const folder = mkdtempSync(join(tmpdir(), 'brittlestar-folder-'))
  try {
    mkdirSync(join(folder, 'in/deep'), { recursive: true })
    writeFileSync(join(folder, 'in/a.txt'), 'A')
    writeFileSync(join(folder, 'in/deep/b.txt'), 'B')
    const a = await tab()
    const chooser = a.page.waitForEvent('filechooser')
    const put = a.sh('put -r /up')
    await (await chooser).setFiles(join(folder, 'in'))
    expect(await put).toMatchObject({ code: 0 })
    expect(await a.out('cat /up/in/a.txt /up/in/deep/b.txt')).toBe('AB')
    const download = a.page.waitForEvent('download')
    expect(await a.sh('get /up')).toMatchObject({ code: 0 })
    await (await download).saveAs(join(folder, 'up.tar'))
    execFileSync('tar', ['-xf', 'up.tar'], { cwd: folder })
    expect(readFileSync(join(folder, 'up/in/deep/b.txt'), 'utf8')).toBe('B')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('what is dropped onto the page is stored: files, an empty one, a folder', async ({ tab }) => {
  const a = await tab()
  const folder = mkdtempSync(join(tmpdir(), 'brittlestar-drop-'))
  try {
    const nested = join(folder, 'holiday', 'day one')
    mkdirSync(nested, { recursive: true })
    writeFileSync(join(nested, 'ünï.txt'), 'sun')
    writeFileSync(join(folder, 'empty'), '')
    writeFileSync(join(folder, 'plain.txt'), 'plain')
    await a.drop([join(folder, 'plain.txt'), join(folder, 'empty')])
    await expect.poll(async () => (await a.sh('ls /empty')).code).toBe(0)
    expect(await a.out('cat /plain.txt /empty')).toBe('plain')
    await a.drop([join(folder, 'holiday')])
    await expect.poll(async () => (await a.sh('cat "/holiday/day one/ünï.txt"')).stdout).toBe('sun')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('what rm -rf took comes back, on another tab and when the one that did it is gone', async ({ cluster }) => {
  const [a, b, c] = await cluster(3)
  if (!a || !b || !c) throw new Error('three tabs')
  await a.out('mkdir -p /docs/deep && echo one > /docs/a && echo two > /docs/deep/b && keg snapshot kept')
  expect(await b.out('rm -rf /docs && ls /')).not.toContain('docs')
  await b.crash()
  await expect.poll(async () => (await c.sh('keg undo /docs')).code, { timeout: 30_000 }).toBe(0)
  expect(await c.out('cat /docs/a /docs/deep/b /keg/kept/docs/a')).toBe('one\ntwo\none\n')
  const [last] = JSON.parse(await a.out('keg log --json')) as { what: string }[]
  expect(last?.what).toBe('restore /docs')
  const cid = (await c.out('kid --cid /docs')).trim()
  expect(await a.out('cd /tmp && keg export /docs && keg import docs.car /again')).toContain(cid)
  expect(await c.out('cat /again/deep/b')).toBe('two\n')
  const health = async () => JSON.parse((await c.sh('fsck --json')).stdout)
  await expect.poll(health, { timeout: 30_000 }).toMatchObject({ under: 0, lost: 0, devices: 2 })
})

test('a keg that one tab made is there for all when that one is killed, and so are its versions', async ({
  tab,
  cluster,
}) => {
  const [a, b, c] = await cluster(3)
  if (!a || !b || !c) throw new Error('three tabs')
  const kid = /K-[0-9a-f]{64}/.exec(await a.out('keg create /data'))?.[0] as string
  await b.out('mkdir /data/d && echo one > /data/d/f && cp /data/d/f /outside')
  await a.out('echo two > /data/d/f && ln -s /outside /data/link')
  await a.crash()
  for (const each of [b, c]) expect(await each.out('cat /data/d/f /data/link')).toBe('two\none\n')
  expect(await c.out('keg undo /data/d/f && cat /data/d/f')).toContain('\none\n')
  const rows = JSON.parse(await c.out('keg log --json /data/d/f')) as { proof: string; what: string }[]
  expect(rows.map(({ what }) => what)).toEqual(['restore /d/f', 'write /d/f', 'write /d/f'])
  expect(rows.every(({ proof }) => proof === 'signed')).toBe(true)
  expect((await b.sh('rm -r /data')).stderr).toContain("cannot remove '/data': Device or resource busy")
  await b.out('umount /data && mount | grep -c data || true')
  expect(await c.out('ls /data')).toBe('')
  const late = await tab()
  await late.out(`mount ${kid} /home/kept`)
  expect(await late.out('cat /home/kept/d/f')).toBe('one\n')
  expect(JSON.parse(await b.out('mount --json'))).toMatchObject([{ kid, paths: ['/home/kept'] }])
})

test('a large file is spread over five devices, and what a killed one kept is kept by another', async ({ cluster }) => {
  test.setTimeout(180_000)
  const tabs = await cluster(5)
  const [writer, ...others] = tabs
  const [reader, killed, last] = others
  if (!writer || !reader || !killed || !last) throw new Error('five tabs')
  await writer.out('echo first > /first') // the journal has its members
  const BLOCKS = 16
  const written = await writer.page.evaluate(async (count) => {
    const bytes = new Uint8Array(count * 1024 * 1024)
    for (let at = 0; at < bytes.byteLength; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
    const { ack } = await globalThis.os.fs.writeFile('/large.bin', bytes)
    const digest = [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]
    return { ack, sum: digest.map((byte) => byte.toString(16).padStart(2, '0')).join('') }
  }, BLOCKS)
  expect(written.ack?.devices).toBeGreaterThanOrEqual(2)
  type Row = { node: string; blocks: number }
  const own = async (tab: typeof writer) => {
    const [id, rows] = [await tab.id(), await tab.json<Row[]>('df --json')]
    return rows.find(({ node }) => node === id)?.blocks ?? 0
  }
  const before = await Promise.all(others.map(own))
  // Everybody has some of it, and only its writer has all.
  for (const blocks of before) expect(blocks).toBeGreaterThan(2)
  const sum = before.reduce((all, blocks) => all + blocks, 0)
  expect(sum).toBeGreaterThanOrEqual(2 * BLOCKS)
  expect(sum).toBeLessThan(others.length * BLOCKS)
  const health = async () => JSON.parse((await reader.sh('fsck --json')).stdout)
  await expect.poll(health, { timeout: 30_000 }).toMatchObject({ devices: 5, target: 2, under: 0, lost: 0 })
  await writer.crash()
  await expect.poll(health, { timeout: 60_000 }).toMatchObject({ devices: 4, under: 0, lost: 0 })
  await killed.crash()
  await expect.poll(health, { timeout: 60_000 }).toMatchObject({ devices: 3, under: 0, lost: 0 })
  const sumThen = await last.page.evaluate(async () => {
    const bytes = new Uint8Array(await globalThis.os.fs.readFile('/large.bin'))
    const digest = [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]
    return digest.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  })
  expect(sumThen).toBe(written.sum)
})

test('a tab reads what another tab of its browser has from their disk', async ({ tab }) => {
  const first = await tab()
  // Whoever comes fourth keeps nothing of what the first three do.
  const others = [await tab({ beside: first }), await tab({ beside: first })]
  for (const each of [first, ...others]) await each.untilPeers(2)
  const mebibytes = 24
  await first.page.evaluate(async (count) => {
    function* noise(): Generator<Uint8Array> {
      for (let i = 0; i < count; i++) {
        const piece = new Uint8Array(1024 * 1024)
        for (let at = 0; at < piece.byteLength; at += 65_536) crypto.getRandomValues(piece.subarray(at, at + 65_536))
        yield piece
      }
    }
    await globalThis.os.fs.writeFile('/noise.bin', noise())
  }, mebibytes)
  await first.context.addInitScript(() => {
    const all: RTCPeerConnection[] = []
    Object.assign(globalThis, { all })
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args: ConstructorParameters<typeof RTCPeerConnection>) {
        super(...args)
        all.push(this)
      }
    }
  })
  const fourth = await tab({ beside: first })
  await fourth.untilPeers(3)
  const received = () =>
    fourth.page.evaluate(async () => {
      let bytes = 0
      for (const connection of (globalThis as unknown as { all: RTCPeerConnection[] }).all) {
        for (const row of (await connection.getStats()).values())
          if (row.type === 'transport') bytes += row.bytesReceived
      }
      return bytes
    })
  const digestOf = (from: Tab) =>
    from.page.evaluate(async () => {
      const bytes = await globalThis.os.fs.readFile('/noise.bin')
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes)))
      return [...hash].join(' ')
    })
  const before = await received()
  expect(before).toBeGreaterThan(0)
  const digest = await digestOf(fourth)
  expect((await received()) - before).toBeLessThan(1024 * 1024)
  expect(digest).toBe(await digestOf(first))
})
