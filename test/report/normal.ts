import t from 'tap'
import { normalCdf, normalQuantile } from '../../report/normal.ts'

t.test("the distribution as scipy 1.17's norm.cdf and norm.ppf have it", async t => {
  for (const [x, p] of [
    [0, 0.5],
    [0.5, 0.6914624612740131],
    [-1, 0.15865525393145707],
    [1.959963984540054, 0.975],
    [-3, 0.0013498980316300933],
    [-6, 9.865876450376946e-10],
    [-10, 7.61985302416047e-24],
    [5, 0.9999997133484281],
  ] as const)
    t.ok(Math.abs(normalCdf(x) / p - 1) < 1e-13, `cdf(${x}) is ${normalCdf(x)}`)
  for (const [p, x] of [
    [0.025, -1.9599639845400545],
    [0.975, 1.959963984540054],
    [1e-5, -4.264890793922825],
    [0.8, 0.8416212335729143],
    [1e-300, -37.0470962993612],
  ] as const)
    t.ok(Math.abs(normalQuantile(p) / x - 1) < 1e-12, `quantile(${p}) is ${normalQuantile(p)}`)
  t.ok(Math.abs(normalQuantile(0.5)) < 1e-15)
})

t.test('the ends', async t => {
  t.equal(normalQuantile(0), -Infinity)
  t.equal(normalQuantile(1), Infinity)
  t.equal(normalCdf(-Infinity), 0)
  t.equal(normalCdf(Infinity), 1)
})
