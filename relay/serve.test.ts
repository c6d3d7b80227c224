import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { Cleanup, get, lanIPv4, metric, startRelay, until } from './testing.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())

// A machine without a network has loopback only: then it stands for the other address.
const lan = lanIPv4() ?? '127.0.0.1'
const origins = (port: number) =>
  ['http', 'https'].flatMap((scheme) => ['127.0.0.1', lan].map((host) => `${scheme}://${host}:${port}`))
const json = (body: Buffer) => JSON.parse(body.toString())

describe('the one port', () => {
  test('answers http and https, on loopback and on the machine’s own address', async () => {
    const { port } = await startRelay(cleanup)
    for (const origin of origins(port)) {
      const page = await get(`${origin}/`)
      expect([origin, page.status, page.body.toString()]).toEqual([
        origin,
        200,
        '<!doctype html><title>Brittlestar</title>',
      ])
      expect((await get(`${origin}/healthz`)).body.toString()).toBe('ok\n')
      const metrics = await get(`${origin}/metrics`)
      expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
      expect(metrics.body.toString()).toMatch(/^# TYPE brittlestar_build_info gauge$/m)
    }
    expect(await metric(port, 'brittlestar_http_requests_total{status="200"}')).toBe(12)
    expect(await metric(port, 'brittlestar_bytes_total{use="http",direction="in"}')).toBeGreaterThan(1_000)
  })

  test('its certificate is good for the addresses it is reached at, once it is trusted', async () => {
    const data = cleanup.folder()
    const { port } = await startRelay(cleanup, { flags: ['--data', data] })
    const ca = readFileSync(`${data}/tls.pem`, 'utf8').replace(/^.*?(?=-----BEGIN CERT)/s, '')
    for (const host of ['127.0.0.1', 'localhost', lan])
      expect((await get(`https://${host}:${port}/healthz`, { ca })).status).toBe(200)
  })

  test('ends connections that bring no whole request in time', async () => {
    const { port } = await startRelay(cleanup, { limits: { requestMs: 100 } })
    for (const sent of ['', 'GET / HTTP/1.1\r\n', '\x16\x03\x01', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n']) {
      const socket = connect(port, '127.0.0.1', () => socket.write(sent, 'latin1'))
      let closed = false
      socket
        .on('error', () => {})
        .on('close', () => {
          closed = true
        })
      socket.resume()
      await until(() => closed, `the connection that sent ${JSON.stringify(sent)} is ended`)
    }
    await until(async () => (await metric(port, 'brittlestar_sockets{use="http"}')) === 1, 'only the scrape is open')
  })

  test('survives garbage', async () => {
    const { port } = await startRelay(cleanup)
    for (const garbage of [
      '\x00\x01\x02',
      '\x16garbage, not TLS',
      'NONSENSE\r\n\r\n',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(99_999)}\r\n\r\n`,
    ]) {
      const socket = connect(port, '127.0.0.1', () => socket.end(garbage, 'latin1'))
      socket.resume()
      await new Promise((resolve) => socket.on('error', () => {}).on('close', resolve))
    }
    expect((await get(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
  })

  test('malformed requests and too large headers are refused for good, and counted', async () => {
    const { port } = await startRelay(cleanup)
    const answerTo = async (sent: string) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(sent))
      let answer = ''
      socket.setEncoding('latin1').on('data', (piece) => {
        answer += piece
      })
      await new Promise((resolve) => socket.on('error', resolve).on('close', resolve))
      return answer
    }
    const close = 'Connection: close\r\nContent-Length: 0\r\n\r\n'
    expect(await answerTo('NONSENSE\r\n\r\n')).toBe(`HTTP/1.1 400 Bad Request\r\n${close}`)
    expect(await answerTo(`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`)).toBe(
      `HTTP/1.1 431 Request Header Fields Too Large\r\n${close}`,
    )
    expect(await metric(port, 'brittlestar_refused_total{reason="malformed"}')).toBe(1)
    expect(await metric(port, 'brittlestar_refused_total{reason="headers"}')).toBe(1)
  })
})

describe('the page', () => {
  const script = '/assets/app-1a2b3c4d.js'

  test('is served with types, caching and safe headers, and without a policy that sandbox frames would inherit', async () => {
    const { port } = await startRelay(cleanup)
    const at = (path: string) => get(`http://127.0.0.1:${port}${path}`)
    const [index, app, wasm] = [await at('/index.html'), await at(script), await at('/task.wasm')]
    expect(index.headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' })
    expect(app.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    })
    expect(wasm.headers['content-type']).toBe('application/wasm')
    for (const name of ['content-security-policy', 'cross-origin-opener-policy', 'cross-origin-embedder-policy']) {
      expect(index.headers[name]).toBeUndefined()
    }
    const { etag = '' } = index.headers
    expect((await get(`http://127.0.0.1:${port}/`, { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect((await get(`http://127.0.0.1:${port}/`, { headers: { 'if-none-match': '"old"' } })).status).toBe(200)
  })

  test('is compressed for those who ask', async () => {
    const { port } = await startRelay(cleanup)
    const as = (encoding: string) =>
      get(`http://127.0.0.1:${port}${script}`, { headers: { 'accept-encoding': encoding } })
    const plain = (await as('')).body
    const [br, gzip, none] = [await as('gzip, deflate, br'), await as('br;q=0, gzip'), await as('deflate')]
    expect([br.headers['content-encoding'], gzip.headers['content-encoding']]).toEqual(['br', 'gzip'])
    expect(brotliDecompressSync(br.body)).toEqual(plain)
    expect(gunzipSync(gzip.body)).toEqual(plain)
    expect(none.headers['content-encoding']).toBeUndefined()
    expect(none.body).toEqual(plain)
  })

  test('is sent as the build has compressed it', async () => {
    const { port } = await startRelay(cleanup)
    const br = await get(`http://127.0.0.1:${port}/assets/page-5e6f7a8b.js`, { headers: { 'accept-encoding': 'br' } })
    expect(br.headers).toMatchObject({
      'content-encoding': 'br',
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
    })
    expect(brotliDecompressSync(br.body).toString()).toBe('compressed by the build')
    expect((await get(`http://127.0.0.1:${port}/assets/page-5e6f7a8b.js.br`)).status).toBe(404)
  })

  test('HEAD gives the same headers and no body; other methods are refused', async () => {
    const { port } = await startRelay(cleanup)
    for (const path of ['/', '/relay.json', '/healthz']) {
      const [head, full] = [
        await get(`http://127.0.0.1:${port}${path}`, { method: 'HEAD' }),
        await get(`http://127.0.0.1:${port}${path}`),
      ]
      expect([head.status, head.body.length, head.headers['content-length']]).toEqual([
        200,
        0,
        full.headers['content-length'],
      ])
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const refused = await get(`http://127.0.0.1:${port}/`, { method })
      expect([method, refused.status, refused.headers['allow']]).toEqual([method, 405, 'GET, HEAD'])
    }
  })

  test.each([
    '/../brittlestar-outside.txt',
    '/assets/../../brittlestar-outside.txt',
    '/%2e%2e/brittlestar-outside.txt',
    '/..%2fbrittlestar-outside.txt',
    '/assets/..%5c..%5cbrittlestar-outside.txt',
    '//etc/passwd',
    '/.stamp',
    '/%00',
    '/assets',
    '/assets/',
    '/nothing',
    '/__proto__',
    '/constructor',
  ])('the path %s leads nowhere', async (path) => {
    const { port } = await startRelay(cleanup)
    expect((await get(`http://127.0.0.1:${port}/`, { path })).status).toBe(404)
  })

  test('a malformed path is a bad request', async () => {
    const { port } = await startRelay(cleanup)
    for (const path of ['/%', '/%ff', 'ftp://other/'])
      expect((await get(`http://127.0.0.1:${port}/`, { path })).status).toBe(400)
  })
})

describe('/relay.json', () => {
  test('may be asked for with a whole URL, whose host counts', async () => {
    const { port } = await startRelay(cleanup)
    const at = (path: string) => get(`http://127.0.0.1:${port}/`, { path })
    const { multiaddrs } = json((await at('http://other.example:81/relay.json?x')).body)
    expect(multiaddrs[0]).toMatch(/^\/dns4\/other.example\/tcp\/81\/ws\/p2p\//)
    expect((await at('HTTP://other')).body.toString()).toContain('<title>Brittlestar</title>')
    expect((await at('http://other/nothing')).status).toBe(404)
  })

  test('gives the address under which the asker reaches the relay', async () => {
    const { port, peerId } = await startRelay(cleanup)
    const asked = async (url: string, host?: string) => {
      const { body, headers } = await get(`${url}/relay.json`, host === undefined ? {} : { headers: { host } })
      expect(headers['access-control-allow-origin']).toBe('*')
      return json(body)
    }
    expect(await asked(`http://127.0.0.1:${port}`)).toMatchObject({
      v: 1,
      cluster: 'brittlestar',
      peerId,
      multiaddrs: [`/ip4/127.0.0.1/tcp/${port}/ws/p2p/${peerId}`],
      iceServers: [],
      version: '0.1.0',
    })
    const cases = [
      [`http://127.0.0.1:${port}`, `localhost:${port}`, `/ip4/127.0.0.1/tcp/${port}/ws`],
      [`https://127.0.0.1:${port}`, `localhost:${port}`, `/dns4/localhost/tcp/${port}/tls/ws`],
      [`https://${lan}:${port}`, undefined, `/ip4/${lan}/tcp/${port}/tls/ws`],
      [`http://127.0.0.1:${port}`, '[fd00::7]:81', '/ip6/fd00::7/tcp/81/ws'],
      [`http://127.0.0.1:${port}`, 'bad host', `/ip4/127.0.0.1/tcp/${port}/ws`],
    ] as const
    for (const [url, host, address] of cases) {
      expect((await asked(url, host)).multiaddrs).toEqual([`${address}/p2p/${peerId}`])
    }
  })

  test('adds --announce and --ice-server, and names the cluster', async () => {
    const flags = [
      '--announce',
      'https://stars.example.org',
      '--ice-server',
      'stun:s.example.org',
      '--cluster',
      'class',
    ]
    const { port, peerId } = await startRelay(cleanup, { flags })
    const info = json((await get(`http://127.0.0.1:${port}/relay.json`)).body)
    expect(info.multiaddrs[1]).toBe(`/dns4/stars.example.org/tcp/443/tls/ws/p2p/${peerId}`)
    expect(info).toMatchObject({ iceServers: [{ urls: 'stun:s.example.org' }], cluster: 'class' })
  })

  test('points an insecure page at its secure twin, and localhost at the LAN', async () => {
    const { port } = await startRelay(cleanup)
    const secureUrl = async (url: string) => json((await get(`${url}/relay.json`)).body).secureUrl
    expect(await secureUrl(`http://${lan}:${port}`)).toBe(`https://${lan}:${port}/`)
    expect(await secureUrl(`http://127.0.0.1:${port}`)).toBe(lanIPv4() ? `https://${lan}:${port}/` : null)
    const closed = await startRelay(cleanup, { flags: ['--host', '127.0.0.1'] })
    expect(await secureUrl(`http://127.0.0.1:${closed.port}`)).toBeNull()
  })
})
