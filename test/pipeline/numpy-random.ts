/** Against numbers that numpy 1.26.4 gave: `r = RandomState(seed)`, then the calls that the titles and comments say. */

import t from 'tap'
import { NumpyRandom } from '../../pipeline/numpy-random.ts'
import { maxDifference } from '../support/numbers.ts'

const times = (n: number, draw: () => number): number[] => Array.from({ length: n }, draw)

t.test('rand() is numpy’s for small, large and largest seeds', async t => {
  const recorded: [seed: number, ...values: number[]][] = [
    [0, 0.5488135039273248, 0.7151893663724195, 0.6027633760716439],
    [1, 0.417022004702574, 0.7203244934421581, 0.00011437481734488664],
    [5, 0.22199317108973948, 0.8707323061773764, 0.20671915533942642],
    [2147483648, 0.15200287353446562, 0.8205427554297966, 0.7754982870984906],
    [4294967295, 0.0976320289940138, 0.9123828453026218, 0.78903530185164],
  ]
  let difference = 0
  for (const [seed, ...expected] of recorded) {
    const random = new NumpyRandom(seed)
    difference = Math.max(
      difference,
      maxDifference(
        times(3, () => random.uniform()),
        expected,
      ),
    )
  }
  t.comment(`largest difference ${difference}`)
  t.equal(difference, 0)
})

t.test('a seed beyond 32 bits is taken modulo 2^32, as MONAI takes it', async t => {
  t.equal(new NumpyRandom(2 ** 32 + 5).uniform(), 0.22199317108973948)
  t.equal(new NumpyRandom(2 ** 52 + 1).uniform(), 0.417022004702574)
})

t.test('uniform(low, high)', async t => {
  const random = new NumpyRandom(7)
  const found = [...times(3, () => random.uniform(-0.1, 0.1)), ...times(2, () => random.uniform(2.5, 7))]
  const difference = maxDifference(
    found,
    [-0.08473834212520857, 0.05598375844802292, -0.012318153711821295, 5.755593300239235, 6.900952803984712],
  )
  t.comment(`largest difference ${difference}`)
  t.equal(difference, 0)
})

t.test('randint(2**32, dtype="uint32") over more than two fillings of the state', async t => {
  const random = new NumpyRandom(5489)
  const words = times(1400, () => random.integer(2 ** 32))
  t.same(words.slice(0, 4), [3499211612, 581869302, 3890346734, 3586334585])
  t.same(words.slice(622, 626), [2227348307, 4020325887, 4178893912, 610818241])
  t.same(words.slice(1246, 1250), [2862235859, 2538210759, 358555951, 2442940989])
  t.equal(words[1399], 109520212)
})

t.test('randint(n), three of each n from one generator, draws as many words as numpy’s', async t => {
  const random = new NumpyRandom(3)
  const recorded: [n: number, ...values: number[]][] = [
    [1, 0, 0, 0],
    [2, 0, 0, 1],
    [3, 0, 0, 0],
    [4, 1, 1, 3],
    [5, 2, 3, 1],
    [7, 1, 2, 5],
    [8, 7, 6, 0],
    [9, 4, 7, 8],
    [16, 10, 1, 10],
    [255, 150, 66, 2],
    [256, 191, 60, 129],
    [257, 69, 110, 97],
    [65535, 6557, 42602, 31896],
    [65536, 47611, 37694, 10759],
    [65537, 31736, 7713, 22907],
    [2147483647, 1203942735, 1363955888, 1315821349],
    [2147483648, 1106320404, 953301854, 1688201777],
    [2147483649, 1666323861, 88538612, 612966263],
    [4294967295, 2887865910, 1397179392, 3877642944],
    [4294967296, 3474324457, 3632472338, 1713653108],
  ]
  for (const [n, ...expected] of recorded)
    t.same(
      times(3, () => random.integer(n)),
      expected,
      `n = ${n}`,
    )
  t.equal(random.uniform(), 0.37799404132888914, 'what comes next')
})

t.test('what cannot be drawn from is a RangeError', async t => {
  const random = new NumpyRandom(0)
  for (const n of [0, -1, 1.5, 2 ** 32 + 1, NaN]) t.throws(() => random.integer(n), RangeError)
  t.equal(random.uniform(), 0.5488135039273248, 'and draws nothing')
})
