import t from 'tap'
import { Eta, leftText } from '../../pipeline/eta.ts'

t.test('cases that took no work, and the time that finding it took, spoil nothing', t => {
  let now = 100
  const eta = new Eta(() => now)
  t.equal(eta.left(10), undefined, 'nothing is known yet')
  eta.began()
  now += 10
  eta.ended()
  t.equal(eta.left(10), 100)
  // Nobody works: cases are looked at that turn out to be done.
  now += 1000
  t.equal(eta.left(10), 100)
  eta.began()
  eta.began()
  now += 10
  eta.ended()
  now += 10
  eta.ended()
  t.equal(eta.left(3), 30, 'three cases in 30 s, some of them side by side')
  t.equal(eta.left(0), 0)
  t.end()
})

t.test('as exact as a guess is', t => {
  t.same([0, 40.2, 89, 90, 3240, 5400, 12_000, 300_000].map(leftText), [
    'about 0 s left',
    'about 41 s left',
    'about 89 s left',
    'about 2 min left',
    'about 54 min left',
    'about 1 h 30 min left',
    'about 3 h 20 min left',
    'about 3 days left',
  ])
  t.end()
})
