/** What looks wrong about a data set before anything is run. Each warning says what was found, where, and what to do. */

import type { FileFacts } from '../../stages/index.ts'
import { formatBytes } from '../bytes.ts'
import type { StageOptions } from '../definition.ts'
import type { PlannedCase, PlannedSection } from './cases.ts'
import type { LabelLook } from './labels.ts'
import type { MemoryPlan } from './memory.ts'

export interface Warning {
  /** For machines. */
  readonly kind:
    'spacing' | 'odd-spacing' | 'geometry' | 'units' | 'huge' | 'no-lesion' | 'memory' | 'cache' | 'twice' | 'window'
  readonly message: string
  /** All cases concerned. */
  readonly cases: readonly string[]
}

/** Spacings of one axis may differ by this factor before it is said. */
const wildSpacing = 3
/** mm; outside of this a length is hardly that of a CT. */
const usualSpacing = [0.1, 10] as const
/** Inflated bytes of float32 voxels: more than any scanner makes. */
const hugeBytes = 2 ** 31

export function warningsOf(
  sections: readonly PlannedSection[],
  memory: MemoryPlan,
  look: LabelLook | undefined,
): readonly Warning[] {
  const cases = sections.flatMap(section => section.cases)
  return [
    ...spacings(cases),
    ...geometry(cases, sections),
    ...units(cases),
    ...huge(cases),
    ...twice(sections),
    ...windows(sections),
    ...tooLarge(memory),
    ...cacheTooSmall(memory),
    ...noLesion(look),
  ]
}

function spacings(cases: readonly PlannedCase[]): Warning[] {
  const found = cases.flatMap(planned => firstFile(planned).map(file => ({ id: planned.case.id, file })))
  const wild = ([0, 1, 2] as const).flatMap((axis): Warning[] => {
    if (found.length === 0) return []
    const ordered = found.toSorted((a, b) => a.file.spacingMm[axis] - b.file.spacingMm[axis])
    const [low, high] = [ordered[0]!, ordered.at(-1)!]
    if (high.file.spacingMm[axis] <= wildSpacing * low.file.spacingMm[axis]) return []
    const message = `spacing along ${'xyz'[axis]} goes from ${mm(low.file.spacingMm[axis])} (${low.id}) to ${mm(high.file.spacingMm[axis])} (${high.id}): is that one kind of scan?`
    return [{ kind: 'spacing', message, cases: [low.id, high.id] }]
  })
  const [least, most] = usualSpacing
  const odd = found.filter(({ file }) => file.spacingMm.some(length => length < least || length > most))
  if (odd.length === 0) return wild
  const message = `${count(odd.length, 'case')} with a spacing below ${least} or above ${most} mm, such as ${odd[0]!.id} with ${odd[0]!.file.spacingMm.map(length => +length.toPrecision(4)).join(' x ')}: are the lengths in millimetres?`
  return [...wild, { kind: 'odd-spacing', message, cases: odd.map(({ id }) => id) }]
}

function geometry(cases: readonly PlannedCase[], sections: readonly PlannedSection[]): Warning[] {
  const load: StageOptions | undefined = sections[0]?.stages[0]
  const tolerance = Number(load?.['geometryToleranceMm'])
  const apart = cases
    .map(planned => ({ id: planned.case.id, mm: Math.max(0, ...planned.files.map(({ apartMm }) => apartMm)) }))
    .filter(({ mm: distance }) => distance > tolerance / 10)
  if (apart.length === 0) return []
  const worst = apart.reduce((most, other) => (other.mm > most.mm ? other : most))
  const message = `files of ${count(apart.length, 'case')} are more than ${mm(tolerance / 10)} apart, at most ${mm(worst.mm)} (${worst.id}); allowed are ${mm(tolerance)}: were they made from each other?`
  return [{ kind: 'geometry', message, cases: apart.map(({ id }) => id) }]
}

function units(cases: readonly PlannedCase[]): Warning[] {
  const other = cases.flatMap(planned =>
    firstFile(planned)
      .filter(({ units: unit }) => unit === 'metre' || unit === 'micron')
      .map(({ units: unit }) => ({ id: planned.case.id, unit })),
  )
  if (other.length === 0) return []
  const message = `${count(other.length, 'case')} with lengths in ${other[0]!.unit}s, such as ${other[0]!.id}: they are taken as millimetres all the same`
  return [{ kind: 'units', message, cases: other.map(({ id }) => id) }]
}

