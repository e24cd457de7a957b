import t from 'tap'
import { sideBySide } from '../../../pipeline/explain/time.ts'
import { measured, plus, times } from '../../../pipeline/explain/stopwatch.ts'

const effort = (wall: number, cpu: number, main: number): { wall: number; cpu: number; main: number } => ({
  wall,
  cpu,
  main,
})

t.test('two works side by side take as long as what they share', t => {
  t.equal(sideBySide(effort(10, 10, 0), effort(4, 4, 4), 2, 4, 0), 10, 'the longer one')
  t.equal(sideBySide(effort(1, 1, 0), effort(8, 8, 2), 2, 4, 0), 4, 'several cases at a time')
  t.equal(sideBySide(effort(10, 20, 0), effort(8, 6, 2), 2, 2, 0), 13, 'the processors')
  t.equal(sideBySide(effort(5, 5, 3), effort(4, 4, 4), 4, 8, 0), 7, 'the one thread of JavaScript')
  t.equal(sideBySide(effort(10, 10, 0), effort(4, 4, 0), 2, 4, 0.5), 11, 'and before the first step a batch')
  t.end()
})

t.test('efforts add and scale', t => {
  t.same(times(plus(effort(1, 2, 3), effort(4, 5, 6)), 2), effort(10, 14, 18))
  t.same(plus(), effort(0, 0, 0))
  t.end()
})

t.test('work that keeps the thread busy is told from work that waits', async t => {
  const busy = await measured(async () => {
    let sum = 0
    for (let i = 0; i < 3e7; i++) sum += Math.sqrt(i)
    return sum
  })
  const waiting = await measured(() => new Promise(resolve => setTimeout(resolve, 60)))
  t.ok(busy.effort.wall > 0 && busy.effort.cpu > 0)
  t.ok(waiting.effort.wall >= 0.05)
  t.ok(waiting.effort.main < waiting.effort.wall, 'waiting keeps nobody busy')
  t.type(busy.result, 'number')
})
