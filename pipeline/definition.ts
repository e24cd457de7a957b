/** From a JSON file to a definition that can run: parsed, overridden, validated, defaults filled in, paths made absolute. */

import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import { dataset as datasetSchema, envelope, report as reportSchema } from '../schemas/envelope.ts'
import { agreements, networks, stageOf, stages } from '../stages/index.ts'
import { readDefinitionFile } from './definition-file.ts'
import { dryContext } from './dry-context.ts'
import { engineProblems } from './engine-options.ts'
import type { Random, Transform } from './stage.ts'
import type { FromSchema } from 'json-schema-to-ts'
import { codeOf, messageOf, PipelineError } from './errors.ts'
import { applyOverrides } from './overrides.ts'
import { problemsOf, type Problem } from './problems.ts'
import { checkOrder } from './order.ts'
import { absoluteReport, fileProblems, reportProblems } from './report-options.ts'

export type Task = 'train' | 'infer' | 'evaluate'
export type StageOptions = { readonly kind: string } & Readonly<Record<string, unknown>>
export type DataSetOptions = FromSchema<typeof datasetSchema>
export type ReportOptions = FromSchema<typeof reportSchema>
export type NetworkOptions = { readonly kind: string; readonly weights?: string } & Readonly<Record<string, unknown>>

/** A definition after validation: every default is there, every path absolute. */
export interface Definition {
  readonly task: Task
  readonly description?: string
  readonly seed: number
  readonly memory: string | number
  readonly engine: {
    readonly backend: string
    readonly precision: string
    readonly threads: number | 'auto'
    readonly adapter?: string
    readonly gpuMemory?: string | number
  }
  readonly dataset: DataSetOptions
  readonly network?: NetworkOptions
  readonly stages: readonly StageOptions[]
  readonly output: string
  readonly report: ReportOptions
  /** Rules by figure, such as `dice.mean`. */
  readonly gates: Readonly<Record<string, string>>
  readonly healthCheck?: string
  readonly onError: 'continue' | 'stop'
  readonly random: Random['mode']
}

/** The schema of a whole definition: the envelope with every stage and network in it. Checked in for editors. */
export function definitionSchema(): Record<string, unknown> {
  const weights = { type: 'string', minLength: 1, description: 'a checkpoint (.safetensors) to start from' }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'ctflow pipeline definition',
    ...envelope,
    properties: {
      ...envelope.properties,
      network: {
        type: 'object',
        description: envelope.properties.network.description,
        required: ['kind'],
        discriminator: { propertyName: 'kind' },
        oneOf: networks.map(schema => ({
          ...schema,
          required: requiredWithKind(schema),
          properties: { ...schema.properties, weights },
        })),
      },
      stages: {
        ...envelope.properties.stages,
        items: {
          type: 'object',
          required: ['kind'],
          discriminator: { propertyName: 'kind' },
          oneOf: stages.map(({ schema }) => ({ ...schema, required: requiredWithKind(schema) })),
        },
      },
    },
  }
}

function requiredWithKind(schema: { readonly required?: readonly string[] }): string[] {
  return [...new Set(['kind', ...(schema.required ?? [])])]
}

let compiled: ValidateFunction | undefined

function validator(): ValidateFunction {
  if (!compiled) {
    const ajv = new Ajv({
      verbose: true,
      discriminator: true,
      useDefaults: true,
      allErrors: true,
      strict: true,
      strictRequired: false,
      allowUnionTypes: true,
    })
    const { $schema: _, ...schema } = definitionSchema()
    compiled = ajv.compile(schema)
  }
  return compiled
}

/**
 * Reads, overrides and validates a definition. Throws ERR_DEFINITION whose message lists every problem with its JSON
 * path and line; nothing has been run or written then.
 */
export function loadDefinition(file: string, overrides: readonly string[] = []): Definition {
  const path = resolve(file)
  const { value, lineOf } = readDefinitionFile(path)
  return validateDefinition(applyOverrides(value as never, overrides), dirname(path), { name: file, lineOf })
}