function huge(cases: readonly PlannedCase[]): Warning[] {
  const found = cases.flatMap(planned =>
    firstFile(planned)
      .filter(({ shape: [x, y, z] }) => 4 * x * y * z > hugeBytes)
      .map(file => ({ id: planned.case.id, file })),
  )
  if (found.length === 0) return []
  const message = `${count(found.length, 'case')} with more than ${formatBytes(hugeBytes)} of voxels, such as ${found[0]!.id} with ${found[0]!.file.shape.join(' x ')}: is the header right?`
  return [{ kind: 'huge', message, cases: found.map(({ id }) => id) }]
}

/** A scan that is trained on tells nothing where it is used to judge. */
function twice(sections: readonly PlannedSection[]): Warning[] {
  const [training, ...others] = sections
  const trained = new Set(training?.cases.map(({ case: { image } }) => image))
  return others.flatMap(({ name, cases }): Warning[] => {
    const both = cases.filter(({ case: { image } }) => image !== undefined && trained.has(image))
    if (both.length === 0) return []
    const message = `${count(both.length, 'case')} of "${name}" ${both.length === 1 ? 'is' : 'are'} also in "${training!.name}", such as ${both[0]!.case.id}: scores there will be too good`
    return [{ kind: 'twice', message, cases: both.map(({ case: { id } }) => id) }]
  })
}

/** An image smaller than the window is filled up with zeros, and the network has seen no such thing. */
function windows(sections: readonly PlannedSection[]): Warning[] {
  return sections.flatMap(({ name, stages, cases }): Warning[] => {
    const at = stages.findIndex(({ kind }) => kind === 'infer')
    if (at < 1) return []
    const small = cases.filter(({ plans }) => {
      const [shape, window] = [plans[at - 1]!.volumes.image!.grid.shape, plans[at]!.windows!.shape]
      return shape.some((n, axis) => n < window[axis]!)
    })
    if (small.length === 0) return []
    const { plans, case: found } = small[0]!
    const message = `${count(small.length, 'case')} of "${name}" smaller than the window of ${plans[at]!.windows!.shape.join(' x ')}, such as ${found.id} with ${plans[at - 1]!.volumes.image!.grid.shape.join(' x ')}: filled up with zeros`
    return [{ kind: 'window', message, cases: small.map(({ case: { id } }) => id) }]
  })
}

function tooLarge({ tooLarge: cases, roomBytes }: MemoryPlan): Warning[] {
  if (cases.length === 0) return []
  const most = cases.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const message = `${count(cases.length, 'case')} will fail for want of memory: ${most.case} needs ${formatBytes(most.bytes)}, and a case can have ${formatBytes(roomBytes)}; raise "memory", or choose a coarser spacing`
  return [{ kind: 'memory', message, cases: cases.map(found => found.case) }]
}

function cacheTooSmall({ cache }: MemoryPlan): Warning[] {
  if (!cache || cache.policy !== 'memory' || cache.hitRate >= 1) return []
  const message = `the cache holds ${cache.holds} of ${cache.cases} cases (${formatBytes(cache.roomBytes)} of ${formatBytes(cache.bytes)}); raise "memory", halve them with "encoding": "uint16", or keep them on disk with "policy": "both"`
  return [{ kind: 'cache', message, cases: [] }]
}

function noLesion(look: LabelLook | undefined): Warning[] {
  if (!look || look.withoutLesion.length === 0) return []
  const { looked, withoutLesion } = look
  const message = `${withoutLesion.length} of ${count(looked, 'label')} looked at ${withoutLesion.length === 1 ? 'holds' : 'hold'} no lesion, such as ${withoutLesion[0]}: crops there lie on background only`
  return [{ kind: 'no-lesion', message, cases: withoutLesion }]
}

function firstFile({ files }: PlannedCase): readonly FileFacts[] {
  return files.slice(0, 1)
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function mm(length: number): string {
  return `${+length.toPrecision(3)} mm`
}
