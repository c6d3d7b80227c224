// Vite plugin: the task runtime as text. An opaque origin can load no script by URL, so task.worker.ts is bundled
// into one self-contained classic script, alike in the build, the dev server and the tests.
import { join } from 'node:path'
import { build, type Plugin } from 'vite'

const ID = 'virtual:brittlestar-task-runtime'
const ENTRY = join(import.meta.dirname, 'task.worker.ts')

export function taskRuntime(): Plugin {
  let bundle: Promise<{ code: string; files: string[] }> | undefined
  return {
    name: 'brittlestar-task-runtime',
    resolveId: (id) => (id === ID ? `\0${ID}` : undefined),
    async load(id) {
      if (id !== `\0${ID}`) return
      bundle ??= bundleTaskRuntime()
      const { code, files } = await bundle
      for (const file of files) this.addWatchFile(file)
      return `export default ${JSON.stringify(code)}`
    },
    watchChange: () => {
      bundle = undefined
    },
  }
}

/** @throws when the result is not one chunk without imports. */
export async function bundleTaskRuntime(): Promise<{ code: string; files: string[] }> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'es2022',
      sourcemap: false,
      lib: { entry: ENTRY, formats: ['iife'], name: 'task', fileName: 'task' },
      minify: true,
    },
  })
  const outputs = [result].flat().flatMap((part) => ('output' in part ? part.output : []))
  const [chunk] = outputs
  if (outputs.length !== 1 || chunk?.type !== 'chunk' || chunk.imports.length > 0) {
    throw new Error(`the task runtime must be one chunk without imports, but is ${outputs.map((o) => o.fileName)}`)
  }
  return { code: chunk.code, files: chunk.moduleIds.filter((id) => id.startsWith('/')) }
}
