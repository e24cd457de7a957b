import t from 'tap'
import { maskOf } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Mask } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { countOverlaps, overlapMetrics, type OverlapCounts } from '../../report/overlap.ts'

const strict = { emptyRule: 'strict', voxelMl: 0.5 } as const
const monai = { emptyRule: 'monai', voxelMl: 0.5 } as const
const pause = async (): Promise<void> => {}
const row = (...values: number[]): Mask => maskOf([values.length, 1, 1], Uint8Array.from(values))
const of = (predicted: number, reference: number, both: number): OverlapCounts => ({ predicted, reference, both })

t.test('a case done by hand: 2 of 3 found, 1 too many', async t => {
  const [, counts] = await countOverlaps(row(1, 1, 1, 0, 0, 0), row(0, 1, 1, 1, 0, 0), 2, pause)
  t.same(overlapMetrics(counts!, strict), {
    dice: 4 / 6,
    iou: 2 / 4,
    sensitivity: 2 / 3,
    precision: 2 / 3,
    predictedVoxels: 3,
    referenceVoxels: 3,
    predictedMl: 1.5,
    referenceMl: 1.5,
    differenceMl: 0,
    absoluteDifferenceMl: 0,
    differencePercent: 0,
    absoluteDifferencePercent: 0,
    falsePositiveMl: null,
  })
})

t.test('errors of volume have a sign and a size, in ml and in per cent of the reference', async t => {
  t.match(overlapMetrics(of(1, 4, 0), strict), {
    differenceMl: -1.5,
    absoluteDifferenceMl: 1.5,
    differencePercent: -75,
    absoluteDifferencePercent: 75,
  })
  t.match(overlapMetrics(of(10, 4, 0), strict), { differencePercent: 150, absoluteDifferencePercent: 150 })
})

t.test('every class is counted by itself', async t => {
  const counts = await countOverlaps(row(1, 2, 2, 0), row(2, 2, 1, 0), 3, pause)
  t.same(counts, [of(0, 0, 0), of(1, 1, 0), of(2, 2, 1)])
})

t.test('counts are those of the voxels, whatever the runs', async t => {
  const shape: Shape3 = [13, 7, 5]
  const draws = rng(3, 0, 0, 'overlap')
  for (const density of [0.05, 0.5, 0.95]) {
    const noise = (): Uint8Array =>
      Uint8Array.from({ length: 13 * 7 * 5 }, () => (draws.uniform() < density ? 1 + draws.integer(2) : 0))
    const [a, b] = [noise(), noise()]
    const expected = [1, 2].map(value =>
      of(
        a.filter(each => each === value).length,
        b.filter(each => each === value).length,
        a.filter((each, i) => each === value && b[i] === value).length,
      ),
    )
    t.same((await countOverlaps(maskOf(shape, a), maskOf(shape, b), 3, pause)).slice(1), expected, `${density}`)
  }
})

t.test('empty masks by either rule: finite by the strict one, undefined by the other', async t => {
  const [none, invented, missed] = [of(0, 0, 0), of(4, 0, 0), of(0, 4, 0)]
  const perfect = { dice: 1, iou: 1, sensitivity: 1, precision: 1 }
  const lost = { dice: 0, iou: 0, sensitivity: 0, precision: 0 }
  t.match(overlapMetrics(none, strict), { ...perfect, differencePercent: 0, falsePositiveMl: 0 })
  t.match(overlapMetrics(invented, strict), { ...lost, differencePercent: 100, falsePositiveMl: 2 })
  t.match(overlapMetrics(missed, strict), { ...lost, differencePercent: -100, falsePositiveMl: null })
  const notDefined = { dice: null, iou: null, sensitivity: null, precision: null }
  t.match(overlapMetrics(none, monai), { ...notDefined, differencePercent: null, falsePositiveMl: 0 })
  t.match(overlapMetrics(invented, monai), { ...notDefined, precision: 0, absoluteDifferencePercent: null })
  t.match(overlapMetrics(missed, monai), { ...lost, precision: null, absoluteDifferencePercent: 100 })
})

t.test('masks of different size are a bug', async t => {
  await t.rejects(countOverlaps(row(1), row(1, 0), 2, pause), RangeError)
})
