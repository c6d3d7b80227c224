// Imports that the bundler resolves to text or URLs.
declare module '*?raw' {
  const text: string
  export default text
}
declare module '*?worker&url' {
  const url: string
  export default url
}
declare module '*.css'
declare module 'virtual:brittlestar-examples' {
  /** File name to source text, e.g. `wordcount.js`. */
  const examples: Readonly<Record<string, string>>
  export default examples
}
declare module 'virtual:brittlestar-task-runtime' {
  /** The task worker as the text of one self-contained script (workers/task-bundle.ts). */
  const source: string
  export default source
}
