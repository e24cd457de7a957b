/** JSON files that nobody has vouched for: read within limits, every value with its place. */

import { readFileSync, statSync } from 'node:fs'
import { findNodeAtLocation, parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser'
import { PipelineError } from '../../pipeline/errors.ts'
import { show } from '../../pipeline/problems.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

/** A parsed file; `name` is how people know it, such as "config/config_train.json". */
export interface JsonFile {
  readonly name: string
  readonly value: Json
  /** The line of the value at a JSON pointer, or of the nearest thing around it, where lines are known. */
  lineOf(pointer: string): number | undefined
}

/** Where something stands. */
export interface Place {
  readonly file: string
  readonly pointer: string
  readonly line?: number
}

/** Configurations and scripts are a few kilobytes; lists of data may be longer. A file beyond this is something else. */
const maxBytes = 4 * 2 ** 20
export const maxListBytes = 256 * 2 ** 20
/** Deeper than any configuration; below it, recursion over the values is safe. */
export const maxDepth = 100

/** `undefined` where there is no such file; ERR_FILE for a file that cannot be read or is no JSON. */
export function readJsonFile(path: string, name: string, limit: number = maxBytes): JsonFile | undefined {
  const text = readTextFile(path, name, limit)
  return text === undefined ? undefined : parseJson(text, name)
}

/** The text of an ordinary file of a sane size; `undefined` where there is none. */
export function readTextFile(path: string, name: string, limit: number = maxBytes): string | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found) return undefined
    // A pipe or a device would never end.
    if (!found.isFile()) throw new Error(found.isDirectory() ? 'it is a folder' : 'it is not an ordinary file')
    if (found.size > limit) throw new Error(`it has ${found.size} bytes, more than the ${limit} that are read`)
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    // A part of the path that is a file: then this file is not there either.
    if (code === 'ENOTDIR') return undefined
    throw new PipelineError('ERR_FILE', `${name}: expected a readable file, ${code ?? message}`, { path })
  }
}

export function parseJson(text: string, name: string): JsonFile {
  const depth = depthOf(text)
  if (depth > maxDepth)
    throw new PipelineError(
      'ERR_FILE',
      `${name}: expected at most ${maxDepth} levels of nesting, found ${depth}; this is no configuration of an MMAR`,
      { file: name, depth },
    )
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    throw notJson(text, name)
  }
  // Only for the lines of the report, so not before it is needed.
  let lines: { readonly tree: Node | undefined; readonly starts: readonly number[] } | undefined
  return {
    name,
    value,
    lineOf(pointer) {
      lines ??= { tree: parseTree(text), starts: [...text.matchAll(/\n/g)].map(({ index }) => index) }
      return lines.tree && lineAt(lines.tree, lines.starts, pointer)
    },
  }
}

/** A value that comes from no file. */
export function jsonValue(value: Json, name: string): JsonFile {
  return { name, value, lineOf: () => undefined }
}

/** Deepest nesting of brackets outside of strings; the text need not be valid. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++
    } else if (character === '{' || character === '[') deepest = Math.max(deepest, ++depth)
    else if (character === '}' || character === ']') depth--
  }
  return deepest
}

function notJson(text: string, name: string): PipelineError {
  const errors: ParseError[] = []
  parseTree(text, errors, { disallowComments: true })
  const offset = errors[0]?.offset ?? text.length
  const before = text.slice(0, offset).split('\n')
  const what = text.trim() === '' ? 'the file is empty' : printParseErrorCode(errors[0]?.error ?? 0)
  return new PipelineError(
    'ERR_FILE',
    `${name}:${before.length}:${before.at(-1)!.length + 1}: not valid JSON: ${what}, found ${show(text.slice(offset, offset + 20))}; correct it there`,
    { file: name, line: before.length },
  )
}

/** `ends` is where the lines end. */
function lineAt(tree: Node, ends: readonly number[], pointer: string): number {
  let node = tree
  for (const part of partsOf(pointer)) {
    // A position in a list is a number for jsonc-parser; a digit as the name of a field is text.
    const child = findNodeAtLocation(node, [node.type === 'array' ? Number(part) : part])
    if (!child) break
    node = child
  }
  let [low, high] = [0, ends.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ends[middle]! < node.offset) low = middle + 1
    else high = middle
  }
  return low + 1
}

/** The place of a pointer in a file. */
export function placeIn(file: JsonFile, pointer: string): Place {
  const line = file.lineOf(pointer)
  return { file: file.name, pointer, ...(line !== undefined && { line }) }
}

/** "config/config_train.json:41 /train/loss", as an editor can jump to. */
export function showPlace({ file, line, pointer }: Place): string {
  return `${file}${line === undefined ? '' : `:${line}`}${pointer === '' ? '' : ` ${pointer}`}`
}

/** One part of a JSON pointer, escaped. */
export function escaped(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1')
}

function partsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object, or a list of objects; lists of numbers or names are plain values. */
export function isPart(value: Json): boolean {
  return Array.isArray(value) ? value.some(isObject) : isObject(value)
}

/** An own field; names that every object inherits are not fields. */
export function field(value: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined
}

/** Equal as JSON; the order of fields does not matter. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item: Json, i) => sameJson(item, b[i] as Json))
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a)
    return names.length === Object.keys(b).length && names.every(name => sameJson(a[name], field(b, name)))
  }
  return a === b
}

/** Characters of a line of formatted JSON. */
const lineWidth = 100

/** JSON for people: what fits on a line stands on one, as in the definitions of fixtures/. */
export function formatJson(value: unknown, indent = ''): string {
  const whole = JSON.stringify(value) ?? 'null'
  if (typeof value !== 'object' || value === null) return whole
  const short = spaced(value)
  if (indent.length + short.length <= lineWidth && indent !== '') return short
  const inner = `${indent}  `
  const items = Array.isArray(value)
    ? value.map(item => `${inner}${formatJson(item, inner)}`)
    : Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${formatJson(item, inner)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return items.length === 0 ? `${open}${close}` : `${open}\n${items.join(',\n')}\n${indent}${close}`
}

function spaced(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`
  const fields = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${spaced(item)}`)
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
}
