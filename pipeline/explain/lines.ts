/** An explanation as lines for people, none wider than 100 columns as far as paths allow. */

import { formatBytes } from '../bytes.ts'
import { engineText } from '../engine-text.ts'
import { table, wrapped } from '../text-lines.ts'
import type { Explanation, Outline } from '../explain.ts'
import type { SectionReport, ShapeRange, StageReport } from './sections.ts'
import type { TimePlan } from './time.ts'
import type { StageTransform } from './transforms.ts'

export function outlineLines(outline: Outline): string[] {
  const { task, seed, output, flows, limitBytes, reserves } = outline
  return [
    ...wrapped(`${task}, seed ${seed}, to ${output}`),
    ...engineLines(outline),
    ...flows.flatMap(({ section, stages }) => [
      '',
      `${section}:`,
      ...table(stages.map(stage => ['', stage.kind, stage.operators.join(' '), flowOf(stage)])),
    ]),
    '',
    `memory: ${formatBytes(limitBytes)}`,
    ...table(
      reserves.map(({ what, bytes }) => ['', what, formatBytes(bytes)]),
      [2],
    ),
    ...gpuLines(outline),
    '',
    'valid',
  ]
}

export function explanationLines(explanation: Explanation): string[] {
  const { task, seed, output, dataset, sections, failures, warnings, labels } = explanation
  return [
    ...wrapped(`${task}: ${dataset}`),
    ...wrapped(`seed ${seed}, to ${output}`),
    ...engineLines(explanation),
    ...sections.flatMap((section, i) => ['', ...sectionLines(section, i === 0 ? undefined : sections[0])]),
    '',
    ...memoryLines(explanation),
    ...gpuLines(explanation),
    ...timeLines(explanation),
    ...(labels ? ['', `labels: ${labels.looked} looked at`] : []),
    ...listed(
      'warnings',
      warnings.map(({ message }) => message),
    ),
    ...listed(
      'cases that will fail',
      failures.map(({ reason }) => reason),
    ),
  ]
}

function engineLines({ engine }: Outline): string[] {
  if (!engine) return []
  return [
    ...wrapped(`engine: ${engineText(engine)}; ${engine.parameters.toLocaleString('en')} parameters`),
    ...wrapped(`  ${engine.reason}`),
  ]
}

function sectionLines(section: SectionReport, like: SectionReport | undefined): string[] {
  const { name, cases, failed, stages, files } = section
  const image = files.image ?? files.label
  const head = `${name}: ${cases} case${cases === 1 ? '' : 's'}${failed > 0 ? `, ${failed} of them will fail` : ''}${image ? `, ${shapeText(image)}` : ''}`
  const shared = like ? sharedStages(section, like) : 0
  const rows = stages
    .slice(shared)
    .map(stage => ['', stage.kind, stage.operators.join(' '), gives(stage), bytesText(stage)])
  return [
    ...wrapped(head),
    ...(shared > 0 ? [`  as ${like!.name} up to ${stages[shared - 1]!.kind}, then`] : []),
    ...table(shared > 0 ? rows : [['', 'stage', 'highland', 'gives', 'most bytes'], ...rows], [4]),
  ]
}

/** How many stages two sections begin with alike. */
function sharedStages(section: SectionReport, like: SectionReport): number {
  const differs = section.stages.findIndex((stage, i) => stage.kind !== like.stages[i]?.kind)
  return differs < 0 ? section.stages.length : differs
}

function gives(stage: StageReport): string {
  if (stage.windows) {
    const { shape, perCase } = stage.windows
    return `${rangeText(perCase.least, perCase.most)} window${perCase.most === 1 ? '' : 's'} of ${shape.join(' x ')}`
  }
  if (stage.kind === 'crop' && stage.patch) return `${stage.patch.perCase} patches of ${stage.patch.shape.join(' x ')}`
  if (stage.gives !== 'volume') return flowOf(stage)
  const shape = stage.volumes.image ?? stage.volumes.label ?? stage.volumes.prediction
  return shape ? shapeText(shape) : ''
}

function flowOf({ gives: flow }: StageTransform): string {
  return {
    case: 'files',
    volume: 'volumes',
    patch: 'patches',
    batch: 'batches',
    step: 'steps',
    prediction: 'a mask',
    score: 'metrics',
  }[flow]
}

function bytesText({ bytes }: StageReport): string {
  return bytes ? formatBytes(bytes.most) : ''
}

