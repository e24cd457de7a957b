/** The section "validate" of a training: what happens to its cases, its windows, its metric. */

import type { SegresnetOptions } from '../../model/segresnet.ts'
import { Chain, essence, shown, type StageValue } from './chain.ts'
import type { Component } from './component.ts'
import { noEnding, readHandlers, readInferer, readMetricTransforms } from './inference.ts'
import { field, isObject, sameJson, type Json, type JsonFile, type JsonObject } from './json.ts'
import { Report } from './report.ts'
import { readDataLoader, readDataset, readMetrics, Section, type CaseSource } from './section.ts'
import { readEvaluator } from './settings.ts'
import { readTransforms } from './transforms.ts'

export interface Validation {
  /** Stages on whole volumes. */
  readonly volumes: readonly StageValue[]
  readonly windows?: JsonObject
  readonly cases: CaseSource
}

/** What of the training its validation refers to. */
export interface Trained {
  readonly pre: readonly Component[]
  readonly post: readonly Component[]
  readonly network: SegresnetOptions
  readonly chain: Chain
}

/** The section "validate". What it does before the network must be what training does before its first draw. */
export function readValidation(
  file: JsonFile,
  root: JsonObject,
  { pre, post, network, chain }: Trained,
  report: Report,
): Validation | undefined {
  const value = field(root, 'validate')
  if (!isObject(value)) return undefined
  const section = new Section(file, '/validate', value, report)
  const transforms = section.components('pre_transforms', pre)
  const own = new Chain()
  for (const { ref, at, written } of transforms) {
    if (ref) report.add('taken', at, `ref ${written}`, `as ${ref.pointer}`)
  }
  // What is only referred to has been reported where it stands.
  const silent = new Report()
  readTransforms(transforms, { chain: own, classes: network.outChannels }, silent)
  report.addAll(
    silent.lines.filter(
      line =>
        !transforms.some(({ ref, at }) => ref && at.pointer === line.pointer) && !isReferred(line.pointer, transforms),
    ),
  )
  const [found, expected] = [essence(own.volumes), essence(chain.volumes)]
  if (!sameJson(found as unknown as Json, expected as unknown as Json))
    report.add(
      'refused',
      section.at('pre_transforms'),
      found.map(shown).join(', '),
      `validation runs what training does before its first draw here: ${expected.map(shown).join(', ')}`,
    )
  const cases = readDataset(section)
  if (cases.key !== undefined && cases.key !== 'validation')
    report.add(
      'refused',
      section.at('dataset'),
      `data_list_key=${cases.key}`,
      'validation takes the section "validation" of the list here',
    )
  readDataLoader(section, 'other')
  const windows = readInferer(section.component('inferer'), report)
  if (windows === undefined && section.raw('inferer') === undefined)
    report.add(
      'refused',
      section.at('inferer'),
      'inferer',
      'there is none; sliding windows with their defaults stand in',
    )
  readHandlers(section.components('handlers'), noEnding(), report)
  const posts = section.components('post_transforms', post)
  readMetricTransforms(
    posts.filter(({ ref }) => !ref),
    report,
  )
  for (const { ref, at, written } of posts) if (ref) report.add('unneeded', at, `ref ${written}`, `as ${ref.pointer}`)
  readMetrics(section, network.outChannels)
  readEvaluator(section)
  section.done()
  return { volumes: own.volumes, ...(windows && { windows }), cases }
}

function isReferred(pointer: string, components: readonly Component[]): boolean {
  return components.some(component => component.ref && pointer.startsWith(`${component.pointer}/`))
}
