import t from 'tap'
import { pairwiseRatios, spreadOf } from '../../bench/statistics.ts'

t.test('the median of an even number of values is between the middle two', async t => {
  t.same(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
  t.same(spreadOf([7]), { median: 7, min: 7, max: 7 })
})

t.test('nothing to take a median of, or lists of different lengths, are mistakes', async t => {
  t.throws(() => spreadOf([]), { message: /at least one value/ })
  t.throws(() => pairwiseRatios([1, 2], [1]), { message: /found 2 and 1/ })
})

t.test('ratios pair what was measured in the same round', async t => {
  t.same(pairwiseRatios([2, 9], [1, 3]), [2, 3])
})
