/** The file of a definition: its JSON, and where in the file each value stands. */

import { readFileSync } from 'node:fs'
import { findNodeAtLocation, parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser'
import { PipelineError } from './errors.ts'
import { show } from './problems.ts'

export interface DefinitionFile {
  readonly value: unknown
  /** The line of the value at a JSON pointer, or of the nearest thing around it that stands in the file. */
  lineOf(pointer: string): number | undefined
}

/** Throws ERR_DEFINITION with the reason, or with line and column of what is no JSON. */
export function readDefinitionFile(path: string): DefinitionFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code
    const why = reason === 'ENOENT' ? 'there is no such file' : reason === 'EISDIR' ? 'it is a folder' : String(reason)
    throw new PipelineError('ERR_DEFINITION', `${path}: expected a pipeline definition (JSON), ${why}`, { file: path })
  }
  const errors: ParseError[] = []
  const tree = parseTree(text.replace(/^\uFEFF/, ' '), errors, { disallowComments: true })
  const first = errors[0]
  if (first || !tree) {
    const before = text.slice(0, first?.offset ?? 0).split('\n')
    const what = first ? printParseErrorCode(first.error) : 'the file is empty'
    throw new PipelineError(
      'ERR_DEFINITION',
      `${path}:${before.length}:${before.at(-1)!.length + 1}: not valid JSON: ${what}, found ${show(text.slice(first?.offset ?? 0, (first?.offset ?? 0) + 20))}`,
      { file: path },
    )
  }
  return { value: JSON.parse(text.replace(/^\uFEFF/, '')), lineOf: pointer => lineOf(tree, text, pointer) }
}

function lineOf(tree: Node, text: string, pointer: string): number | undefined {
  const parts = pointer
    .split('/')
    .slice(1)
    .map(part => (/^\d+$/.test(part) ? Number(part) : part))
  for (let length = parts.length; length >= 0; length--) {
    const node = findNodeAtLocation(tree, parts.slice(0, length))
    if (node) return text.slice(0, node.offset).split('\n').length
  }
  return undefined
}
