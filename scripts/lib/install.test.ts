// install.mjs runs before anything is installed, so it is tested from outside: in a copy of a tiny project, with an
// npm and a vite that only note that they were called.
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'brittlestar-install-'))
  cpSync(join(import.meta.dirname, 'install.mjs'), join(root, 'scripts/lib/install.mjs'))
  write('package.json', JSON.stringify({ name: 'tiny' }))
  lock('1.0.0')
  write('fake/npm-cli.js', FAKE_NPM)
  write('index.html', '<title>1</title>')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

/** Installs what the lock file asks for, a little later, so that a second command can come meanwhile. */
const FAKE_NPM = `
const fs = require('node:fs')
if (process.env.FAKE_NPM_FAILS) { console.error('npm error code E404\\nnpm error 404 no such package'); process.exit(1) }
fs.appendFileSync('npm.calls', process.argv.slice(2).join(' ') + '\\n')
setTimeout(() => {
  fs.rmSync('node_modules', { recursive: true, force: true })
  fs.mkdirSync('node_modules/vite/bin', { recursive: true })
  const { packages } = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'))
  delete packages['']
  delete packages['node_modules/other-platform']
  fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages }))
  fs.writeFileSync('node_modules/vite/bin/vite.js', \`
    const fs = require('node:fs')
    fs.appendFileSync('vite.calls', 'build')
    if (fs.readFileSync('index.html', 'utf8') === 'bad') { console.error('bad html'); process.exit(1) }
    fs.mkdirSync('dist', { recursive: true })
    fs.copyFileSync('index.html', 'dist/index.html')
  \`)
}, 200)
`

function write(path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), content)
}

function lock(version: string): void {
  const packages = {
    '': {},
    'node_modules/vite': { version, integrity: `sha512-${version}` },
    'node_modules/other-platform': { version, optional: true },
  }
  write('package-lock.json', JSON.stringify({ lockfileVersion: 3, packages }))
}

const calls = (name: string) => (existsSync(join(root, name)) ? readFileSync(join(root, name), 'utf8') : '')
const npmCalls = () => calls('npm.calls').split('\n').length - 1
const builds = () => calls('vite.calls').length / 'build'.length

function node(code: string, env: NodeJS.ProcessEnv = {}) {
  const script = `import { command, ensureBuilt, ensureInstalled, run, runtime } from './scripts/lib/install.mjs'; ${code}`
  const npm = { npm_execpath: join(root, 'fake/npm-cli.js'), npm_node_execpath: process.execPath }
  const clean = { ...process.env, ...npm, ...env }
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: root, env: clean })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  child.stderr.on('data', (text) => {
    output += text
  })
  const done = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, output }))
  })
  return { child, done, output: () => output }
}

const install = (env: NodeJS.ProcessEnv = {}) =>
  node('await command(async () => { await ensureInstalled(); return 0 })', env).done
const build = () => node('await command(async () => { await ensureInstalled(); await ensureBuilt(); return 0 })').done

describe('ensureInstalled', () => {
  test('installs once with npm ci, quietly, and is silent the second time', async () => {
    const first = await install()
    expect(first).toEqual({ code: 0, output: 'brittlestar: installing packages (only the first time)…\n' })
    expect(await install()).toEqual({ code: 0, output: '' })
    expect(calls('npm.calls')).toBe('ci --no-audit --no-fund --loglevel=error\n')
  })

  test('installs again when the lock file asks for something else', async () => {
    await install()
    lock('2.0.0')
    await install()
    expect(npmCalls()).toBe(2)
  })

  test('leaves alone what somebody installed by hand, if it is what the lock file asks for', async () => {
    await install()
    rmSync(join(root, 'node_modules/.brittlestar-stamp'))
    write('package.json', JSON.stringify({ name: 'tiny', scripts: { more: 'true' } }))
    expect(await install()).toEqual({ code: 0, output: '' })
    expect(npmCalls()).toBe(1)
  })

  test('two commands at the same time install once', async () => {
    const both = await Promise.all([install(), install()])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(npmCalls()).toBe(1)
    expect(existsSync(join(root, '.cache/install.lock'))).toBe(false)
  })

  test('takes over the lock of a command that died', async () => {
    const gone = node('console.log(process.pid)')
    await gone.done
    write('.cache/install.lock/pid', String(gone.child.pid))
    expect((await install()).code).toBe(0)
  })

  test('says in one line why npm failed, and leaves no lock', async () => {
    const { code, output } = await install({ FAKE_NPM_FAILS: '1' })
    expect(code).toBe(1)
    expect(output.split('\n')[1]).toBe(
      'brittlestar: npm ci failed: 404 no such package (run "npm ci" to see all of it)',
    )
    expect(existsSync(join(root, '.cache/install.lock'))).toBe(false)
  })
})

