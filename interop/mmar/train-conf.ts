/** The configuration that Clara keeps inside a checkpoint, "train_conf": its network, and its pipeline where it is there. */

import type { SegresnetOptions } from '../../model/segresnet.ts'
import { componentAt } from './component.ts'
import type { StageValue } from './chain.ts'
import { stagesOfValidation } from './definitions.ts'
import { escaped, field, isObject, jsonValue, maxDepth, type Json, type JsonObject } from './json.ts'
import { readNetwork } from './network.ts'
import { Report, type ReportLine } from './report.ts'
import { readTraining } from './training.ts'
import { globalsOf, resolve, variablesFrom } from './variables.ts'

export interface TrainConf {
  readonly network: SegresnetOptions
  readonly lines: readonly ReportLine[]
  /** The stages of each task, where train_conf holds the section they follow from. */
  readonly pipeline?: {
    readonly seed?: number
    readonly train: readonly StageValue[]
    readonly infer?: readonly StageValue[]
    readonly evaluate?: readonly StageValue[]
  }
}

/** Values that a train_conf may hold; what lies beyond is not looked at. */
const maxValues = 20_000

/**
 * What a checkpoint's train_conf says. The network is the first component under the key "model", nearest to the top, as
 * MONAI looks for it. `undefined` where there is none; ERR_DEFINITION for a network that cannot be built here. Takes any
 * value and evaluates none.
 */
export function networkFromTrainConf(trainConf: unknown): TrainConf | undefined {
  const raw = jsonValue(plain(trainConf), 'train_conf')
  const file = resolve(raw, variablesFrom(['train_conf', globalsOf(raw)]))
  const pointer = modelPointer(file.value)
  if (pointer === undefined) return undefined
  const report = new Report()
  if (pointer === '/train/model') {
    const training = readTraining(file, report)
    if (training) {
      const { network, stages, seed } = training
      const pipeline = { ...(seed !== undefined && { seed }), train: stages, ...stagesOfValidation(training) }
      const isWhole = stages.some(({ kind }) => kind === 'load')
      return isWhole ? { network, lines: report.lines, pipeline } : { network, lines: networkOnly(report.lines) }
    }
  }
  const component = componentAt(file, valueAt(file.value, pointer), pointer, report)
  if (!component) return undefined
  return { network: readNetwork(component, report), lines: report.lines }
}

/** Of a train_conf that holds a network and no pipeline, what is missing of the pipeline is no news. */
function networkOnly(lines: readonly ReportLine[]): ReportLine[] {
  return lines.filter(({ pointer }) => pointer.startsWith('/train/model'))
}

/** Breadth first: where the first component stands under the key "model". */
function modelPointer(root: Json): string | undefined {
  let level: readonly (readonly [pointer: string, value: Json])[] = [['', root]]
  while (level.length > 0) {
    for (const [pointer, value] of level) {
      if (!isObject(value)) continue
      const model = field(value, 'model')
      if (isObject(model) && ['name', 'path'].some(key => typeof field(model, key) === 'string'))
        return `${pointer}/model`
    }
    level = level.flatMap(([pointer, value]) =>
      childrenOf(value).map(([name, child]) => [`${pointer}/${name}`, child] as const),
    )
  }
  return undefined
}

function childrenOf(value: Json): [string, Json][] {
  if (Array.isArray(value)) return value.map((item: Json, i) => [String(i), item])
  return isObject(value) ? Object.entries(value).map(([name, item]) => [escaped(name), item]) : []
}

function valueAt(root: Json, pointer: string): Json | undefined {
  let value: Json | undefined = root
  for (const part of pointer.split('/').slice(1))
    value = new Map(value === undefined ? [] : childrenOf(value)).get(part)
  return value
}

/** As JSON: maps are objects, what JSON cannot say is null, and so is what lies too deep or is too much. */
function plain(value: unknown): Json {
  let count = 0
  const walk = (value: unknown, depth: number): Json => {
    if (++count > maxValues || depth > maxDepth) return null
    if (typeof value === 'string' || typeof value === 'boolean') return value
    if (typeof value === 'number') return Number.isFinite(value) ? value : null
    if (typeof value === 'bigint') return Number(value)
    if (Array.isArray(value)) return value.map(item => walk(item, depth + 1))
    if (value instanceof Map) return object([...value], depth)
    if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
      return object(Object.entries(value), depth)
    return null
  }
  const object = (entries: readonly (readonly [unknown, unknown])[], depth: number): JsonObject =>
    Object.fromEntries(entries.map(([name, item]) => [String(name), walk(item, depth + 1)]))
  return walk(value, 0)
}
