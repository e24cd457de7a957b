/** An MMAR's folder in; definitions, weights and a report out. */

import { writeFile } from 'node:fs/promises'
import { join, resolve as absolute } from 'node:path'
import { segresnetParameters, type SegresnetOptions } from '../../model/segresnet.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { writeFolder } from '../write-folder.ts'
import { writeCheckpoint } from '../../stages/index.ts'
import { caseList, type CaseList } from './cases.ts'
import { fillIn, tellOfScripts, type Configurations } from './configurations.ts'
import {
  definitionOf,
  isSound,
  stagesOfEvaluation,
  stagesOfValidation,
  type Draft,
  type TaskName,
} from './definitions.ts'
import { readEvaluation } from './evaluation.ts'
import { openMmar, type Mmar, type MmarChoice } from './folder.ts'
import { formatJson, placeIn, type JsonFile } from './json.ts'
import { isPublished } from './published.ts'
import { Report, showLine, summary, type ReportLine } from './report.ts'
import type { CaseSource } from './section.ts'
import { readTraining, type Training } from './training.ts'
import type { Resolved } from './variables.ts'
import { chooseNetwork, readWeights, weightsName, type WeightsOptions } from './weights.ts'

export type { ImportedCheckpoint } from './weights.ts'

export interface MmarOptions extends MmarChoice, WeightsOptions {
  /** The folder to write to; default: the MMAR's name in the current folder. */
  readonly out?: string
  /** Replace files that are there. */
  readonly force?: boolean
}

export interface MmarReport {
  readonly mmar: string
  /** Absolute. */
  readonly out: string
  /** Names of what was written to `out`. */
  readonly files: readonly string[]
  /** False when something could not be taken. */
  readonly complete: boolean
  readonly weights: { readonly tensors: number; readonly published: boolean } | null
  readonly lines: readonly ReportLine[]
}

/**
 * Imports an MMAR. All files are written or none; each definition passes `loadDefinition`. Throws a PipelineError, with the
 * lines so far in `facts.lines`, when nothing of use can be written.
 */
export async function importMmar(dir: string, options: MmarOptions): Promise<MmarReport> {
  const report = new Report()
  try {
    return await imported(dir, options, report)
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error
    throw new PipelineError(error.code, error.message, { ...error.facts, lines: report.sorted }, { cause: error })
  }
}

async function imported(dir: string, options: MmarOptions, report: Report): Promise<MmarReport> {
  const mmar = openMmar(dir, options)
  const out = outFolder(mmar, options.out)
  const configurations = fillIn(mmar, options.set ?? [], report)
  const training = configurations.train && readTraining(configurations.train, report)
  if (configurations.train && !training)
    report.add(
      'refused',
      placeIn(configurations.train, '/train'),
      'train',
      'expected a section with a "model"; there is none',
    )
  const checkpoint = await readWeights(mmar, configurations.environment, options, report)
  const network = chooseNetwork(mmar, training, checkpoint, report)
  const drafts = draftsOf(mmar, out, configurations, training, network, checkpoint !== undefined, report)
  tellOfScripts(mmar, configurations.train, report)

  const definitions = drafts
    .map(draft => [`${draft.task}.json`, definitionOf(draft)] as const)
    .filter(([name, value]) => isSound(name, value, out, report))
  if (definitions.length === 0 && !checkpoint)
    throw new PipelineError(
      'ERR_DEFINITION',
      `${dir}: expected a training, an inference or weights, found none that can be used here: see the lines of the report`,
      { dir },
    )
  const files = [
    ...definitions.map(([name]) => name),
    ...(checkpoint ? [weightsName] : []),
    'import-report.txt',
    'import-report.json',
  ]
  const result: MmarReport = {
    mmar: mmar.name,
    out,
    files,
    complete: report.complete,
    weights: checkpoint ? { tensors: checkpoint.tensors.size, published: isPublished(checkpoint.tensors) } : null,
    lines: report.sorted,
  }
  await writeFolder(out, files, options.force ?? false, async folder => {
    for (const [name, value] of definitions) await writeFile(join(folder, name), asText(value))
    if (checkpoint)
      await writeCheckpoint(join(folder, weightsName), checkpoint.tensors, {
        network,
        importedFrom: `${mmar.name}/${checkpoint.name}`,
      })
    await writeFile(join(folder, 'import-report.txt'), `${reportLines(result).join('\n')}\n`)
    await writeFile(join(folder, 'import-report.json'), asText(result))
  })
  return result
}

