import t from 'tap'
import { rng } from '../../pipeline/random.ts'
import { intervalsOfMeans } from '../../report/bootstrap.ts'

const pause = (): Promise<void> => Promise.resolve()

/**
 * Right-skewed, as distances are: numpy's default_rng(7).lognormal(1, 0.9, 40), rounded. scipy 1.17.1 gives, by
 * `scipy.stats.bootstrap((x,), numpy.mean, n_resamples=200000, rng=seed)` for seeds 0 to 2, BCa intervals from
 * 2.3968..2.3998 to 4.0300..4.0383; its percentile intervals are from 2.309..2.310 to 3.862..3.869.
 */
const skewed = [
  2.75, 1.46, 2.03, 1.64, 2.74, 1.94, 2.08, 0.79, 1.32, 12.05, 1.49, 1.05, 3.68, 9.65, 0.73, 2.25, 1.54, 0.56, 5.27,
  2.66, 2.9, 1.38, 4.09, 1.67, 2.39, 1.0, 0.91, 9.04, 1.72, 3.53, 2.64, 1.83, 1.72, 4.79, 2.07, 2.37, 2.77, 7.84, 5.02,
  3.84,
]

t.test('the interval is the BCa interval that scipy finds', async t => {
  const [interval] = await intervalsOfMeans([skewed], { resamplings: 100000, seed: 1, pause })
  t.comment(interval)
  t.ok(Math.abs(interval!.low! - 2.398) < 0.01)
  t.ok(Math.abs(interval!.high! - 4.033) < 0.02)
})

t.test('same seed, same interval, whatever is computed beside it; another seed, another one', async t => {
  const [alone] = await intervalsOfMeans([skewed], { resamplings: 500, seed: 3, pause })
  const [, beside] = await intervalsOfMeans([skewed.map(x => -x), skewed], { resamplings: 500, seed: 3, pause })
  t.same(beside, alone)
  t.notSame((await intervalsOfMeans([skewed], { resamplings: 500, seed: 4, pause }))[0], alone)
})

t.test('a mirrored metric has the mirrored interval', async t => {
  const [one, mirrored] = await intervalsOfMeans([skewed, skewed.map(x => 10 - x)], {
    resamplings: 20000,
    seed: 5,
    pause,
  })
  t.ok(Math.abs(10 - mirrored!.high! - one!.low!) < 0.01)
  t.ok(Math.abs(10 - mirrored!.low! - one!.high!) < 0.02)
})

t.test('about 95 % of the intervals hold the true mean', async t => {
  // Exponential, mean 1: 400 samples of 40. Two standard errors around 0.95 are 0.022; BCa is known to cover a bit less here.
  let held = 0
  for (let i = 0; i < 400; i++) {
    const random = rng(11, i, 0, 'coverage')
    const sample = Array.from({ length: 40 }, () => -Math.log(1 - random.uniform()))
    const [{ low, high } = { low: null, high: null }] = await intervalsOfMeans([sample], {
      resamplings: 400,
      seed: i,
      pause,
    })
    if (low! <= 1 && high! >= 1) held++
  }
  t.comment(`${held} of 400`)
  t.ok(held > 0.9 * 400 && held < 0.98 * 400)
})

t.test('what is not defined is drawn too and left out of the means', async t => {
  const gaps = skewed.flatMap(x => [x, null, NaN])
  const [[full], [sparse]] = [
    await intervalsOfMeans([skewed], { resamplings: 20000, seed: 1, pause }),
    await intervalsOfMeans([gaps], { resamplings: 20000, seed: 1, pause }),
  ]
  t.ok(Math.abs(sparse!.low! - full!.low!) < 0.05 && Math.abs(sparse!.high! - full!.high!) < 0.12)
})

t.test('no interval without two values, or with an infinite one; none of width where nothing moves', async t => {
  const none = { low: null, high: null }
  t.same(
    await intervalsOfMeans(
      [
        [null, null, null],
        [0.5, null, null],
        [0.5, Infinity, 1],
        [0.1, 0.1, null],
        [0.1, 0.1, 0.1],
      ],
      { resamplings: 100, seed: 1, pause },
    ),
    [none, none, none, { low: 0.1, high: 0.1 }, { low: 0.1, high: 0.1 }],
  )
  t.same(await intervalsOfMeans([], { resamplings: 100, seed: 1, pause }), [])
  t.same(await intervalsOfMeans([[]], { resamplings: 100, seed: 1, pause }), [none])
})

t.test('two cases that differ, and shares that are all but constant, have an interval around the mean', async t => {
  const rare = Array.from({ length: 50 }, (_, i) => (i === 7 ? 0 : 1))
  for (const values of [[0.2, 0.8], rare]) {
    const [{ low, high } = { low: null, high: null }] = await intervalsOfMeans([values], {
      resamplings: 2000,
      seed: 1,
      pause,
    })
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    t.ok(low! < mean && mean < high! && low! >= 0 && high! <= 1, `${low} to ${high}`)
  }
})

t.test('there is a pause after every resampling, and what goes on in it changes nothing', async t => {
  let pauses = 0
  const slow = async (): Promise<void> => {
    pauses++
    rng(3, 0, 0, 'bootstrap').integer(40)
    await new Promise(resolve => setImmediate(resolve))
  }
  const quick = await intervalsOfMeans([skewed], { resamplings: 300, seed: 3, pause })
  t.same(await intervalsOfMeans([skewed], { resamplings: 300, seed: 3, pause: slow }), quick)
  t.ok(pauses >= 300, `${pauses} pauses`)
})

t.test('a pause that rejects ends the work', async t => {
  let pauses = 0
  const interrupted = new Error('interrupted')
  const ending = (): Promise<void> => (++pauses === 5 ? Promise.reject(interrupted) : Promise.resolve())
  await t.rejects(intervalsOfMeans([skewed], { resamplings: 300, seed: 3, pause: ending }), interrupted)
  t.equal(pauses, 5)
})
