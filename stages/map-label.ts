/** Turns the values of a label file into class indices, and refuses values that mean nothing. */

import type { FromSchema } from 'json-schema-to-ts'
import { mapVoxels } from '../imaging/volume.ts'
import { classesOf, mapLabels } from '../native/voxels.ts'
import { PipelineError } from '../pipeline/errors.ts'
import { planMap } from '../imaging/volume-plan.ts'
import type { Sample } from '../pipeline/flow.ts'
import type { Volume } from '../pipeline/grid.ts'
import type { Stage } from '../pipeline/stage.ts'
import { keys, withVolumes } from './keys.ts'
import { perItem } from './lift.ts'
import { withPlans } from './plans.ts'

const schema = {
  type: 'object',
  description:
    'Turns label values into class indices; a value that is not provided for is an error. Without map or divide the values must be class indices already, 0 to 255.',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: { const: 'map-label' },
    map: {
      type: 'object',
      additionalProperties: { type: 'integer', minimum: 0, maximum: 255 },
      minProperties: 1,
      description: 'class index of each value that may occur, such as {"0": 0, "1": 1, "2": 1}',
    },
    divide: {
      type: 'number',
      exclusiveMinimum: 0,
      description: 'class = ceil(value / divide); the published pipeline has 3, so that 1, 2 and 3 become 1',
    },
    classes: {
      type: 'integer',
      minimum: 1,
      maximum: 256,
      default: 256,
      description: 'class indices must be less than this',
    },
    keys: { ...keys, default: ['label'], description: 'which volumes, where the case has them' },
  },
  examples: [
    { kind: 'map-label', divide: 3 },
    { kind: 'map-label', map: { '0': 0, '1': 1, '2': 1 } },
    { kind: 'map-label' },
  ],
} as const

type Options = FromSchema<typeof schema>

export const mapLabel: Stage<Options> = {
  schema,
  takes: ['volume'],
  gives: 'volume',
  create(options) {
    const table = classTable(options)
    return perItem<Sample, Sample>('map-label', sample =>
      withVolumes(sample, options.keys, (volume, key) =>
        mapToClasses(volume, table, sample.case[key] ?? sample.case.id),
      ),
    )
  },
  plan: (options, plan) => withPlans(plan, options.keys, planMap),
}

/** The class of each possible value. Values beyond the table, or without an entry, are errors. */
export type ClassTable = ReadonlyMap<number, number>

/** ERR_DEFINITION for options that contradict each other or name no number. */
export function classTable({ map, divide, classes }: Pick<Options, 'map' | 'divide' | 'classes'>): ClassTable {
  if (map && divide !== undefined) {
    throw new PipelineError('ERR_DEFINITION', 'map-label: expected "map" or "divide", found both; leave one out')
  }
  const entries = map
    ? Object.entries(map).map(([value, index]): [number, number] => [Number(value), index as number])
    : Array.from({ length: 65536 }, (_, value): [number, number] => [
        value,
        divide === undefined ? value : Math.ceil(value / divide),
      ])
  const noNumber = map && Object.keys(map).find(value => value.trim() === '' || Number.isNaN(Number(value)))
  if (noNumber !== undefined)
    throw new PipelineError(
      'ERR_DEFINITION',
      `map-label: expected numbers as the names in "map", found ${JSON.stringify(noNumber)}`,
    )
  const tooHigh = map && entries.find(([, index]) => index >= classes)
  if (tooHigh)
    throw new PipelineError(
      'ERR_DEFINITION',
      `map-label: expected classes below ${classes} in "map", found ${tooHigh[1]} for ${tooHigh[0]}`,
    )
  return new Map(entries.filter(([, index]) => index < classes))
}

/** Class indices. ERR_LABEL for the first value without a class, with how often it occurs in the slab. */
export function mapToClasses(volume: Volume, table: ClassTable, path: string): Volume {
  const classes = classesOf(table)
  return mapVoxels(volume, async (from, to, { z, planes }) => {
    const first = await mapLabels(from, to, classes)
    if (first < 0) return
    // What lies before it may be overwritten, and holds other values.
    const value = from[first]!
    const count = from.subarray(first).reduce((sum, other) => sum + (Object.is(other, value) ? 1 : 0), 0)
    const known = [...table.keys()]
    const expected = known.length > 12 ? `whole numbers from ${known[0]} to ${known.at(-1)}` : known.join(', ')
    throw new PipelineError(
      'ERR_LABEL',
      `${path}: expected label values ${expected}, found ${value} in ${count} voxels of planes ${z} to ${z + planes - 1}; correct the file, or say in "map" what it means`,
      { path, value, count },
    )
  })
}