/** The same for a value already in memory; `folder` is what its relative paths are relative to. */
export function validateDefinition(
  value: unknown,
  folder: string,
  source: { name: string; lineOf(pointer: string): number | undefined } = {
    name: 'definition',
    lineOf: () => undefined,
  },
): Definition {
  const definition = structuredClone(value)
  const validate = validator()
  const problems: Problem[] = validate(definition)
    ? semanticProblems(definition as Definition)
    : problemsOf(validate.errors ?? [], definition)
  if (problems.length > 0) {
    const lines = problems.map(({ path, message }) => {
      const line = source.lineOf(path)
      return `  ${path || '/'}${line === undefined ? '' : ` (line ${line})`}: ${message}`
    })
    throw new PipelineError('ERR_DEFINITION', `${source.name} is refused:\n${lines.join('\n')}`, {
      file: source.name,
      problems,
    })
  }
  return absolute(definition as Definition, folder)
}

/** What the schema cannot say: one source of cases, a network where one is needed, stages that fit together. */
function semanticProblems(definition: Definition): Problem[] {
  const problems: Problem[] = []
  const { dataset, task } = definition
  const sources = (['list', 'directory', 'files', 'phantoms'] as const).filter(name => dataset[name] !== undefined)
  if (sources.length !== 1) {
    const found = sources.length === 0 ? 'none of them' : sources.join(' and ')
    problems.push({
      path: '/dataset',
      message: `expected exactly one of list, directory, files, phantoms; found ${found}`,
    })
  }
  for (const name of ['directory', 'files'] as const) {
    if (dataset[name] === undefined || task !== 'train') continue
    const message = `${name === 'files' ? 'files have' : 'a directory has'} no labels: training needs a "list" or "phantoms"`
    problems.push({ path: `/dataset/${name}`, message })
  }
  for (const name of ['include', 'exclude'] as const) {
    if (dataset[name] === undefined || dataset.directory !== undefined) continue
    problems.push({ path: `/dataset/${name}`, message: 'patterns choose from a "directory", and there is none' })
  }
  const kinds = definition.stages.map(({ kind }) => kind)
  const needsNetwork = kinds.includes('train') || kinds.includes('infer')
  if (needsNetwork && !definition.network)
    problems.push({ path: '', message: 'the field "network" is missing; stages train and infer need one' })
  if (kinds.includes('infer') && definition.network && !definition.network.weights) {
    problems.push({ path: '/network', message: 'the field "weights" is missing: infer needs a trained network' })
  }
  // A list may name masks itself: that shows when it is read.
  if (comparesMasks(definition) && dataset.predictions === undefined && dataset.list === undefined) {
    problems.push({
      path: '/dataset',
      message:
        'nothing to evaluate: name the folder of masks with "predictions", or run the network with the stage "infer"',
    })
  }
  problems.push(...checkOrder(task, definition.stages), ...agreements(definition), ...reportProblems(definition))
  problems.push(...healthCheckProblems(definition), ...engineProblems(definition))
  return problems.length > 0 ? problems : stageProblems(definition)
}

/** Messages do not repeat the URL: whoever knows it can send in our name. */
function healthCheckProblems({ healthCheck }: Definition): Problem[] {
  if (healthCheck === undefined) return []
  const path = '/healthCheck'
  if (!URL.canParse(healthCheck))
    return [{ path, message: 'expected a URL such as https://hc-ping.com/<uuid>, found one that cannot be read' }]
  const { username, password } = new URL(healthCheck)
  if (username === '' && password === '') return []
  return [{ path, message: 'expected a URL without user name and password, which cannot be sent; leave them out' }]
}

/** Whether masks are compared that others have made. */
export function comparesMasks({ task, stages }: Pick<Definition, 'task' | 'stages'>): boolean {
  return task === 'evaluate' && !stages.some(({ kind }) => kind === 'infer')
}

const unchanged: Transform = source => source

