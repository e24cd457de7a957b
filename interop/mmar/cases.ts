/** The list of cases: where it lies, what it holds, and whether its files stay below the data's folder. */

import { existsSync } from 'node:fs'
import { isAbsolute, relative, resolve, sep } from 'node:path'
import { codeOf, messageOf } from '../../pipeline/errors.ts'
import { show } from '../../pipeline/problems.ts'
import { isInside, type Mmar } from './folder.ts'
import { field, isObject, maxListBytes, readJsonFile, type Json, type JsonObject, type Place } from './json.ts'
import type { Report } from './report.ts'
import type { CaseSource } from './section.ts'

/** The data set of a definition, with paths relative to the folder it is written to, where they are not absolute there. */
export interface CaseList {
  readonly list: string
  readonly root?: string
}

const fallback = 'config/dataset_0.json'

/**
 * The list and root of a section. A relative path is below the MMAR; an absolute one, usually of a container, is kept.
 * What does not exist on this machine is reported, and definitions name it nevertheless.
 */
export function caseList(source: CaseSource, mmar: Mmar, out: string, at: Place, report: Report): CaseList {
  const list = isResolved(source.list) ? source.list : undefined
  const path = list ?? (existsSync(resolve(mmar.root, fallback)) ? fallback : undefined)
  if (path === undefined) {
    report.addOnce(
      'refused',
      at,
      `data list ${show(source.list ?? null)}`,
      'not known; name one with --set DATASET_JSON=PATH, or change "dataset" in the definitions',
    )
    return { list: 'dataset.json' }
  }
  if (list === undefined)
    report.addOnce('replaced', at, `data list ${show(source.list ?? null)}`, `${fallback}, which is there`)
  const root = isResolved(source.root) ? source.root : undefined
  tellOf(path, mmar, at, 'data list', report)
  if (root !== undefined) tellOf(root, mmar, at, 'folder of the data', report)
  inspect(resolve(mmar.root, path), resolve(mmar.root, root ?? '.'), at, report)
  return {
    list: written(path, mmar, out),
    // Without one, Clara takes paths as they are, from the MMAR.
    root: written(root ?? '.', mmar, out),
  }
}

function isResolved(text: string | undefined): text is string {
  return text !== undefined && text !== '' && !/\{[A-Za-z_]\w*\}/.test(text)
}

function written(path: string, mmar: Mmar, out: string): string {
  if (isAbsolute(path)) return path
  const found = relative(out, resolve(mmar.root, path)) || '.'
  return sep === '/' ? found : found.split(sep).join('/')
}

function tellOf(path: string, mmar: Mmar, at: Place, what: string, report: Report): void {
  const absolute = resolve(mmar.root, path)
  if (!existsSync(absolute))
    report.addOnce(
      'check',
      at,
      `${what} ${path}`,
      'kept as it is, but it does not exist here; change "dataset" in the definitions, or import with --set',
    )
  else if (!isAbsolute(path) && !isInside(mmar.root, absolute))
    report.addOnce('check', at, `${what} ${path}`, `it leads out of the MMAR, to ${absolute}`)
  else report.addOnce('taken', at, `${what} ${path}`, 'dataset')
}

/** Counts the cases, and names files that are not below the data's folder. */
function inspect(path: string, root: string, at: Place, report: Report): void {
  let content: Json | undefined
  try {
    content = readJsonFile(path, path, maxListBytes)?.value
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    report.addOnce('refused', at, 'data list', messageOf(error))
    return
  }
  if (content === undefined) return
  if (!isObject(content)) {
    report.addOnce(
      'refused',
      at,
      'data list',
      `${path}: expected an object with "training", "validation", "testing", found ${show(content)}`,
    )
    return
  }
  const sections = ['training', 'validation', 'testing'].flatMap(name => {
    const cases = field(content, name)
    return Array.isArray(cases) && cases.length > 0 ? [`${cases.length} ${name}`] : []
  })
  if (sections.length > 0) report.addOnce('taken', at, 'cases of the list', sections.join(', '))
  else report.addOnce('check', at, 'cases of the list', 'none in training, validation or testing; correct the list')
  const outside = filesOf(content).filter(({ file }) => !isAbsolute(file) && !isInside(root, resolve(root, file)))
  const [first] = outside
  if (first)
    report.addOnce(
      'refused',
      { file: path, pointer: first.pointer },
      first.file,
      `leads out of the folder of the data, as do ${outside.length - 1} others; correct the list before you use it`,
    )
}

function filesOf(content: JsonObject): { pointer: string; file: string }[] {
  return Object.entries(content).flatMap(([section, cases]) =>
    Array.isArray(cases)
      ? cases.flatMap((found: Json, i) =>
          Object.entries(isObject(found) ? found : { image: found })
            .filter((entry): entry is [string, string] => typeof entry[1] === 'string' && /[\\/]/.test(entry[1]))
            .map(([key, file]) => ({ pointer: `/${section}/${i}/${key}`, file })),
        )
      : [],
  )
}
