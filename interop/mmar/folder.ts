/** What lies in an MMAR's folder, and whether it is one. */

import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { PipelineError } from '../../pipeline/errors.ts'
import { field, isObject, placeIn, readJsonFile, showPlace, type Json, type JsonFile } from './json.ts'
import { readScripts, type Script } from './scripts.ts'

export interface Mmar {
  /** The folder's own name. */
  readonly name: string
  /** Absolute. */
  readonly root: string
  readonly train?: JsonFile
  readonly validation?: JsonFile
  readonly inference?: JsonFile
  readonly environment?: JsonFile
  readonly scripts: readonly Script[]
  /** The script whose values are asked for. */
  readonly script?: Script
}

export interface MmarChoice {
  /** The configuration of the training below the MMAR; the script's, or else config/config_train.json. */
  readonly config?: string
  /** A file of commands/, with or without its ending. */
  readonly script?: string
}

/** Reads the configurations. ERR_FILE where the folder is none, ERR_DEFINITION where it holds no MMAR of Clara Train 4. */
export function openMmar(dir: string, { config, script: wanted }: MmarChoice = {}): Mmar {
  const root = resolve(dir)
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
    throw new PipelineError(
      'ERR_FILE',
      `${dir}: expected the folder of an MMAR, found ${existsSync(root) ? 'a file' : 'nothing there'}`,
      { dir },
    )
  const scripts = readScripts(join(root, 'commands'))
  const script = wanted === undefined ? undefined : chosenScript(wanted, scripts, dir)
  const trainConfig = below(config ?? script?.config ?? defaultConfig, root)
  const read = (name: string): JsonFile | undefined => readConfiguration(root, name)
  const [train, validation, inference, environment] = [
    trainConfig,
    'config/config_validation.json',
    'config/config_inference.json',
    'config/environment.json',
  ].map(read)
  if (!train && trainConfig !== defaultConfig)
    throw new PipelineError('ERR_FILE', `${join(dir, trainConfig)}: there is no such file; ${configurations(root)}`, {
      dir,
    })
  if (!train && !validation && !inference) throw noMmar(dir, root)
  return {
    name: basename(root) || 'mmar',
    root,
    ...(train && { train }),
    ...(validation && { validation }),
    ...(inference && { inference }),
    ...(environment && { environment }),
    scripts,
    ...(script && { script }),
  }
}

function chosenScript(wanted: string, scripts: readonly Script[], dir: string): Script {
  const found = scripts.find(({ name }) => name === wanted || name === `${wanted}.sh`)
  const trainings = scripts.filter(isTraining)
  if (found && isTraining(found)) return found
  const names = trainings.map(({ name }) => name).join(', ')
  throw new PipelineError(
    'ERR_DEFINITION',
    `--script ${wanted}: expected a script of ${join(dir, 'commands')} that trains${names === '' ? '; there is none' : `, one of ${names}`}`,
    { script: wanted },
  )
}

/** True for a script that overrides values of a training's configuration. */
export function isTraining({ config, overrides }: Script): boolean {
  return overrides.length > 0 && (config === undefined || basename(config).startsWith('config_train'))
}

/** A configuration by its path below the MMAR, or by its name in config/. */
function below(config: string, root: string): string {
  return config.includes('/') || existsSync(join(root, config)) ? config : `config/${config}`
}

const defaultConfig = 'config/config_train.json'

function readConfiguration(root: string, name: string): JsonFile | undefined {
  const file = readJsonFile(join(root, name), name)
  if (!file) return undefined
  if (!isObject(file.value))
    throw new PipelineError(
      'ERR_DEFINITION',
      `${showPlace(placeIn(file, ''))}: expected an object, found ${Array.isArray(file.value) ? 'a list' : file.value === null ? 'null' : typeof file.value}`,
      { file: name },
    )
  const bundle = bundleMark(file.value, '')
  if (bundle !== undefined) throw isBundle(showPlace(placeIn(file, bundle)))
  return file
}

/** Where the grammar of MONAI Bundles shows: "_target_", or expressions that begin with "$". */
function bundleMark(value: Json, pointer: string): string | undefined {
  if (typeof value === 'string') return value.startsWith('$') ? pointer : undefined
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const mark = bundleMark(item as Json, `${pointer}/${i}`)
      if (mark !== undefined) return mark
    }
    return undefined
  }
  if (!isObject(value)) return undefined
  if (field(value, '_target_') !== undefined) return `${pointer}/_target_`
  for (const [name, item] of Object.entries(value)) {
    const mark = bundleMark(item, `${pointer}/${name}`)
    if (mark !== undefined) return mark
  }
  return undefined
}

function isBundle(where: string): PipelineError {
  return new PipelineError(
    'ERR_DEFINITION',
    `${where}: expected the configuration of an MMAR (Clara Train 4), found a MONAI Bundle; its expressions are Python, which is never evaluated here: import its weights alone (run-pipeline import models/model.pt), and write the stages by hand, for example from fixtures/pipelines/clara-covid19-lesion.json`,
    { where },
  )
}

function noMmar(dir: string, root: string): PipelineError {
  if (existsSync(join(root, 'configs'))) return isBundle(join(dir, 'configs'))
  return new PipelineError(
    'ERR_DEFINITION',
    `${dir}: expected the folder of an MMAR with config/config_train.json, found no configuration there; ${configurations(root)}`,
    { dir },
  )
}

/** Which configurations there are, as a cure. */
export function configurations(root: string): string {
  let names: string[] = []
  try {
    names = readdirSync(join(root, 'config')).filter(name => /^config_.*\.json$/.test(name))
  } catch {
    // There is no such folder: then there is nothing to name.
  }
  const trainings = names.filter(name => name.startsWith('config_train'))
  return trainings.length === 0
    ? 'give the folder that holds config/, models/ and commands/'
    : `choose one with --config: ${trainings.join(', ')}`
}

/** True for a path below the folder, or the folder itself. */
export function isInside(root: string, path: string): boolean {
  const below = relative(root, path)
  return below === '' || (!below.startsWith('..') && resolve(root, below) === path)
}