/** What a stage itself refuses, before any data flow. */
function stageProblems({ stages, random }: Definition): Problem[] {
  const dry = dryContext(random)
  return stages.flatMap((stage, i) => {
    try {
      stageOf(stage.kind).create(stage, dry, { flow: unchanged, stages: stages.slice(0, i) })
      return []
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      return [{ path: `/stages/${i}`, message: messageOf(error) }]
    }
  })
}

/**
 * Refuses a definition that names files or folders which are not there, or one where the other is expected; `definition` has
 * absolute paths. Cases' files are judged one by one.
 */
export function checkFiles(definition: Definition): void {
  const { dataset, network } = definition
  const named: readonly (readonly [pointer: string, path: string | undefined, expected: 'file' | 'folder'])[] = [
    ['/network/weights', network?.weights, 'file'],
    ['/dataset/list', dataset.list, 'file'],
    ['/dataset/root', dataset.root, 'folder'],
    ['/dataset/directory', dataset.directory, 'folder'],
    ['/dataset/predictions', dataset.predictions, 'folder'],
    ['/dataset/lungs', dataset.lungs, 'folder'],
  ]
  const missing = named.filter(([, path]) => path !== undefined && !existsSync(path))
  const others = named.flatMap(([pointer, path, expected]) => {
    const found = path === undefined || !existsSync(path) ? expected : kindOf(path)
    return found === expected ? [] : [`  ${pointer}: ${path}: expected a ${expected}, found a ${found}`]
  })
  const lines = [
    ...missing.map(([pointer, path]) => `  ${pointer}: ${path}: there is no such file or folder`),
    ...others,
    ...fileProblems(definition).map(problem => `  ${problem}`),
  ]
  if (lines.length === 0) return
  throw new PipelineError('ERR_DEFINITION', `the definition is refused:\n${lines.join('\n')}`, {
    missing: missing.map(([, path]) => path),
  })
}

function kindOf(path: string): 'file' | 'folder' | 'device' {
  const status = statSync(path)
  return status.isFile() ? 'file' : status.isDirectory() ? 'folder' : 'device'
}

function absolute(definition: Definition, folder: string): Definition {
  const at = (path: string): string => resolve(folder, path)
  const { dataset, network } = definition
  return {
    ...definition,
    output: at(definition.output),
    report: absoluteReport(definition.report, at),
    dataset: {
      ...dataset,
      ...(dataset.list !== undefined && { list: at(dataset.list) }),
      ...(dataset.root !== undefined && { root: at(dataset.root) }),
      ...(dataset.directory !== undefined && { directory: at(dataset.directory) }),
      ...(dataset.files !== undefined && filesBelow(at(dataset.root ?? '.'), dataset.files)),
      ...(dataset.predictions !== undefined && { predictions: at(dataset.predictions) }),
      ...(dataset.lungs !== undefined && { lungs: at(dataset.lungs) }),
      ...(dataset.phantoms?.folder !== undefined && {
        phantoms: { ...dataset.phantoms, folder: at(dataset.phantoms.folder) },
      }),
    },
    stages: definition.stages.map(stage => withAbsolutePaths(stage, at)),
    ...(network && { network: { ...network, ...(network.weights !== undefined && { weights: at(network.weights) }) } }),
  }
}

/** Single files are named after their place below the root. */
function filesBelow(root: string, files: readonly string[]): Pick<DataSetOptions, 'root' | 'files'> {
  return { root, files: files.map(path => resolve(root, path)) }
}

/** A stage's options with the paths in them made absolute; its `paths` say where they are. */
function withAbsolutePaths(stage: StageOptions, at: (path: string) => string): StageOptions {
  const changed = structuredClone(stage) as Record<string, unknown> & StageOptions
  for (const path of stageOf(stage.kind).paths ?? []) {
    const holder = path.slice(0, -1).reduce<unknown>((value, name) => (value as Fields | undefined)?.[name], changed)
    const name = path.at(-1)!
    const value = (holder as Fields | undefined)?.[name]
    if (typeof value === 'string') (holder as Fields)[name] = at(value)
  }
  return changed
}

type Fields = Record<string, unknown>
