import t from 'tap'
import { openStatus } from '../../pipeline/status.ts'
import { FakeTime, samples, volumeTraits } from '../support/metered.ts'

t.test('the line tells of the last ten seconds, and stops when closed', t => {
  const time = new FakeTime()
  const [load, train] = ['load', 'train'].map(kind =>
    time.meter.stage(kind, { ...volumeTraits, gives: kind === 'train' ? 'step' : 'volume' }),
  )
  const shown: string[] = []
  let tick: (() => void) | undefined
  const status = openStatus(
    time.meter,
    text => void shown.push(text),
    (seconds, work) => {
      t.equal(seconds, 1)
      tick = work
      return () => void (tick = undefined)
    },
  )
  const pass = (count: number): void => {
    for (let i = 0; i < count; i++) {
      time.now += 1
      tick!()
    }
  }
  pass(2)
  t.same(shown, [], 'nothing runs')
  const [one] = samples(1)
  load!.begins()
  train!.begins()
  train!.asks()
  load!.began(one!)
  pass(8)
  t.match(shown.at(-1), /^bottleneck: load 100 % busy; train waits for input 100 %/)
  load!.ended(one!)
  train!.answered(true)
  train!.began(one!)
  pass(4)
  t.match(shown.at(-1), /^bottleneck: load 60 % busy; train waits for input 60 %/)
  pass(6)
  t.match(shown.at(-1), /^bottleneck: train 100 % busy; waits for input 0 %/)
  status.close()
  t.equal(tick, undefined)
  t.end()
})
