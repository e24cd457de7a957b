/** The `{name}` placeholders of an MMAR: where their values come from, and what a configuration is once they are filled in. */

import { PipelineError } from '../../pipeline/errors.ts'
import { show } from '../../pipeline/problems.ts'
import { escaped, field, isObject, isPart, maxDepth, placeIn, showPlace, type Json, type JsonFile } from './json.ts'
import { nearName } from './names.ts'

export interface Variable {
  readonly value: Json
  /** For people: which file or option gave it. */
  readonly source: string
}

export type Variables = ReadonlyMap<string, Variable>

/** A placeholder without a value; it stands in the resolved configuration as it was. */
export interface Unknown {
  readonly pointer: string
  readonly name: string
  /** A name that exists and is spelt nearly so. */
  readonly near?: string
}

export interface Resolved extends JsonFile {
  readonly unknown: readonly Unknown[]
  /** Names that some placeholder asked for, in the order of the file. */
  readonly used: ReadonlySet<string>
}

const placeholder = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g
const wholePlaceholder = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/

/** Values and characters that a configuration may grow to; placeholders that multiply end here. */
const maxValues = 20_000
const maxCharacters = 8_000_000

/** Later sources win, as in Clara: the configuration's own values, environment.json, the command line. */
export function variablesFrom(
  ...sources: readonly (readonly [source: string, values: Iterable<readonly [string, Json]>])[]
): Variables {
  const variables = new Map<string, Variable>()
  for (const [source, values] of sources) for (const [name, value] of values) variables.set(name, { value, source })
  return variables
}

/** The values of a file's first level that are meant for placeholders: everything that is no section and no component. */
export function globalsOf(file: JsonFile): [string, Json][] {
  if (!isObject(file.value)) return []
  return Object.entries(file.value).filter(([, value]) => !isPart(value))
}

/** `k=v` as the command lines of Clara have it: JSON, Python's True, False and None, or else text. */
export function assignmentOf(text: string): [string, Json] {
  const at = text.indexOf('=')
  const name = text.slice(0, at)
  if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new PipelineError('ERR_DEFINITION', `--set ${text}: expected name=value with the name of a variable`, {
      text,
    })
  return [name, valueOf(text.slice(at + 1))]
}

function valueOf(text: string): Json {
  const python: Record<string, Json> = { True: true, False: false, None: null }
  if (Object.hasOwn(python, text)) return python[text]!
  try {
    const value = JSON.parse(text) as Json
    // Lists and objects keep their text where they are too deep to be values.
    return typeof value === 'object' && value !== null && text.length > 10_000 ? text : value
  } catch {
    return text
  }
}

/**
 * A copy of the file with every placeholder filled in, also those inside the values of others. A text that is only
 * "{name}" becomes the value with its type. ERR_DEFINITION for placeholders that expand to themselves or without end.
 */
export function resolve(file: JsonFile, variables: Variables): Resolved {
  const unknown: Unknown[] = []
  const used = new Set<string>()
  let values = 0
  let characters = 0

  const grow = (pointer: string, by: number): void => {
    characters += by
    if (++values <= maxValues && characters <= maxCharacters) return
    throw new PipelineError(
      'ERR_DEFINITION',
      `${showPlace(placeIn(file, pointer))}: expected a configuration of at most ${maxValues} values and ${maxCharacters} characters, found placeholders that expand to more; remove what multiplies`,
      { file: file.name, pointer },
    )
  }

  const lookUp = (name: string, pointer: string, chain: readonly string[]): Json | undefined => {
    const variable = variables.get(name)
    if (!variable) {
      const near = nearName(name, [...variables.keys()])
      unknown.push({ pointer, name, ...(near !== undefined && { near }) })
      return undefined
    }
    if (chain.includes(name))
      throw new PipelineError(
        'ERR_DEFINITION',
        `${showPlace(placeIn(file, pointer))}: expected a value for {${name}}, found placeholders that expand to themselves: ${[...chain, name].map(n => `{${n}}`).join(' -> ')}; give one of them a value with --set ${name}=...`,
        { file: file.name, pointer, chain },
      )
    used.add(name)
    return walk(variable.value, pointer, [...chain, name])
  }

  const text = (value: string, pointer: string, chain: readonly string[]): Json => {
    const whole = wholePlaceholder.exec(value)
    if (whole) {
      const found = lookUp(whole[1]!, pointer, chain)
      return found === undefined ? value : found
    }
    // Braces in code are Python's: they are placeholders only where the name has a value.
    const isCode = /^\s*(lambda\b|#|\$)/.test(value)
    return value.replace(placeholder, (found, name: string) => {
      if (isCode && !variables.has(name)) return found
      const inner = lookUp(name, pointer, chain)
      if (inner === undefined) return found
      const shown = typeof inner === 'string' ? inner : JSON.stringify(inner)
      grow(pointer, shown.length)
      return shown
    })
  }

  const walk = (value: Json, pointer: string, chain: readonly string[]): Json => {
    if (chain.length + pointer.split('/').length > 4 * maxDepth)
      throw new PipelineError('ERR_DEFINITION', `${file.name}: placeholders are nested too deeply: ${show(value)}`)
    grow(pointer, typeof value === 'string' ? value.length : 0)
    if (typeof value === 'string') return text(value, pointer, chain)
    if (Array.isArray(value)) return value.map((item: Json, i) => walk(item, `${pointer}/${i}`, chain))
    if (!isObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, walk(item, `${pointer}/${escaped(name)}`, chain)]),
    )
  }

  const value = walk(file.value, '', [])
  return { name: file.name, value, lineOf: pointer => file.lineOf(pointer), unknown, used }
}

/** The value of one variable, filled in; `undefined` where it has none or its own placeholders have none. */
export function valueOfVariable(name: string, variables: Variables, file: JsonFile): Json | undefined {
  if (!variables.has(name)) return undefined
  const { value, unknown } = resolve({ ...file, value: { [name]: `{${name}}` } }, variables)
  return unknown.length > 0 || !isObject(value) ? undefined : field(value, name)
}
