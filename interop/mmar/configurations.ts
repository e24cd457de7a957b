/** The configurations of an MMAR with their placeholders filled in, and where the values came from. */

import { PipelineError } from '../../pipeline/errors.ts'
import { show } from '../../pipeline/problems.ts'
import { isTraining, type Mmar } from './folder.ts'
import { field, isObject, placeIn, sameJson, type Json, type JsonFile, type JsonObject, type Place } from './json.ts'
import { nearName } from './names.ts'
import type { Report } from './report.ts'
import {
  assignmentOf,
  globalsOf,
  resolve,
  valueOfVariable,
  variablesFrom,
  type Resolved,
  type Variables,
} from './variables.ts'

/** What these variables are in every MMAR that says nothing else. */
const usualSource = 'the usual value'
const usual: readonly [string, Json][] = [
  ['DATASET_JSON', 'config/dataset_0.json'],
  ['PROCESSING_TASK', 'segmentation'],
  ['MMAR_EVAL_OUTPUT_PATH', 'eval'],
  ['MMAR_CKPT_DIR', 'models'],
  ['MMAR_CKPT', 'models/model.pt'],
  ['MMAR_TORCHSCRIPT', 'models/model.ts'],
]

export interface Configurations {
  readonly train?: Resolved
  readonly validation?: Resolved
  readonly inference?: Resolved
  /** Values of variables that belong to no one configuration. */
  readonly environment: (name: string) => string | undefined
}

/** Every configuration with its placeholders filled in; reports where their values come from. */
export function fillIn(mmar: Mmar, set: readonly string[], report: Report): Configurations {
  const assignments = set.map(assignmentOf)
  const environment = mmar.environment ? [...globalsOf(mmar.environment)] : []
  const files = [mmar.train, mmar.validation, mmar.inference].filter(file => file !== undefined)
  refuseStrangers(assignments, files, environment)
  const variablesOf = (file: JsonFile | undefined): Variables =>
    variablesFrom(
      [usualSource, usual],
      ...(file ? [[file.name, globalsOf(file)] as const] : []),
      ['config/environment.json', environment],
      ...(mmar.script && file === mmar.train ? [[`commands/${mmar.script.name}`, mmar.script.overrides] as const] : []),
      ['--set', assignments],
    )
  const fill = (file: JsonFile | undefined): Resolved | undefined => {
    if (!file) return undefined
    const variables = variablesOf(file)
    const resolved = resolve(overridden(file, variables), variables)
    for (const name of resolved.used) tellOfVariable(name, variables, file, mmar, report)
    for (const { pointer, name, near } of resolved.unknown) {
      const hint = near === undefined ? '' : `; did you mean {${near}}?`
      report.add(
        'refused',
        placeIn(file, pointer),
        `{${name}}`,
        `has no value${hint}; give it one with --set ${name}=VALUE`,
      )
    }
    return withoutReferences(resolved, report)
  }
  const [train, validation, inference] = [mmar.train, mmar.validation, mmar.inference].map(fill)
  const shared = variablesOf(undefined)
  return {
    ...(train && { train }),
    ...(validation && { validation }),
    ...(inference && { inference }),
    environment(name) {
      const value = valueOfVariable(
        name,
        shared,
        mmar.environment ?? { name: 'environment', value: {}, lineOf: () => undefined },
      )
      return typeof value === 'string' && value !== '' ? value : undefined
    },
  }
}

/** The file with the values of its first level as the later sources have them: settings such as multi_gpu are read there. */
function overridden(file: JsonFile, variables: Variables): JsonFile {
  if (!isObject(file.value)) return file
  const values = globalsOf(file).map(([name]) => [name, variables.get(name)!.value] as const)
  return { ...file, value: { ...file.value, ...Object.fromEntries(values) } }
}

/** A name that nothing asks for is a typo. */
function refuseStrangers(
  assignments: readonly (readonly [string, Json])[],
  files: readonly JsonFile[],
  environment: readonly (readonly [string, Json])[],
): void {
  const asked = files.flatMap(file =>
    [...JSON.stringify(file.value).matchAll(/\{([A-Za-z_]\w*)\}/g)].map(([, name]) => name!),
  )
  const names = [...files.flatMap(globalsOf), ...environment, ...usual].map(([name]) => name)
  const known = new Set([...names, ...asked])
  for (const [name] of assignments) {
    if (known.has(name)) continue
    const near = nearName(name, [...known])
    throw new PipelineError(
      'ERR_DEFINITION',
      `--set ${name}: no configuration has a variable of this name; ${near ? `did you mean "${near}"?` : `there are ${[...known].join(', ')}`}`,
      { name },
    )
  }
}

function tellOfVariable(name: string, variables: Variables, file: JsonFile, mmar: Mmar, report: Report): void {
  const { value, source } = variables.get(name)!
  const origin = [file, mmar.environment].find(candidate => candidate?.name === source)
  if (source === usualSource) {
    report.addOnce(
      'check',
      { file: 'config/environment.json', pointer: `/${name}` },
      `{${name}}`,
      `not set; ${show(value)} as in other MMARs`,
    )
    return
  }
  const place: Place = origin ? placeIn(origin, `/${name}`) : { file: source, pointer: '' }
  const own = isObject(file.value) ? field(file.value, name) : undefined
  const over = own !== undefined && source !== file.name ? `, in the place of ${show(own)} in ${file.name}` : ''
  report.addOnce('taken', place, `{${name}}`, `${show(value)}${over}`)
}

/** Clara 4.1: "@name" for a value of the first level is that value; other references are wiring, which is fixed here. */
function withoutReferences(file: Resolved, report: Report): Resolved {
  const globals = new Map(globalsOf(file))
  const wiring = new Set<string>()
  const walk = (value: Json): Json => {
    if (typeof value === 'string' && /^#?@[A-Za-z_]/.test(value)) {
      const name = value.slice(1)
      if (globals.has(name)) return globals.get(name)!
      wiring.add(value)
      return value
    }
    if (Array.isArray(value)) return value.map(walk)
    return isObject(value) ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, walk(item)])) : value
  }
  const value = walk(file.value)
  if (wiring.size > 0)
    report.add(
      'unneeded',
      placeIn(file, ''),
      [...wiring].join(', '),
      'references of Clara 4.1: recognised, not evaluated; who is given to whom is fixed here',
    )
  return { ...file, value }
}

/** For each script of a training that is not taken: which values it would change. */
export function tellOfScripts(mmar: Mmar, train: Resolved | undefined, report: Report): void {
  if (!train || !isObject(train.value)) return
  for (const script of mmar.scripts.filter(isTraining)) {
    const place = { file: `commands/${script.name}`, pointer: '' }
    const isTaken = script === mmar.script
    const known = script.overrides.filter(([name]) => Object.hasOwn(train.value as JsonObject, name))
    const changes = known
      .map(([name, value]) => [name, value, (mmar.train!.value as JsonObject)[name]!] as const)
      .filter(([, value, own]) => !sameJson(value, own))
    const shown = changes.map(([name, value, own]) => `${name}=${show(value)} (configuration: ${show(own)})`).join(', ')
    if (isTaken) report.add('taken', place, '--set of the script', shown || 'the values of the configuration')
    else if (changes.length > 0)
      report.add(
        'check',
        place,
        `sets ${shown}`,
        `not taken: scripts are not run; take these values with --script ${script.name}`,
      )
    if (isTaken && script.dynamic.length > 0)
      report.add('check', place, script.dynamic.join(' '), 'only a shell knows these values; give them with --set')
  }
}
