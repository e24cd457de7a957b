import t from 'tap'
import { Schedule, unknownOrder } from '../../pipeline/schedule.ts'

t.test('the next use is counted in cases, through this pass and the next ones', async t => {
  const schedule = new Schedule()
  t.equal(schedule.nextUse('a'), Infinity, 'before a pass begins')
  schedule.begin({ ids: ['a', 'b', 'c'] }, [{ ids: ['v'] }, { ids: ['c', 'a', 'b'] }])
  t.same(
    ['a', 'b', 'c', 'v', 'x'].map(id => schedule.nextUse(id)),
    [0, 1, 2, 3, Infinity],
  )
  schedule.used('b')
  t.same(
    ['a', 'b', 'c', 'v'].map(id => schedule.nextUse(id)),
    [3, 4, 0, 1],
    'what came before it has been used too',
  )
  schedule.used('a')
  t.equal(schedule.nextUse('c'), 0, 'a late word does not turn time back')
  schedule.begin({ ids: ['c'] }, [])
  t.equal(schedule.nextUse('a'), Infinity)
  t.equal(unknownOrder.nextUse('a'), undefined)
})
