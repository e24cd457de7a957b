import t from 'tap'
import { overlap } from '../../report/overlap.ts'

const strict = { value: 1, emptyRule: 'strict', voxelMl: 0.5 } as const
const monai = { ...strict, emptyRule: 'monai' } as const
const mask = (...values: number[]): Uint8Array => Uint8Array.from(values)

t.test('a case done by hand: 2 of 3 found, 1 too many', async t => {
  const found = overlap(mask(1, 1, 1, 0, 0, 0), mask(0, 1, 1, 1, 0, 0), strict)
  t.same(found, {
    dice: 4 / 6,
    iou: 2 / 4,
    sensitivity: 2 / 3,
    precision: 2 / 3,
    predictedVoxels: 3,
    referenceVoxels: 3,
    predictedMl: 1.5,
    referenceMl: 1.5,
    differenceMl: 0,
  })
})

t.test('only the class asked for counts', async t => {
  const found = overlap(mask(1, 2, 2, 0), Float32Array.of(2, 2, 1, 0), { ...strict, value: 2 })
  t.match(found, { dice: 0.5, predictedVoxels: 2, referenceVoxels: 2 })
})

t.test('empty masks by either rule', async t => {
  const [none, some] = [mask(0, 0, 0), mask(0, 1, 0)]
  t.match(overlap(none, none, strict), { dice: 1, iou: 1, sensitivity: 1, precision: 1 })
  t.match(overlap(some, none, strict), { dice: 0, iou: 0, sensitivity: 0, precision: 0 })
  t.match(overlap(none, some, strict), { dice: 0, iou: 0, sensitivity: 0, precision: 0 })
  t.match(overlap(none, none, monai), { dice: null, iou: null, sensitivity: null, precision: null })
  t.match(overlap(some, none, monai), { dice: null, iou: null, sensitivity: null, precision: 0 })
  t.match(overlap(none, some, monai), { dice: 0, iou: 0, sensitivity: 0, precision: null })
})

t.test('masks of different size are a bug', async t => {
  t.throws(() => overlap(mask(1), mask(1, 0), strict), RangeError)
})