function asText(value: unknown): string {
  return `${formatJson(value)}
`
}

/** The report for people. */
export function reportLines({ mmar, out, files, lines, complete }: Omit<MmarReport, 'weights'>): string[] {
  return [
    `${mmar}: ${summary(lines)}`,
    ...lines.map(showLine),
    ...(complete
      ? []
      : ['INCOMPLETE: the lines "COULD NOT" say what is missing; definitions differ from the MMAR there']),
    `${out}: ${files.join(', ')}`,
  ]
}

/** The MMAR's name in the current folder; never the MMAR itself, which is somebody else's. */
function outFolder({ name, root }: Mmar, out: string | undefined): string {
  const wanted = absolute(out ?? name)
  return out === undefined && wanted === root ? `${wanted}-ctflow` : wanted
}

/** The definitions that the MMAR gives, before they are checked. */
function draftsOf(
  mmar: Mmar,
  out: string,
  { train, validation, inference }: Configurations,
  training: Training | undefined,
  network: SegresnetOptions,
  hasWeights: boolean,
  report: Report,
): Draft[] {
  const casesOf = (source: CaseSource, file: JsonFile): CaseList =>
    caseList(source, mmar, out, placeIn(file, train === file ? '/train/dataset' : '/dataset'), report)
  const common = { network, weights: hasWeights ? weightsName : 'runs/train/best.safetensors' }
  const drafts: Draft[] = []
  const describe = (from: string): string =>
    `Imported from ${from} of the MMAR ${mmar.name}; import-report.txt says what became of each part.`
  if (train && training) {
    const startsFrom = hasWeights && isSameShape(network, training.network)
    drafts.push({
      task: 'train',
      description: describe(train.name),
      ...(training.seed !== undefined && { seed: training.seed }),
      cases: casesOf(training.cases, train),
      network: training.network,
      ...(training.fromCheckpoint && startsFrom && { weights: weightsName }),
      stages: training.stages,
    })
    if (training.fromCheckpoint && !startsFrom)
      report.add(
        'refused',
        placeIn(train, '/train/handlers'),
        'CheckpointLoader',
        hasWeights
          ? 'the weights belong to another network than the one to be trained'
          : 'there are no weights to start from',
      )
  }
  const ofTraining = training && stagesOfValidation(training)
  for (const [task, file] of [
    ['infer', inference],
    ['evaluate', validation],
  ] as const satisfies readonly (readonly [TaskName, Resolved | undefined])[]) {
    const evaluation = file && readEvaluation(file, network.outChannels, report)
    if (file && !evaluation)
      report.add('refused', placeIn(file, ''), file.name, 'expected "pre_transforms"; there are none')
    if (file && evaluation) {
      const { seed, cases } = evaluation
      drafts.push({
        ...common,
        task,
        description: describe(file.name),
        ...(seed !== undefined && { seed }),
        cases: casesOf(cases, file),
        ...(cases.key !== undefined && { section: cases.key }),
        stages: stagesOfEvaluation(evaluation, task),
      })
      continue
    }
    if (!train || !training || !ofTraining) {
      report.add(
        'check',
        { file: `${task}.json`, pointer: '' },
        `${task}.json`,
        'not written: neither a configuration of its own nor a section "validate" of a training is there',
      )
      continue
    }
    const { cases } = training.validation!
    report.add(
      'taken',
      placeIn(train, '/validate'),
      'validate',
      `${task}.json, as there is no configuration of its own${task === 'evaluate' ? '; its Dice is that of the grid that the network sees' : ''}`,
    )
    drafts.push({
      ...common,
      task,
      description: describe(`the section "validate" in ${train.name}`),
      cases: casesOf(cases, train),
      ...(task === 'evaluate' && cases.key !== undefined && { section: cases.key }),
      stages: ofTraining[task],
    })
  }
  return drafts
}

/** True for networks that take the same weights. */
function isSameShape(a: SegresnetOptions, b: SegresnetOptions): boolean {
  return JSON.stringify(segresnetParameters(a)) === JSON.stringify(segresnetParameters(b))
}