/** "512 x 512 x 120 to 410". */
function shapeText({ least, most, isExact }: ShapeRange): string {
  const extents = least.map((n, axis) => (isExact ? rangeText(n, most[axis]!) : String(most[axis]!)))
  return `${isExact ? '' : 'at most '}${extents.join(' x ')}`
}

function rangeText(least: number, most: number): string {
  return least === most ? String(least) : `${least} to ${most}`
}

function memoryLines({ memory }: Explanation): string[] {
  const { limitBytes, reserves, roomBytes, largest, casesAtOnce, cache, peakBytes } = memory
  const rows = [
    ...reserves.map(({ what, bytes }) => ['', what, formatBytes(bytes), 'whatever the case']),
    ...(largest
      ? [['', 'largest case', formatBytes(largest.bytes), `${largest.case}; up to ${casesAtOnce} cases at once`]]
      : []),
    ...(cache
      ? [['', 'left for the cache', formatBytes(cache.roomBytes), `${cacheText(cache)}`]]
      : [['', 'left for cases', formatBytes(roomBytes), '']]),
    ['', 'peak', formatBytes(peakBytes), ''],
  ]
  return [`memory: ${formatBytes(limitBytes)}`, ...table(rows, [2])]
}

function gpuLines({ gpuMemory }: Outline): string[] {
  if (!gpuMemory) return []
  const { adapter, limitBytes, largestTensorBytes, parts, peakBytes, togetherBytes } = gpuMemory
  const rows = [
    ...parts.map(({ what, bytes }) => ['', what, formatBytes(bytes), '']),
    ['', 'peak', formatBytes(peakBytes), `no tensor may be larger than ${formatBytes(largestTensorBytes)}`],
    ...(togetherBytes === null || togetherBytes === peakBytes
      ? []
      : [['', 'samples at once', formatBytes(togetherBytes), 'where that fits, a batch is computed together']]),
  ]
  return [
    '',
    ...wrapped(`GPU memory: ${limitBytes === null ? 'what it has' : formatBytes(limitBytes)}, ${adapter}`),
    ...table(rows, [2]),
  ]
}

function cacheText({
  policy,
  encoding,
  cases,
  bytes,
  holds,
  hitRate,
}: NonNullable<Explanation['memory']['cache']>): string {
  const where =
    { memory: 'in memory', disk: 'on disk', both: 'in memory and on disk', none: 'not kept' }[policy] ?? policy
  const kept = policy === 'none' ? where : `${holds} of ${cases} cases (${formatBytes(bytes)} ${where}, ${encoding})`
  return policy === 'memory' || policy === 'both' ? `${kept}, hits ${Math.round(100 * hitRate)} %` : kept
}

function timeLines({ time }: Explanation): string[] {
  if (!time) return []
  const { epoch, passes, totalSeconds, calibration } = time
  const rows = [
    ...(epoch ? epochRows(epoch) : []),
    ...passes.map(({ section, windows, firstSeconds, laterSeconds, times }) => [
      '',
      section,
      seconds(firstSeconds),
      `${windows > 0 ? `${windows} windows` : ''}${times > 1 ? `, ${times} times, later ${seconds(laterSeconds)}` : ''}`,
    ]),
    ['', 'in all', seconds(totalSeconds), ''],
  ]
  return ['', `time, from a calibration of ${calibration.seconds.toFixed(1)} s:`, ...table(rows, [2])]
}

function epochRows(epoch: NonNullable<TimePlan['epoch']>): string[][] {
  const { steps, firstSeconds, laterSeconds, networkSeconds, firstLoadingSeconds, laterLoadingSeconds } = epoch
  const parts = (loading: number): string =>
    `${steps} step${steps === 1 ? '' : 's'} ${seconds(networkSeconds)}, loading beside them ${seconds(loading)}`
  return [
    ['', 'first epoch', seconds(firstSeconds), parts(firstLoadingSeconds)],
    ['', 'later epochs', seconds(laterSeconds), parts(laterLoadingSeconds)],
  ]
}

/** 7322 s -> "2 h 2 min". */
export function seconds(value: number): string {
  if (value < 100) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`
  const minutes = Math.round(value / 60)
  if (minutes < 100) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 72 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`
}

/** At most a dozen; the rest is in --json. */
function listed(title: string, items: readonly string[]): string[] {
  const most = 12
  if (items.length === 0) return []
  const more = items.length > most ? [`  - and ${items.length - most} more: see --json`] : []
  return ['', `${title}:`, ...items.slice(0, most).flatMap(item => wrapped(`  - ${item}`, '    ')), ...more]
}
