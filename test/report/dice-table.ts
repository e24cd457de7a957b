import t from 'tap'
import { diceTable } from '../../report/dice-table.ts'
import { reduceMetric, type Reduction } from '../../report/reduce.ts'
import { maxDifference } from '../support/numbers.ts'

/**
 * Three cases of 24 voxels and 4 classes: the first without class 2, the second without class 3 in the reference, the third
 * without any lesion. The values below are those of monai.metrics.DiceMetric (MONAI 1.3.2, PyTorch 2.6) on their
 * one-hot masks, null for NaN.
 */
const predictions = ['300003310011111011001131', '112202333112223130033101', '032200030002200022233022']
const references = ['011010001330000331331310', '212111100211210122110210', '000000000000000000000000']
const pairs = predictions.map((digits, i) => ({
  prediction: Uint8Array.from(digits, Number),
  reference: Float32Array.from(references[i]!, Number),
}))

type Recorded = Record<Reduction, [values: (number | null)[], notNans: number[]]>

const ignoringEmpty: Recorded = {
  none: [
    [0.222222, null, 0, 0.315789, 0.307692, null, null, null, null],
    [1, 0, 1, 1, 1, 0, 0, 0, 0],
  ],
  mean: [[0.211426], [2]],
  sum: [[0.845704], [4]],
  mean_batch: [
    [0.269006, 0.307692, 0],
    [2, 1, 1],
  ],
  sum_batch: [
    [0.538012, 0.307692, 0],
    [2, 1, 1],
  ],
  mean_channel: [
    [0.111111, 0.311741, 0],
    [2, 2, 0],
  ],
  sum_channel: [
    [0.222222, 0.623482, 0],
    [2, 2, 0],
  ],
}

const withBackground: Recorded = {
  none: [
    [0.105263, 0.222222, 1, 0, 0, 0.315789, 0.307692, 0, 0.628571, 1, 0, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
  ],
  mean: [[0.298295], [3]],
  sum: [[3.579539], [12]],
  mean_batch: [
    [0.244612, 0.512671, 0.435897, 0],
    [3, 3, 3, 3],
  ],
  sum_batch: [
    [0.733835, 1.538012, 1.307692, 0],
    [3, 3, 3, 3],
  ],
  mean_channel: [
    [0.331871, 0.15587, 0.407143],
    [4, 4, 4],
  ],
  sum_channel: [
    [1.327485, 0.623482, 1.628572],
    [4, 4, 4],
  ],
}

for (const [title, recorded, options] of [
  ['without the background, empty references left out', ignoringEmpty, { includeBackground: false, ignoreEmpty: true }],
  ['with the background, empty references scored', withBackground, { includeBackground: true, ignoreEmpty: false }],
] as const) {
  t.test(`Dice of several classes in every reduction is MONAI's, ${title}`, async t => {
    const table = diceTable(pairs, { classes: 4, ...options })
    let largest = 0
    for (const [reduction, [values, notNans]] of Object.entries(recorded)) {
      const { value, defined } = reduceMetric(table, reduction as Reduction)
      const found = [value].flat(2) as (number | null)[]
      t.same([defined].flat(2), notNans, `${reduction}: counts`)
      t.same(
        found.map(each => each === null),
        values.map(each => each === null),
        `${reduction}: where it is not defined`,
      )
      const difference = maxDifference(
        found.map(each => each ?? 0),
        values.map(each => each ?? 0),
      )
      largest = Math.max(largest, difference)
      t.ok(difference < 2e-6, reduction)
    }
    t.comment(`largest difference ${largest} (recorded with six decimals)`)
  })
}

t.test('a value beyond the classes belongs to none, and masks of different size are a bug', async t => {
  const options = { classes: 2, includeBackground: true, ignoreEmpty: true }
  const odd = { prediction: Float32Array.of(0, 1, 7, NaN), reference: Uint8Array.of(0, 1, 1, 0) }
  t.same(diceTable([odd], options), [[2 / 3, 2 / 3]])
  t.throws(() => diceTable([{ ...odd, reference: Uint8Array.of(1) }], options), RangeError)
})
