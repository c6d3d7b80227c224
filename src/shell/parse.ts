// Text to a syntax tree, by unbash; then a check that everything in the tree is something interpret.ts can do.
// What is not is named before anything runs.
import { forEachChild, type ParsedScript, parse, type SyntaxNode } from 'unbash'
import { MAX_LINE_LENGTH, MAX_PIPELINE_STAGES } from './limits.ts'

export type ParseResult =
  | { kind: 'script'; script: ParsedScript }
  /** A quote, bracket or operator is still open: the terminal asks for another line. */
  | { kind: 'incomplete'; message: string }
  | { kind: 'error'; message: string }

export function parseCommand(text: string): ParseResult {
  if (text.length > MAX_LINE_LENGTH) {
    return { kind: 'error', message: `a command of ${text.length} characters is longer than ${MAX_LINE_LENGTH}` }
  }
  const script = parse(text)
  const error = script.errors?.[0]
  if (error) {
    const atEnd = /^\s*(#.*)?$/.test(text.slice(error.pos))
    const open =
      error.message.startsWith('unterminated') ||
      (atEnd && error.message.startsWith('expected') && !error.message.includes('redirect'))
    return { kind: open ? 'incomplete' : 'error', message: `syntax error: ${error.message}` }
  }
  const feature = firstUnsupported(script)
  if (feature) return { kind: 'error', message: `not supported: ${feature}` }
  const rest = leftOver(script, text)
  if (rest) return { kind: 'error', message: `syntax error: unexpected token '${rest}'` }
  if (endsInBackslash(text)) return { kind: 'incomplete', message: 'syntax error: the line goes on after \\' }
  return { kind: 'script', script }
}

/** A token behind the last command that nothing was made of: the parser passes over a `(` behind a single word. */
function leftOver({ commands }: ParsedScript, text: string): string | undefined {
  const behind = text.slice(commands.at(-1)?.end ?? 0).replace(/(^|[\s;])#.*$/gm, '')
  return /[^\s;&\\]/.exec(behind)?.[0]
}

/** A single backslash before the end asks for the next line; inside a comment it means nothing. */
function endsInBackslash(text: string): boolean {
  const slashes = /\\+$/.exec(text)?.[0].length ?? 0
  if (slashes % 2 === 0) return false
  const lastLine = text.slice(text.lastIndexOf('\n') + 1)
  return !/(^|\s)#/.test(lastLine.replace(/'[^']*'|"[^"]*"/g, ''))
}

const UNSUPPORTED: Partial<Record<SyntaxNode['type'], string>> = {
  If: 'if',
  For: 'for loops',
  ArithmeticFor: 'for loops',
  Select: 'select',
  While: 'while and until loops',
  Case: 'case',
  Function: 'functions',
  Subshell: 'subshells ( … )',
  BraceGroup: 'groups { …; }',
  TestCommand: '[[ … ]]',
  ArithmeticCommand: '(( … ))',
  Coproc: 'coproc',
  Time: 'time',
  HereDoc: 'here-documents <<',
  HereString: 'here-strings <<<',
  ArrayValue: 'arrays',
  CommandExpansion: 'command substitution $( … )',
  ArithmeticExpansion: 'arithmetic $(( … ))',
  ProcessSubstitution: 'process substitution <( … )',
  ExtendedGlob: 'extended patterns such as @( … )',
  BraceExpansion: 'brace expansion {a,b}',
}

function firstUnsupported(root: ParsedScript): string | undefined {
  let found: string | undefined
  const visit = (node: SyntaxNode) => {
    found ??= unsupportedFeature(node)
    if (found === undefined) forEachChild(node, visit)
  }
  visit(root)
  return found
}

function unsupportedFeature(node: SyntaxNode): string | undefined {
  switch (node.type) {
    case 'Statement':
      return node.background ? 'background jobs with &; use run --detach' : undefined
    case 'Pipeline':
      return node.commands.length > MAX_PIPELINE_STAGES ? `more than ${MAX_PIPELINE_STAGES} stages` : undefined
    case 'Assignment':
      return node.index ? 'arrays' : undefined
    case 'ParameterExpansion':
      return node.operation || node.index || node.prefix || !isKnownParameter(node.parameter) ? node.text : undefined
    case 'SimpleExpansion':
      return isKnownParameter(node.text.slice(1)) ? undefined : node.text
    case 'Redirect':
      return unsupportedRedirect(node)
    default:
      return UNSUPPORTED[node.type]
  }
}

/** Names, `$?`, and the positional parameters, of which an interactive shell has none. */
function isKnownParameter(name: string): boolean {
  return /^([A-Za-z_]\w*|[0-9]+|[?@*#])$/.test(name)
}

function unsupportedRedirect(node: Extract<SyntaxNode, { type: 'Redirect' }>): string | undefined {
  if (node.operator === '<>') return 'redirection <>'
  const descriptor = node.descriptor
  if (descriptor?.type === 'FileDescriptorVariable') return `file descriptor {${descriptor.name}}`
  if (descriptor && descriptor.value > 2) return `file descriptor ${descriptor.value}`
  const target = node.target?.value ?? ''
  if ((node.operator === '>&' || node.operator === '<&') && (target === '-' || /^[3-9]|^\d{2}/.test(target))) {
    return `redirection ${node.operator}${target}`
  }
  return undefined
}
