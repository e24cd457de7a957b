/** `--set path.to.field=value`: changes of a definition from the command line. */

import { PipelineError } from './errors.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/**
 * A copy of `definition` with each assignment applied. A part of the path after `stages` is a stage's kind or its
 * position; the value is JSON, or else taken as text. Fields that do not exist are created: the schema judges them.
 */
export function applyOverrides(definition: Json, assignments: readonly string[]): Json {
  const result = structuredClone(definition)
  for (const assignment of assignments) assign(result, assignment)
  return result
}

function assign(root: Json, assignment: string): void {
  const at = assignment.indexOf('=')
  if (at < 1) throw refused(assignment, 'expected path.to.field=value')
  const parts = assignment.slice(0, at).split('.')
  let target = root
  for (const [depth, part] of parts.slice(0, -1).entries()) {
    if (Array.isArray(target)) target = element(target, part, assignment)
    else if (isObject(target)) {
      // A field that is there but absent from the file (an object filled with defaults) is created on the way.
      if (!Object.hasOwn(target, part)) define(target, part, {})
      target = target[part]!
    } else throw refused(assignment, `${parts.slice(0, depth).join('.')} is not an object`)
  }
  const field = parts.at(-1)!
  const value = parseValue(assignment.slice(at + 1))
  if (Array.isArray(target)) target[target.indexOf(element(target, field, assignment))] = value
  else if (isObject(target)) define(target, field, value)
  else throw refused(assignment, `${parts.slice(0, -1).join('.')} is not an object`)
}

/** Sets an own property, also where its name is one that every object inherits. */
function define(target: { [key: string]: Json }, field: string, value: Json): void {
  Object.defineProperty(target, field, { value, enumerable: true, writable: true, configurable: true })
}

/** The element of a list by position, or by the `kind` it carries. */
function element(list: Json[], part: string, assignment: string): Json {
  if (/^\d+$/.test(part)) {
    const found = list[Number(part)]
    if (found === undefined) throw refused(assignment, `there is no element ${part}: the list has ${list.length}`)
    return found
  }
  const kinds = list.map(item => (isObject(item) ? item['kind'] : undefined))
  const matches = list.filter((_, i) => kinds[i] === part)
  if (matches.length === 1) return matches[0]!
  const names = kinds.filter(kind => typeof kind === 'string').join(', ')
  if (matches.length === 0) throw refused(assignment, `expected one of the kinds ${names || '(none)'}, found "${part}"`)
  throw refused(assignment, `"${part}" stands there ${matches.length} times: use its position instead`)
}

function parseValue(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refused(assignment: string, why: string): PipelineError {
  return new PipelineError('ERR_DEFINITION', `--set ${assignment}: ${why}`, { assignment })
}
