import t from 'tap'
import { wilcoxon } from '../../report/wilcoxon.ts'

/**
 * Expected values are those of scipy 1.17.1: `scipy.stats.wilcoxon(x, method='exact')`, with ties and without zeros
 * `method=PermutationMethod(n_resamples=numpy.inf)`, above 50 pairs `method='approx', correction=True`. Samples are numpy's
 * default_rng(7), rounded.
 */
const small = [0.301, 0.599, 0.026, -0.591, -0.155, -0.692, 0.36, 1.64, -0.192]
const large = [
  -0.47, 0.64, 0.507, 0.255, -0.78, 0.121, 0.845, -1.194, -0.308, -1.751, -1.14, -1.692, -0.085, -1.117, 0.421, 0.307,
  // oxlint-disable-next-line oxc/approx-constant -- 0.434 is no logarithm
  -0.037, -2.367, -0.389, 0.101, 0.263, -1.38, -0.328, -0.829, -0.659, 1.211, -0.658, 0.117, 1.034, -0.434, 0.038, 0.26,
  0.214, -1.075, 0.226, 1.509, -1.397, 1.009, 0.269, -0.491, 2.15, 0.912, -1.049, 0.225, 0.727, -0.039, 0.833, 0.083,
  0.817, 1.589, -0.526, 0.353, -0.313, 0.277, -1.037, -0.429, -0.046, 1.049, 1.295, -1.174,
]
const largeWithTiesAndZeros = [
  -1, 2, -4, -1, 0, 3, 2, 0, 0, 0, 3, 0, 0, 1, 0, 0, -2, 0, 0, 3, 2, 0, 2, 0, 3, 0, 2, -2, 1, -3, -4, 0, -1, 1, 5, -1,
  -1, 1, 1, 0, 0, 2, 1, -2, 0, 0, -2, 1, -1, 2, 1, 1, -1, 0, -4, -2, 1, -4, 2, -3, 2, -1, 2, 1, -3, 3, 3, 0, 0, 0, -2,
  3, -1, 0, -1, -1, -2, 3, 0, 2,
]

t.test("p is scipy's", async t => {
  for (const [name, differences, p] of [
    ['9 pairs, exact', small, 0.734375],
    ['50 pairs, exact', Array.from({ length: 50 }, (_, i) => (i % 3 === 0 ? -1 - i : i + 1)), 0.03996834652842374],
    ['ties and zeros, exact', [1, 1, 2, -1, 3, 0, 2, -2, 4, 1, 0, 3], 0.0625],
    ['60 pairs, normal', large, 0.6375377717128867],
    ['56 pairs with ties and zeros, normal', largeWithTiesAndZeros, 0.4158831176810788],
    ['one pair', [2], 1],
  ] as const) {
    const found = wilcoxon(differences)!
    t.ok(Math.abs(found - p) < 1e-12, `${name}: ${found}`)
    t.ok(Math.abs(wilcoxon(differences.map(x => -x))! - found) < 1e-15, `${name}, mirrored`)
  }
})

t.test('nothing differs: no p', async t => {
  t.equal(wilcoxon([]), null)
  t.equal(wilcoxon([0, -0, 0]), null)
})

t.test('a mean rank in the middle is no evidence at all', async t => {
  t.equal(wilcoxon([1, -1]), 1)
  t.equal(wilcoxon(Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? 1 : -1))), 1)
})
