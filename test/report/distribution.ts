import t from 'tap'
import type { Score } from '../../pipeline/flow.ts'
import { distribution, distributions } from '../../report/distribution.ts'

const ofCase = (id: string, metrics: Score['metrics']): Score => ({ case: { id, index: 0 }, metrics })

t.test('figures by hand; what is not defined is counted, not averaged', async t => {
  t.same(distribution([4, null, 1, 1]), {
    mean: 2,
    median: 1,
    min: 1,
    max: 4,
    sd: Math.sqrt(3),
    cases: 3,
    infinite: 0,
    undefined: 1,
  })
  t.match(distribution([2]), { mean: 2, median: 2, sd: null, cases: 1 })
  t.match(distribution([4, NaN]), { mean: 4, cases: 1, undefined: 1 })
  t.match(distribution([null]), { mean: null, median: null, sd: null, cases: 0, infinite: 0, undefined: 1 })
})

t.test('an infinite value makes the mean infinite and is counted; the median stays a number', async t => {
  const found = distribution([Infinity, 3, null, 5])
  t.same(found, {
    mean: Infinity,
    median: 5,
    min: 3,
    max: Infinity,
    sd: null,
    cases: 3,
    infinite: 1,
    undefined: 1,
  })
  t.match(distribution([Infinity, Infinity]), {
    mean: Infinity,
    median: Infinity,
    min: Infinity,
    sd: null,
    infinite: 2,
  })
})

t.test('metrics that some cases lack are undefined there', async t => {
  const found = distributions([ofCase('a', { dice: 1 }), ofCase('b', { dice: 0, hd: 2 })])
  t.same(Object.keys(found), ['dice', 'hd'])
  t.match(found['hd'], { mean: 2, cases: 1, undefined: 1 })
})