describe('ensureBuilt', () => {
  test('builds when something that goes into the page has changed, and not for tests and documents', async () => {
    await build()
    await build()
    expect(builds()).toBe(1)
    write('src/a.test.ts', 'test')
    write('src/README.md', 'text')
    await build()
    expect(builds()).toBe(1)
    write('src/a.ts', 'code')
    await build()
    expect(builds()).toBe(2)
    rmSync(join(root, 'dist'), { recursive: true })
    await build()
    expect(builds()).toBe(3)
  })

  test('shows the build’s own words when it fails, and tries again the next time', async () => {
    write('index.html', 'bad')
    const { code, output } = await build()
    expect(code).toBe(1)
    expect(output).toContain('bad html\nbrittlestar: the build failed: see above\n')
    write('index.html', 'good')
    expect((await build()).code).toBe(0)
  })
})

describe('run', () => {
  test('gives the program’s exit code, also when a signal ended it', async () => {
    const { output } = await node(`
      console.log(await run(process.execPath, ['-e', 'process.exit(7)']))
      console.log(await run(process.execPath, ['-e', 'process.kill(process.pid, "SIGTERM")']))`).done
    expect(output).toBe('7\n143\n')
  })

  test('passes SIGTERM on and waits for the program’s own end', async () => {
    const program = 'process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1000); console.log("up")'
    const { child, done, output } = node(
      `process.exitCode = await run(process.execPath, ['-e', ${JSON.stringify(program)}])`,
    )
    while (!output().includes('up')) await new Promise((resolve) => setTimeout(resolve, 5))
    child.kill('SIGTERM')
    expect((await done).code).toBe(5)
  })

  test('listens to signals before there is a program that they could be for', async () => {
    // A busy machine may run the program for a while before it goes on here: a signal that came then ended us, and left it running.
    const { output } = await node(`
      import cp from 'node:child_process'
      import { syncBuiltinESMExports } from 'node:module'
      const { spawn } = cp
      cp.spawn = (...args) => (console.log(process.listenerCount('SIGTERM')), spawn(...args))
      syncBuiltinESMExports()
      await run(process.execPath, ['-e', ''])
      console.log(process.listenerCount('SIGTERM'))`).done
    expect(output).toBe('1\n0\n')
  })

  test('says in one line that a program cannot be run, also where that is thrown, and listens to signals no more', async () => {
    // Below a file (ENOTDIR) is thrown, what is not there (ENOENT) is told later.
    const { output } = await node(`
      for (const cmd of [process.execPath + '/x', process.execPath + '-x']) {
        const { name, message } = await run(cmd, []).catch((error) => error)
        console.log(name, message.includes('cannot run ' + cmd), process.listenerCount('SIGTERM'))
      }`).done
    expect(output).toBe('SetupError true 0\nSetupError true 0\n')
  })

  test('ends the program when the npm that started the command is gone', async () => {
    const program = `process.on('SIGTERM', () => { console.log('ended'); process.exit() })
      setInterval(() => {}, 1000)
      require('node:fs').writeFileSync('up', '')`
    const command = `import { run } from './scripts/lib/install.mjs'
      await run(process.execPath, ['-e', ${JSON.stringify(program)}])`
    const npm = node(
      `import { spawn } from 'node:child_process'
      import { existsSync } from 'node:fs'
      spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(command)}], { stdio: 'inherit' })
      setInterval(() => existsSync('up') && process.kill(process.pid, 'SIGKILL'), 5)`,
      { npm_lifecycle_event: 'start' },
    )
    expect((await npm.done).output).toBe('ended\n')
  })

  test('names a program that is not there', async () => {
    const { code, output } = await node(`await command(() => run('/no/such/program', []))`).done
    expect([code, output]).toEqual([1, 'brittlestar: cannot run /no/such/program: spawn /no/such/program ENOENT\n'])
  })
})
