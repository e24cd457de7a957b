import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { nameOf, subjectOf } from '../../pipeline/stage-meter.ts'
import type { Batch } from '../../pipeline/engine.ts'
import { FakeTime, samples, volumeTraits } from '../support/metered.ts'

t.test('a case at work in several calls counts as often as calls of its own are not waiting', t => {
  const time = new FakeTime()
  const stage = time.meter.stage('resample', volumeTraits)
  const below = time.meter.stage('load', volumeTraits)
  const [one, two] = samples(2)
  stage.begins()
  stage.began(one!)
  stage.began(two!)
  time.now += 1
  t.match(time.figures('resample'), { busySeconds: 2, workingSeconds: 1 })
  // The first case's only call makes two: it waits once, and the other case works on.
  void stage.reads(below, one!.case, 'image', () => new Promise(() => {}))
  void stage.reads(below, one!.case, 'label', () => new Promise(() => {}))
  time.now += 1
  t.match(time.figures('resample'), { busySeconds: 3, workingSeconds: 2, waitingForInputSeconds: 1 })
  t.match(time.figures('load'), { busySeconds: 2, workingSeconds: 1, runningSeconds: 0 })
  stage.ended(two!)
  time.now += 1
  t.match(time.figures('resample'), { busySeconds: 3, waitingForInputSeconds: 2 })
  t.end()
})

t.test('with nothing to do a stage waits for input where it has asked for some, else for those behind it', t => {
  const time = new FakeTime()
  const stage = time.meter.stage('crop', volumeTraits)
  time.now += 5
  t.match(time.figures('crop'), { runningSeconds: 0, waitingDownstreamSeconds: 0 }, 'no flow runs yet')
  stage.begins()
  time.now += 1
  stage.asks()
  time.now += 2
  stage.answered(true)
  time.now += 4
  stage.ends()
  time.now += 5
  t.match(time.figures('crop'), {
    runningSeconds: 7,
    waitingForInputSeconds: 2,
    waitingDownstreamSeconds: 5,
    busySeconds: 0,
    itemsIn: 1,
  })
  t.end()
})

t.test('a stage waits for memory only while nobody before it is at work', async t => {
  const time = new FakeTime()
  const [first, second, last] = ['load', 'cache', 'train'].map(kind => time.meter.stage(kind, volumeTraits))
  const [one] = samples(1)
  last!.begins()
  last!.asks()
  first!.began(one!)
  const claim = { bytes: 5, shrinkTo() {}, release() {}, whenReleased() {} }
  const line = new EventEmitter()
  const granted = second!.waitsForMemory(
    'case1',
    5,
    once(line, 'grant').then(() => claim),
  )
  time.now += 1
  t.match(time.figures('train'), { waitingForInputSeconds: 1, waitingForMemorySeconds: 0 })
  first!.ended(one!)
  time.now += 2
  t.match(time.figures('train'), { waitingForInputSeconds: 1, waitingForMemorySeconds: 2 })
  line.emit('grant')
  t.equal(await granted, claim)
  time.now += 4
  t.match(time.figures('train'), { waitingForInputSeconds: 5, waitingForMemorySeconds: 2 })
  t.equal(time.meter.snapshot().memoryWaitedSeconds, 3)
})

t.test('patches of a case are counted with it, batches by themselves', t => {
  const [one] = samples(1)
  t.equal(subjectOf({ ...one!, patch: 1 }), one!.case)
  const batch = { cases: ['a', 'b'] } as unknown as Batch
  t.equal(subjectOf(batch), batch)
  t.equal(nameOf(batch), 'a, b')
  t.equal(nameOf(one!.case), 'case0')
  t.end()
})
