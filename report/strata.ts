/** Cases in groups, each with its own summary: by how much lesion the reference holds, and by what the data list says. */

import type { Report, ReportedCase } from '../schemas/report.ts'
import type { Resampling } from './bootstrap.ts'
import { numberOf } from './figure.ts'
import { classOf } from './metric-names.ts'
import { spreads } from './spreads.ts'

export interface StrataOptions extends Resampling {
  /** Fields of the cases. */
  readonly strata: readonly string[]
  /** ml at which groups end; a case of just as much belongs to the group that ends there. None: no groups by volume. */
  readonly volumesMl: readonly number[]
}

type Stratum = Report['strata'][number]

const notGiven = 'not given'

/**
 * By volume first (ascending), then by each field (its values in alphabetical order, numbers by size). Groups without cases are
 * left out; cases without a value are the last group, "not given". Volumes of several classes are added up.
 */
export async function strataOf(
  cases: readonly ReportedCase[],
  names: readonly string[],
  { strata, volumesMl, ...resampling }: StrataOptions,
): Promise<Stratum[]> {
  const grouped = async (
    by: string,
    nameOf: (one: ReportedCase) => string,
    order: readonly string[],
  ): Promise<Stratum> => {
    const groups = new Map<string, ReportedCase[]>(order.map(name => [name, []]))
    for (const one of cases) groups.get(nameOf(one))!.push(one)
    const summed: Stratum['groups'] = []
    for (const [name, members] of groups) {
      if (members.length === 0) continue
      const [summary] = await spreads([{ names, rows: members.map(({ metrics }) => metrics) }], resampling)
      summed.push({ name, cases: members.length, summary: summary! })
    }
    return { by, groups: summed }
  }
  const volumes = volumeGroups(volumesMl)
  const found: Stratum[] = []
  if (volumes.length > 0) {
    const order = [...volumes.map(({ name }) => name), notGiven]
    found.push(await grouped('referenceMl', one => groupOf(referenceMl(one), volumes), order))
  }
  for (const field of strata) {
    const nameOf = ({ fields }: ReportedCase): string => (Object.hasOwn(fields, field) ? fields[field]! : notGiven)
    const values = new Set(cases.map(nameOf))
    values.delete(notGiven)
    found.push(await grouped(field, nameOf, [...[...values].toSorted(alphabetical.compare), notGiven]))
  }
  return found
}

// Of one language, so that a report does not depend on where it is made.
const alphabetical = new Intl.Collator('en', { numeric: true })

interface VolumeGroup {
  readonly name: string
  /** ml, inclusive. */
  readonly end: number
}

function volumeGroups(volumesMl: readonly number[]): VolumeGroup[] {
  const ends = [...new Set(volumesMl)].toSorted((a, b) => a - b)
  if (ends.length === 0) return []
  const groups = ends.map((end, i) => {
    const start = ends[i - 1] ?? 0
    return { name: end === 0 ? '0 ml' : start === 0 ? `up to ${end} ml` : `${start} to ${end} ml`, end }
  })
  return [...groups, { name: `over ${ends.at(-1)!} ml`, end: Infinity }]
}

function groupOf(ml: number | null, groups: readonly VolumeGroup[]): string {
  if (ml === null) return notGiven
  return groups.find(({ end }) => ml <= end)!.name
}

/** ml of all classes of the reference; null where the case does not say. */
export function referenceMl({ metrics }: ReportedCase): number | null {
  const volumes = Object.keys(metrics)
    .filter(name => classOf(name).base === 'referenceMl')
    .map(name => numberOf(metrics[name]))
  return volumes.length === 0
    ? null
    : volumes.reduce<number | null>((sum, ml) => (sum === null || ml === null ? null : sum + ml), 0)
}
