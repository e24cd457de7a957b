import t from 'tap'
import { drain } from '../../pipeline/compose.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import { meteredStage } from '../../pipeline/metered.ts'
import { openWatchdog } from '../../pipeline/watchdog.ts'
import type { Batch, Engine, StepResult } from '../../pipeline/engine.ts'
import type { Sample } from '../../pipeline/flow.ts'
import { perItemAsync } from '../../stages/lift.ts'
import { materialise } from '../../imaging/volume.ts'
import { FakeTime, samples, settled, volumeTraits } from '../support/metered.ts'
import { contextOf, nothingBefore } from '../support/stage.ts'

const ignore = { item: () => {}, caseFailed: () => {} }
const never = (): Promise<never> => new Promise(() => {})

/** A watchdog on a time of the test's own: `pass` lets so many seconds go by, in steps of one. */
function watched(ledger = openLedger(1000)): {
  time: FakeTime
  notes: string[]
  pass(seconds: number): void
  close(): void
} {
  const time = new FakeTime()
  const notes: string[] = []
  let tick: (() => void) | undefined
  const every = (_seconds: number, work: () => void): (() => void) => {
    tick = work
    return () => void (tick = undefined)
  }
  const { close } = openWatchdog(time.meter, ledger, text => void notes.push(text), every)
  return {
    time,
    notes,
    close,
    pass(seconds) {
      for (let i = 0; i < seconds; i++) {
        time.now += 1
        tick?.()
      }
    },
  }
}

t.test('after a minute without a movement it says who waits for what, then after two, four and eight', async t => {
  const { time, notes, pass, close } = watched()
  const hanging = perItemAsync<Sample, Sample>('load', 2, async sample => ({
    ...sample,
    image: { ...time.source(2, 0), slabs: () => ({ [Symbol.asyncIterator]: () => ({ next: never }) }) },
  }))
  const pulling = perItemAsync<Sample, Sample>('crop', 1, async sample => {
    await materialise(sample.image!)
    return sample
  })
  const [load, clip, crop, train] = [
    time.stage('load', hanging),
    time.stage('clip', time.lazily('clip', 0)),
    time.stage('crop', pulling),
    time.stage('train', source => source),
  ]
  void drain(samples(9), source => train(crop(clip(load(source)))), ignore)
  await settled()
  pass(59)
  t.same(notes, [])
  pass(1)
  t.equal(notes.length, 1)
  t.equal(
    notes[0],
    [
      'nothing has moved for 60 s',
      '  load: at work on case0, voxels of /data/0.nii (60 s)',
      '  clip: waits for input: case0, voxels of /data/0.nii (60 s)',
      '  crop: waits for input: case0 (60 s)',
      '  train: waits for input: its next item',
    ].join('\n'),
  )
  pass(59)
  t.equal(notes.length, 1)
  pass(1)
  t.match(notes[1], /^nothing has moved for 120 s\n/)
  pass(360)
  t.same(
    notes.slice(2).map(note => note.split('\n')[0]),
    ['nothing has moved for 240 s', 'nothing has moved for 480 s'],
  )
  close()
  pass(1000)
  t.equal(notes.length, 4, 'closed')
})

t.test('it says when things move again, and is then as patient as before', async t => {
  const { time, notes, pass } = watched()
  const stage = time.meter.stage('load', volumeTraits)
  const [one, two] = samples(2)
  stage.begins()
  stage.began(one!)
  pass(70)
  t.equal(notes.length, 1)
  stage.began(two!)
  pass(1)
  t.equal(notes[1], 'moving again, after 70 s without a movement')
  pass(58)
  t.equal(notes.length, 2)
  pass(1)
  t.match(notes[2], /^nothing has moved for 60 s/)
  t.match(notes[2], '  load: at work on case0 (130 s)\n  load: at work on case1 (60 s)')
})

t.test('a long step of the engine is called that, and the next one as long is not mentioned', async t => {
  const { time, notes, pass } = watched()
  const answers: (() => void)[] = []
  const engine = {
    step: () =>
      new Promise<StepResult>(resolve => answers.push(() => resolve({ loss: 0, patches: 1, seconds: 90, cases: [] }))),
  } as unknown as Engine
  const train = meteredStage(
    time.meter,
    'train',
    { takes: ['batch'], gives: 'step', wraps: false },
    context => perItemAsync<Batch, StepResult>('train', 2, async batch => context.engine().step(batch)),
    contextOf({ engine: () => engine }),
    nothingBefore,
  )
  const batches = Array.from({ length: 9 }, (_, i) => ({ cases: [`${i}`], count: 1 }) as unknown as Batch)
  void drain(batches, source => train(time.stage('batch', same => same)(source)), ignore)
  await settled()
  pass(60)
  const [headline, ...lines] = notes[0]!.split('\n')
  t.equal(
    headline,
    'nothing else has moved for 60 s: the engine still computes what "train" gave it 60 s ago, which large patches or a slow machine may explain',
  )
  t.same(lines, [
    '  train: the engine computes (60 s)',
    '  train: waits for the engine, which is at work on another (1 in line)',
    '  batch: waits until somebody takes what it has made',
  ])
  pass(30)
  answers.shift()!()
  await settled()
  pass(1)
  t.match(notes[1], /^moving again, after 90 s/)
  pass(89)
  answers.shift()!()
  await settled()
  pass(100)
  t.equal(notes.length, 2, 'such steps are usual here')
  pass(100)
  t.equal(notes.length, 3, 'twice as long is not')
})

t.test('who waits for memory is told with the bytes, and who holds it', async t => {
  const ledger = openLedger(1000)
  ledger.reserve('the engine', 300, 'use less')
  const { time, notes, pass } = watched(ledger)
  const crop = meteredStage(
    time.meter,
    'crop',
    volumeTraits,
    context =>
      perItemAsync<Sample, Sample>('crop', 3, async sample => {
        await context.ledger.claim(sample.case.id, 500)
        return never()
      }),
    contextOf({ ledger }),
    nothingBefore,
  )
  void drain(samples(9), crop, ignore)
  await settled()
  pass(60)
  t.same(notes[0]!.split('\n'), [
    'nothing has moved for 60 s',
    '  crop: waits for memory: 500 B for case1 (60 s)',
    '  crop: waits for memory: 500 B for case2 (60 s)',
    '  crop: at work on case0 (60 s)',
    '  memory: 800 B of 1000 B taken (300 B by the engine, 500 B by case0); in line: 2, first case1 for 500 B',
  ])
})

t.test('between two passes it says that no stage runs', t => {
  const { notes, pass } = watched()
  pass(60)
  t.match(notes, [/^nothing has moved for 60 s: no stage runs/])
  t.end()
})

t.test('of many cases in one place some are named', t => {
  const { time, notes, pass } = watched()
  const stage = time.meter.stage('load', volumeTraits)
  stage.begins()
  for (const sample of samples(7)) stage.began(sample)
  pass(60)
  t.match(notes[0], /case2 \(60 s\)\n {2}load: and 4 more like it$/)
  t.end()
})
