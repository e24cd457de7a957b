/** A section of a configuration: its components by name, and what both training and evaluation sections have. */

import { show } from '../../pipeline/problems.ts'
import { Args, componentAt, componentsAt, type Component } from './component.ts'
import { escaped, field, isPart, placeIn, type Json, type JsonFile, type JsonObject, type Place } from './json.ts'
import { readCode } from './inference.ts'
import type { Report } from './report.ts'

export class Section {
  readonly file: JsonFile
  readonly pointer: string
  readonly value: JsonObject
  readonly report: Report
  readonly #read = new Set<string>()

  constructor(file: JsonFile, pointer: string, value: JsonObject, report: Report) {
    this.file = file
    this.pointer = pointer
    this.value = value
    this.report = report
  }

  at(name: string): Place {
    return placeIn(this.file, this.#pointerOf(name))
  }

  raw(name: string): Json | undefined {
    this.#read.add(name)
    return field(this.value, name)
  }

  component(name: string, referable: readonly Component[] = []): Component | undefined {
    return componentAt(this.file, this.raw(name), this.#pointerOf(name), this.report, referable)
  }

  /** A list of components; `report` may be another than the section's own. */
  components(name: string, referable: readonly Component[] = [], report: Report = this.report): Component[] {
    return componentsAt(this.file, this.raw(name), this.#pointerOf(name), report, referable)
  }

  skip(...names: readonly string[]): void {
    for (const name of names) this.#read.add(name)
  }

  /** Reports the parts that nobody has read; those that are plain values are variables, not parts. */
  done(): void {
    for (const [name, value] of Object.entries(this.value)) {
      if (this.#read.has(name) || !isPart(value)) continue
      this.report.add('refused', this.at(name), show(value), `a part called "${name}" is not known`)
    }
  }

  #pointerOf(name: string): string {
    return `${this.pointer}/${escaped(name)}`
  }
}

/** What a section says of its cases. Paths as they are written. */
export interface CaseSource {
  readonly list?: string
  readonly root?: string
  readonly key?: string
  /** Cases in flight, where the number is given. */
  readonly parallel: number
  readonly cached: boolean
}

/** Loaders read ahead by threads or processes there; 64 is the most here. */
const mostParallel = 64

/** The component "dataset": caches are one stage here, whose size follows from "memory". */
export function readDataset(section: Section): CaseSource {
  const component = section.component('dataset')
  if (!component) return { parallel: 2, cached: false }
  const { report } = section
  const args = new Args(component, report)
  const text = (name: string): string | undefined => {
    const value = field(component.attributes, name)
    if (value === undefined || typeof value === 'string') return value
    report.add(
      'refused',
      placeIn(component.file, `${component.pointer}/${name}`),
      name,
      `expected a text, found ${show(value)}`,
    )
    return undefined
  }
  const workers = args.number(2, 'num_workers', 'num_init_workers')
  const parallel = Math.min(mostParallel, Math.max(1, Math.trunc(workers)))
  args.skip('transform', 'data', 'progress', 'copy_cache', 'as_contiguous', 'hash_as_key', 'hash_func', 'runtime_cache')
  args.skip('num_replace_workers', 'pickle_module', 'pickle_protocol', 'hash_transform', 'reset_ops_id')
  const cached = component.name !== 'Dataset'
  switch (component.name) {
    case 'Dataset':
      args.say('taken', 'cases are read when they are needed')
      break
    case 'CacheDataset':
      args.skip('cache_rate', 'cache_num')
      args.say(
        'replaced',
        `cache, which holds as much as "memory" allows: no cache_rate to choose, the numbers stay; ${parallel} cases in flight`,
      )
      break
    case 'PersistentDataset':
    case 'CacheNTransDataset':
    case 'LMDBDataset':
      args.skip('cache_dir', 'cache_n_trans', 'db_name', 'lmdb_kwargs')
      args.say('replaced', `cache in memory, as much as "memory" allows, in the place of one on disk; the numbers stay`)
      break
    case 'SmartCacheDataset':
      args.skip('cache_rate', 'cache_num', 'replace_rate', 'shuffle', 'seed')
      args.say(
        'replaced',
        'cache; an epoch has all cases here, where SmartCacheDataset gives it a part of them: there are more steps in an epoch',
      )
      break
    default:
      args.reject('this data set is not known here; cases come from the list, and the stage cache keeps them')
  }
  args.done()
  const [list, root, key] = ['data_list_file_path', 'data_file_base_dir', 'data_list_key'].map(text)
  return {
    ...(list !== undefined && { list }),
    ...(root !== undefined && { root }),
    ...(key !== undefined && { key }),
    parallel,
    cached,
  }
}

/** Cases in a batch, before they are cut into patches. */
export function readDataLoader(section: Section, task: 'train' | 'other'): number {
  const component = section.component('dataloader')
  if (!component) return 1
  const args = new Args(component, section.report)
  args.skip('dataset', 'num_workers', 'pin_memory', 'persistent_workers', 'prefetch_factor', 'timeout', 'collate_fn')
  args.expect('drop_last', [false], 'the last batch of an epoch may be smaller here')
  const size = args.number(1, 'batch_size')
  const shuffle = args.boolean(false, 'shuffle')
  if (task === 'other') args.say('unneeded', 'cases go one by one')
  else if (!shuffle) args.refuse('shuffle', 'not true; the order of training cases is drawn in every epoch here')
  args.done()
  return size
}

/** The metric that chooses the best weights, and others. Only Dice without the background means the same here. */
export function readMetrics(section: Section, classes: number): void {
  const { report } = section
  const single = ['key_metric', 'key_metrics'].flatMap(name => section.component(name) ?? [])
  const listed = ['metrics', 'additional_metrics'].flatMap(name => section.components(name))
  const isKey = (component: Component): boolean =>
    single.includes(component) || field(component.attributes, 'is_key_metric') === true
  for (const component of [...single, ...listed]) {
    const args = new Args(component, report)
    args.skip('device', 'save_details', 'reduction', 'num_classes')
    const picks = readCode(args, 'output_transform')
    if (component.name === 'MeanDice') {
      if (picks && !(picks.some(name => name.startsWith('pred')) && picks.includes('label')))
        args.refuse('output_transform', `expected the prediction and the label, found ${picks.join(', ')}`)
      dice(args, classes)
    } else if (isKey(component)) args.reject('the best weights are chosen by Dice here')
    else args.say('unneeded', 'not computed; Dice, IoU, sensitivity, precision and volumes are')
    args.done()
  }
}

function dice(args: Args, classes: number): void {
  if (args.boolean(true, 'include_background'))
    args.refuse(
      'include_background',
      'true; the background is left out here, so the figures differ, and the best weights may',
    )
  if (classes > 2) args.say('refused', `Dice is that of class 1 here, where ${classes - 1} classes are averaged there`)
  else args.say('taken', 'dice {"emptyRule": "monai"}: cases without lesion in the reference are left out')
}
