import t from 'tap'
import { reduceMetric, type MetricTable, type Reduction } from '../../report/reduce.ts'

/** Three cases by two channels; what MONAI's do_metric_reduction gives for it is easily done by hand. */
const table: MetricTable = [
  [0.5, null],
  [null, NaN],
  [1, 0.25],
]

t.test('every reduction by hand, with its counts', async t => {
  const expected: Record<Reduction, [value: unknown, defined: unknown]> = {
    none: [
      [
        [0.5, null],
        [null, null],
        [1, 0.25],
      ],
      [
        [1, 0],
        [0, 0],
        [1, 1],
      ],
    ],
    // The second case has nothing to say and is left out.
    mean: [(0.5 + 0.625) / 2, 2],
    sum: [1.75, 3],
    mean_batch: [
      [0.75, 0.25],
      [2, 1],
    ],
    sum_batch: [
      [1.5, 0.25],
      [2, 1],
    ],
    mean_channel: [
      [0.5, 0, 0.625],
      [1, 0, 2],
    ],
    sum_channel: [
      [0.5, 0, 1.25],
      [1, 0, 2],
    ],
  }
  for (const [reduction, [value, defined]] of Object.entries(expected))
    t.same(reduceMetric(table, reduction as Reduction), { value, defined }, reduction)
})

t.test('the mean of means is not the mean of all', async t => {
  t.equal(
    reduceMetric(
      [
        [1, 1, 1],
        [0, null, null],
      ],
      'mean',
    ).value,
    0.5,
  )
})

t.test('infinities stay', async t => {
  const distances = [
    [Infinity, 2],
    [4, 3],
  ]
  t.same(reduceMetric(distances, 'mean'), { value: Infinity, defined: 2 })
  t.same(reduceMetric(distances, 'mean_batch'), { value: [Infinity, 2.5], defined: [2, 2] })
})

t.test('nothing defined gives 0 over 0 values, as in MONAI', async t => {
  for (const nothing of [[], [[]], [[null], [NaN]]]) {
    t.same(reduceMetric(nothing, 'mean'), { value: 0, defined: 0 })
    t.same(reduceMetric(nothing, 'sum'), { value: 0, defined: 0 })
  }
})

t.test('ragged tables are a bug', async t => {
  t.throws(() => reduceMetric([[1], [1, 2]], 'mean'), RangeError)
})
