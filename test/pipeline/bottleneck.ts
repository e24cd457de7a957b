import t from 'tap'
import { between, bottleneckOf, stageTimes } from '../../pipeline/bottleneck.ts'
import type { MeterSnapshot } from '../../pipeline/meter.ts'
import type { StageFigures, StageTraits } from '../../pipeline/stage-meter.ts'
import { FakeTime, samples, volumeTraits } from '../support/metered.ts'

const nothing: Omit<StageFigures, 'kind'> = {
  busySeconds: 0,
  workingSeconds: 0,
  engineSeconds: 0,
  waitingForInputSeconds: 0,
  waitingForMemorySeconds: 0,
  waitingForEngineSeconds: 0,
  waitingDownstreamSeconds: 0,
  runningSeconds: 0,
  passes: 1,
  itemsIn: 0,
  items: 0,
  bytes: 0,
}

const traits: StageTraits[] = [
  volumeTraits,
  { takes: ['volume'], gives: 'volume', wraps: true },
  { takes: ['volume'], gives: 'patch', wraps: false },
  { takes: ['batch', 'patch'], gives: 'step', wraps: false },
]

function row(kind: string, figures: Partial<StageFigures>): StageFigures {
  return { ...nothing, kind, ...figures }
}

/** load, cache, crop and train in 100 s. */
function snapshot(load: number, crop: number, train: Partial<StageFigures>, memoryWaitedSeconds = 0): MeterSnapshot {
  const stages = [
    row('load', { workingSeconds: load, runningSeconds: 60 }),
    row('cache', { waitingForInputSeconds: load, runningSeconds: 100.1 }),
    row('crop', { workingSeconds: crop, runningSeconds: 100 }),
    row('train', { runningSeconds: 100, ...train }),
  ]
  return { stages, memoryWaitedSeconds }
}

t.test('an engine that hardly waits is the bottleneck, whatever else is busy', t => {
  const found = bottleneckOf(snapshot(100, 30, { workingSeconds: 96, waitingForInputSeconds: 4 }), traits)
  t.match(found, { kind: 'train', last: 'train', busy: 0.96, lastWaitsForInput: 0.04 })
  t.equal(found!.text, 'bottleneck: train 96 % busy; waits for input 4 %, for memory 0 %')
  t.end()
})

t.test('an engine that waits leads to what was at work for the longest time, and to what helps', t => {
  const slow = { workingSeconds: 59, waitingForInputSeconds: 41 }
  const found = bottleneckOf(snapshot(82, 30, slow), traits)
  t.match(found, { kind: 'load', busy: 0.82, lastWaitsForInput: 0.41, lastWaitsForMemory: 0 })
  t.match(found!.text, /^bottleneck: load 82 % busy; train waits for input 41 %, for memory 0 %; room for all cases/)
  const without = traits.map(row => ({ ...row, wraps: false }))
  t.match(
    bottleneckOf(snapshot(82, 30, slow), without)!.text,
    /more cases at a time.*, a "cache" or a faster disk help$/,
  )
  const patches = bottleneckOf(snapshot(10, 70, slow), traits)!
  t.equal(patches.text, 'bottleneck: crop 70 % busy; train waits for input 41 %, for memory 0 %')
  t.match(bottleneckOf(snapshot(30, 20, { workingSeconds: 80, waitingForInputSeconds: 20 }), traits), { kind: 'train' })
  t.end()
})

t.test('memory is the bottleneck where somebody waited for it longer than anybody worked', t => {
  const starved = { workingSeconds: 29, waitingForInputSeconds: 16, waitingForMemorySeconds: 55 }
  t.equal(
    bottleneckOf(snapshot(40, 10, starved, 63), traits)!.text,
    'bottleneck: memory, waited for 63 % of the time; train waits for input 16 %, for memory 55 %; raise "memory"',
  )
  t.match(bottleneckOf(snapshot(70, 10, starved, 63), traits), { kind: 'load' })
  const busy = { workingSeconds: 95, waitingForInputSeconds: 5 }
  t.match(bottleneckOf(snapshot(40, 10, busy, 99), traits), { kind: 'train' }, 'nobody waits for who waited')
  t.end()
})

t.test('where a run has two flows, the one that ran longer is told of', t => {
  const { stages } = snapshot(40, 10, { workingSeconds: 99 })
  const validated = [
    ...stages,
    { ...nothing, kind: 'infer', workingSeconds: 190, engineSeconds: 180, runningSeconds: 200 },
    { ...nothing, kind: 'dice', waitingForInputSeconds: 190, runningSeconds: 200 },
  ]
  const all = [
    ...traits,
    { takes: ['volume'], gives: 'prediction', wraps: false },
    { takes: ['prediction', 'volume'], gives: 'score', wraps: false },
  ]
  t.match(bottleneckOf({ stages: validated, memoryWaitedSeconds: 0 }, all), { kind: 'infer', last: 'dice', busy: 0.95 })
  t.end()
})

t.test('between two snapshots counts what came in between, stages that were added later from nothing', t => {
  const before = snapshot(10, 5, { workingSeconds: 20, items: 3 }, 1)
  const after = snapshot(15, 5, { workingSeconds: 50, items: 8 }, 4)
  const more = { ...after, stages: [...after.stages, { ...nothing, kind: 'infer', items: 2 }] }
  const found = between(before, more)
  t.equal(found.memoryWaitedSeconds, 3)
  t.match(found.stages, [
    { workingSeconds: 5 },
    {},
    { workingSeconds: 0 },
    { workingSeconds: 30, items: 5 },
    { items: 2 },
  ])
  t.end()
})

t.test('nothing is said of a run in which nothing ran', t => {
  const time = new FakeTime()
  t.same(stageTimes(time.meter), { values: { bottleneck: null, stages: [] }, text: '' })
  time.meter.stage('load', volumeTraits)
  time.now += 10
  t.same(stageTimes(time.meter), { values: { bottleneck: null, stages: [] }, text: '' })
  t.end()
})

t.test('figures for machines are rounded to thousandths, and have a row for each stage that ran', t => {
  const time = new FakeTime()
  const load = time.meter.stage('load', volumeTraits)
  time.meter.stage('dice', { takes: ['prediction'], gives: 'score', wraps: false })
  load.begins()
  const [one] = samples(1)
  load.began(one!)
  time.now += 1 / 3
  const { values, text } = stageTimes(time.meter)
  t.match(values, { bottleneck: { kind: 'load', busy: 1 }, stages: [{ kind: 'load', busySeconds: 0.333, items: 0 }] })
  t.equal(values.stages.length, 1)
  t.match(text, /^bottleneck: load 100 % busy; waits for input 0 %/)
  t.end()
})
