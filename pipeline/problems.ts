/** What is wrong with a definition, in words: ajv's errors with the place, what was expected, what was found, the nearest name. */

import type { ErrorObject } from 'ajv'
import leven from 'leven'

export interface Problem {
  /** JSON pointer into the definition. */
  readonly path: string
  readonly message: string
}

/** One problem per mistake, in the order of the file. */
export function problemsOf(errors: readonly ErrorObject[], root: unknown): Problem[] {
  return errors.map(error => describe(error, root))
}

/** The name in `candidates` that was probably meant, if any is near. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(name.length / 3))
  const ranked = candidates.map(candidate => ({
    candidate,
    distance: leven(name.toLowerCase(), candidate.toLowerCase()),
  }))
  ranked.sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best && best.distance <= limit ? best.candidate : undefined
}

/** A value as it stands in JSON, shortened. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** "did you mean X?" or the list of what is allowed. */
export function suggestion(name: string, candidates: readonly string[]): string {
  const near = nearest(name, candidates)
  return near ? `did you mean "${near}"?` : `expected one of: ${candidates.join(', ')}`
}

function describe(error: ErrorObject, root: unknown): Problem {
  const { params } = error
  const path = error.instancePath
  const found = valueAt(root, path)
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params['additionalProperty'])
      const known = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {})
      return { path: `${path}/${name}`, message: `unknown field "${name}"; ${suggestion(name, known)}` }
    }
    case 'required':
      return { path, message: `the field "${String(params['missingProperty'])}" is missing` }
    case 'type':
      return { path, message: `expected ${[params['type']].flat().join(' or ')}, found ${show(found)}` }
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).map(String)
      return { path, message: `found ${show(found)}; ${suggestion(String(found), allowed)}` }
    }
    case 'const':
      return { path, message: `expected ${show(params['allowedValue'])}, found ${show(found)}` }
    case 'discriminator': {
      const tag = String(params['tag'])
      const known = tagsOf(error)
      const value = params['tagValue']
      if (value === undefined)
        return { path, message: `the field "${tag}" is missing; expected one of: ${known.join(', ')}` }
      return { path: `${path}/${tag}`, message: `unknown ${tag} ${show(value)}; ${suggestion(String(value), known)}` }
    }
    case 'pattern':
      return {
        path,
        message: `expected ${String(error.parentSchema?.['description'] ?? `text like ${String(params['pattern'])}`)}, found ${show(found)}`,
      }
    case 'minItems':
    case 'maxItems':
      return {
        path,
        message: `expected ${countWord(error.keyword)} ${String(params['limit'])} elements, found ${show(found)}`,
      }
    default:
      return { path, message: `${error.message ?? error.keyword}, found ${show(found)}` }
  }
}

function countWord(keyword: string): string {
  return keyword === 'minItems' ? 'at least' : 'at most'
}

/** The values that a discriminator knows, from the alternatives beside it. */
function tagsOf(error: ErrorObject): string[] {
  const alternatives = (error.parentSchema?.['oneOf'] ?? []) as { properties?: Record<string, { const?: unknown }> }[]
  const tag = String(error.params['tag'])
  return alternatives.map(alternative => String(alternative.properties?.[tag]?.const))
}

function valueAt(root: unknown, pointer: string): unknown {
  let value = root
  for (const part of pointer.split('/').slice(1)) {
    value = (value as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')]
  }
  return value
}
