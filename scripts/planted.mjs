// Proves that the checks can fail: plants one violation of each rule of the house into a copy of its configuration
// and demands that the linter or the compiler refuses it, and that they accept what is allowed.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ROOT, runtime } from './lib/install.mjs'

const BIOME = join(ROOT, 'node_modules/@biomejs/biome/bin/biome')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

/** file, imported module, whether the import is allowed there */
const IMPORTS = [
  ['src/base/planted.ts', '../ports/clock.ts', false],
  ['src/base/planted.ts', 'valibot', false],
  ['src/ports/planted.ts', '../kernel/kernel.ts', false],
  ['src/ports/planted.ts', '../base/errors.ts', true],
  ['src/syscalls/planted.ts', '../kernel/kernel.ts', false],
  ['src/kernel/planted.ts', '../adapters/memory/clock.ts', false],
  ['src/kernel/fs/planted.ts', 'libp2p', false],
  ['src/kernel/fs/planted.ts', 'node:fs', false],
  ['src/kernel/fs/planted.ts', 'cborg', true],
  ['src/kernel/fs/planted.ts', '../../base/errors.ts', true],
  ['src/shell/planted.ts', '../kernel/kernel.ts', false],
  ['src/shell/planted.ts', '@xterm/xterm', false],
  ['src/adapters/libp2p/planted.ts', '../../kernel/kernel.ts', false],
  ['src/adapters/libp2p/planted.ts', 'libp2p', true],
  ['src/app/planted.ts', '../kernel/kernel.ts', false],
  ['src/sim/planted.ts', '../adapters/libp2p/node.ts', false],
  ['src/sim/planted.ts', '../adapters/memory/clock.ts', true],
  ['relay/planted.ts', '../src/kernel/kernel.ts', false],
  ['relay/planted.ts', '../src/kernel/journal/groups.ts', false],
  ['relay/planted.ts', '../src/kernel/journal/raft/witness.ts', true],
]

/** Kernel code that reaches past its ports: the compiler must not know these names there. */
const PLATFORM = [
  'document.title',
  'indexedDB.open("x")',
  'setTimeout(() => undefined, 1)',
  'fetch("/")',
  'crypto.subtle',
]

const problems = []
const work = mkdtempSync(join(tmpdir(), 'planted-'))
try {
  plantImports()
  plantPlatform()
} finally {
  rmSync(work, { recursive: true, force: true })
}
for (const problem of problems) console.error(problem)
const count = IMPORTS.length + PLATFORM.length
console.log(`${count - problems.length} of ${count} planted cases judged rightly`)
process.exitCode = problems.length === 0 ? 0 : 1

function plantImports() {
  const config = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'))
  delete config.$schema
  config.vcs.enabled = false
  writeFileSync(join(work, 'biome.json'), JSON.stringify(config))
  for (const [file, module, allowed] of IMPORTS) {
    const path = join(work, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `import * as planted from '${module}'\n\nexport const used = planted\n`)
    const { stdout, stderr } = spawnSync(runtime(), [BIOME, 'lint', path], { cwd: work, encoding: 'utf8' })
    const refused = `${stdout}${stderr}`.includes('noRestrictedImports')
    if (refused === allowed) problems.push(`${file}: import of ${module} should be ${allowed ? 'allowed' : 'refused'}`)
    rmSync(path)
  }
}

function plantPlatform() {
  const config = join(work, 'tsconfig.json')
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(ROOT, 'tsconfig.base.json'),
      compilerOptions: { composite: false, noEmit: true, emitDeclarationOnly: false, declaration: false },
      files: [join(work, 'planted.ts'), join(ROOT, 'src/types/computing.d.ts')],
    }),
  )
  const kernel = JSON.parse(readFileSync(join(ROOT, 'src/kernel/tsconfig.json'), 'utf8')).compilerOptions
  if (kernel.lib.some((lib) => /dom|worker/i.test(lib)) || kernel.types.length > 0) {
    problems.push('src/kernel/tsconfig.json lets the platform in')
  }
  for (const expression of PLATFORM) {
    writeFileSync(join(work, 'planted.ts'), `export const planted = () => ${expression}\n`)
    try {
      execFileSync(runtime(), [TSC, '-p', config], { stdio: 'pipe' })
      problems.push(`the kernel's compiler accepts ${expression}`)
    } catch (error) {
      if (!String(error.stdout).includes('error TS')) throw error
    }
  }
}
