import t from 'tap'
import { SharedMemory } from '../../stages/shared-memory.ts'

t.test('memory that was given back is used again where it is large enough', async t => {
  const memory = new SharedMemory()
  const first = memory.take(100)
  const second = memory.take(100)
  t.ok(first instanceof SharedArrayBuffer && first !== second, 'two at a time are two')
  memory.give(first)
  t.equal(memory.take(60), first, 'for less, too')
  memory.give(first)
  memory.give(second)
  const larger = memory.take(101)
  t.equal(larger.byteLength, 101)
  t.not(memory.take(50), first, 'what was too small is gone')
})
