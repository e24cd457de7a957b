/** What the flow can be made of. A new stage is its file, its test and one line here. */

import type { Flow } from '../pipeline/flow.ts'
import type { Plan, Standing } from '../pipeline/planned.ts'
import type { Context, Transform, Upstream } from '../pipeline/stage.ts'
import { segresnetSchema } from '../model/segresnet.ts'
import { augment } from './augment.ts'
import { batch } from './batch.ts'
import { cache } from './cache.ts'
import { channelFirst } from './channel-first.ts'
import { clip } from './clip.ts'
import { cropForeground } from './crop-foreground.ts'
import { crop } from './crop.ts'
import { dice, scoreNames } from './dice.ts'
import { infer } from './infer.ts'
import { load } from './load.ts'
import { mapLabel } from './map-label.ts'
import { orient } from './orient.ts'
import { pad } from './pad.ts'
import { postprocess } from './postprocess.ts'
import { resample } from './resample.ts'
import { save } from './save.ts'
import { train } from './train.ts'

/** A stage whose options have passed its schema; what they are, only the stage knows. */
export interface AnyStage {
  readonly schema: {
    readonly type: 'object'
    readonly description: string
    readonly required?: readonly string[]
    readonly properties: { readonly kind: { readonly const: string } } & Readonly<Record<string, unknown>>
    readonly examples: readonly Readonly<Record<string, unknown>>[]
  }
  readonly takes: readonly Flow[]
  readonly gives: Flow
  readonly random?: boolean
  readonly wraps?: boolean
  readonly paths?: readonly (readonly string[])[]
  readonly create: (options: never, context: Context, before: Upstream) => Transform
  readonly plan?: (options: never, plan: Plan, facts: { readonly classes: number }) => Plan
  readonly standing?: (options: never, standing: Standing) => Standing
}

/** In the order in which pipelines usually have them. */
export const stages: readonly AnyStage[] = [
  load,
  orient,
  mapLabel,
  channelFirst,
  resample,
  clip,
  cropForeground,
  pad,
  cache,
  crop,
  augment,
  batch,
  train,
  infer,
  postprocess,
  save,
  dice,
]

/** The networks that a definition may name. */
export const networks = [segresnetSchema]

const byKind = new Map(stages.map(stage => [stage.schema.properties.kind.const, stage]))

type ValidOptions = { readonly kind: string } & Readonly<Record<string, unknown>>

/** The stage of a validated kind, ready to be given that kind's options. */
export function stageOf(kind: string): Omit<AnyStage, 'create' | 'plan' | 'standing'> & {
  create(options: ValidOptions, context: Context, before: Upstream): Transform
  plan?(options: ValidOptions, plan: Plan, facts: { readonly classes: number }): Plan
  standing?(options: ValidOptions, standing: Standing): Standing
} {
  const stage = byKind.get(kind)
  if (!stage) throw new Error(`no stage is called "${kind}"`)
  return stage as never
}

export { digitsBeside, gateProblems } from '../report/gates.ts'
export { makeReport, type ReportInput } from '../report/make-report.ts'
export { monitoringText } from '../report/monitoring.ts'
export { evaluationPage, trainingPage } from './page.ts'
export { millilitres } from '../report/page/format.ts'
export type { Picture, Training, ViewerCase } from '../report/page/page.ts'
export { readReport } from '../report/read-report.ts'
export { recordOf } from '../report/record.ts'
export { casesTable } from '../report/table.ts'
export { holdsDicom } from '../imaging/dicom/folder.ts'
export { distribution, distributions, type Distribution } from '../report/distribution.ts'
export { agreements } from './agreements.ts'
export { isOnDisk } from './cache.ts'
export { picturesOf, type Chosen } from './gallery.ts'
export { located } from './lift.ts'
export { fileFacts, openFiles, planLoaded, type FileFacts, type LoadOptions, type OpenedFiles } from './load.ts'
export { openEngineFor, processors, readWeights, writeCheckpoint } from './engine.ts'
export { pauseOf } from './pause.ts'
export { phantomDataSet } from './phantoms.ts'
export { scoreNames }
export { learningRateAt, type TrainOptions } from './train.ts'
export { viewerCases, type Viewed } from './viewer-cases.ts'
