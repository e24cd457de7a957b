import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { residentVolume, materialise, type LoadedVolume } from '../../imaging/volume.ts'
import { drain } from '../../pipeline/compose.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import { meteredStage } from '../../pipeline/metered.ts'
import type { Claim } from '../../pipeline/claims.ts'
import type { Batch, Engine, StepResult } from '../../pipeline/engine.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Transform } from '../../pipeline/stage.ts'
import { cache } from '../../stages/cache.ts'
import { perItem, perItemAsync } from '../../stages/lift.ts'
import { FakeTime, samples, settled, volumeTraits } from '../support/metered.ts'
import { gridOf } from '../support/nifti.ts'
import { contextOf, nothingBefore, optionsFrom } from '../support/stage.ts'

const ignore = { item: () => {}, caseFailed: () => {} }

/** Everything that was begun has ended. */
function isIdle(time: FakeTime): boolean {
  return time.meter.stages.every(
    stage => stage.running === 0 && stage.asked === 0 && stage.frames.size === 0 && stage.atWork === 0,
  )
}

function load(time: FakeTime, seconds: number, onEnd?: () => void): Transform {
  return perItemAsync<Sample, Sample>('load', 1, async sample => ({ ...sample, image: time.source(4, seconds, onEnd) }))
}

/** Pulls the image, then works. */
function crop(time: FakeTime, seconds: number): Transform {
  return perItemAsync<Sample, Sample>('crop', 1, async sample => {
    const voxels = await materialise(sample.image!)
    time.works(seconds)
    return { ...sample, image: residentVolume(sample.image!.grid, voxels) }
  })
}

t.test('time goes to the stage whose code ran, though somebody else pulls', async t => {
  const time = new FakeTime()
  const flow = [
    time.stage('load', load(time, 2)),
    time.stage('resample', time.lazily('resample', 3)),
    time.stage('clip', time.lazily('clip', 1)),
    time.stage('crop', crop(time, 5)),
  ].reduce<Transform>(
    (before, stage) => source => stage(before(source)),
    source => source,
  )
  const seen: Item[] = []
  await drain(samples(3), flow, { ...ignore, item: item => void seen.push(item) })
  const busy = Object.fromEntries(time.meter.snapshot().stages.map(({ kind, busySeconds }) => [kind, busySeconds]))
  t.same(busy, { load: 3 * 8, resample: 3 * 12, clip: 3 * 4, crop: 3 * 5 })
  t.match(time.figures('clip'), { waitingForInputSeconds: 3 * 20, items: 3, itemsIn: 3, bytes: 3 * 64 })
  t.match(time.figures('crop'), { waitingForInputSeconds: 3 * 24, bytes: 0, passes: 1, runningSeconds: 3 * 29 })
  t.match(time.figures('load'), { bytes: 3 * 64, waitingForInputSeconds: 0 })
  t.same(
    seen.map(item => [...(item as Sample).image!.resident!].filter((_, i) => i % 4 === 0)),
    Array.from({ length: 3 }, () => [2, 3, 4, 5]),
    'the voxels are those without a meter',
  )
  t.ok(isIdle(time))
})

t.test('two volumes of a case pulled side by side: each stage has what is at work in it', async t => {
  const time = new FakeTime()
  const both = perItemAsync<Sample, Sample>('load', 1, async sample => ({
    ...sample,
    image: time.source(4, 2),
    label: time.source(4, 1),
  }))
  const pull = perItemAsync<Sample, Sample>('crop', 1, async sample => {
    await Promise.all([materialise(sample.image!), materialise(sample.label!)])
    return sample
  })
  const [one, two, three] = [
    time.stage('load', both),
    time.stage('clip', time.lazily('clip', 5)),
    time.stage('crop', pull),
  ]
  await drain(samples(1), source => three(two(one(source))), ignore)
  const [loaded, clipped, cropped] = ['load', 'clip', 'crop'].map(kind => time.figures(kind))
  t.equal(time.now, 4 * 8)
  t.equal(loaded!.workingSeconds, 4 * 8, 'a pull of the label was outstanding whenever clip worked on the image')
  t.equal(clipped!.busySeconds, 4 * 5)
  t.equal(cropped!.busySeconds, 0)
  t.equal(cropped!.waitingForInputSeconds, 4 * 8, 'one call that waits, whatever it waits for')
})

t.test('a stage that groups without a lifted function is charged for what it does when an item comes', async t => {
  const time = new FakeTime()
  const group: Transform = source =>
    source.batch(2).map((items): Item => {
      time.works(7)
      return { cases: items.map(item => (item as Sample).case.id), loss: 0, patches: 2, seconds: 0 }
    })
  const step = perItem<StepResult, StepResult>('step', item => {
    time.works(100)
    return item
  })
  const [batch, train] = [time.stage('batch', group), time.stage('train', step)]
  await drain(samples(4), source => train(batch(source)), ignore)
  t.match(time.figures('batch'), { busySeconds: 14, itemsIn: 4, items: 2 })
  t.match(time.figures('train'), { busySeconds: 200, items: 2 })
  t.ok(isIdle(time))
})

const region = async (): Promise<Float32Array> => new Float32Array(1).fill(9)

t.test('what a stage hands through comes out as it went in, with all that it carries', async t => {
  const time = new FakeTime()
  const header = new Uint8Array(348)
  const opened: LoadedVolume = { ...time.source(4, 1), header, volumes: 1, region }
  const resident = residentVolume(gridOf([1, 1, 2]), new Float32Array(2))
  const given: Sample[] = []
  const peek = perItem<Sample, Sample>('channel-first', sample => {
    given.push(sample)
    return { ...sample, image: { ...sample.image!, header } as LoadedVolume }
  })
  const [one, two] = [
    time.stage(
      'load',
      perItem<Sample, Sample>('load', sample => ({ ...sample, image: opened, label: resident })),
    ),
    time.stage('channel-first', peek),
  ]
  const seen: Sample[] = []
  await drain(samples(1), source => two(one(source)), { ...ignore, item: item => void seen.push(item as Sample) })
  const within = given[0]!.image as LoadedVolume
  t.equal(within.grid, opened.grid, 'the grid is the same object: stages compare them')
  t.equal(within.header, header)
  t.equal(within.volumes, 1)
  t.equal(within.resident, undefined)
  t.equal(given[0]!.label, resident, 'voxels in memory are nobody’s work')
  t.equal(seen[0]!.image!.slabs, opened.slabs)
  t.equal(seen[0]!.image!.region, region)
  t.same(await within.region!([0, 0, 0], [1, 1, 1]), [9])
  t.match(time.figures('load'), { bytes: 4 }, 'a region is charged to who made the volume')
})

t.test('a stage that runs those before it waits for them; what it keeps costs nothing again', async t => {
  const time = new FakeTime()
  const [loads, resamples] = [time.stage('load', load(time, 2)), time.stage('resample', time.lazily('resample', 3))]
  const kept = meteredStage(
    time.meter,
    'cache',
    { ...volumeTraits, wraps: true },
    (context, before) => cache.create(optionsFrom(cache, { kind: 'cache', parallel: 1 }), context, before),
    contextOf(),
    { flow: source => resamples(loads(source)), stages: [] },
  )
  const crops = time.stage('crop', crop(time, 0))
  const all = samples(2)
  await drain(all, source => crops(kept(source)), ignore)
  t.match(time.figures('load'), { busySeconds: 16, items: 2, passes: 2 })
  t.match(time.figures('resample'), { busySeconds: 24, waitingForInputSeconds: 16 })
  t.match(time.figures('cache'), { busySeconds: 0, waitingForInputSeconds: 40, items: 2 })
  t.ok(isIdle(time))
  await drain(all, source => crops(kept(source)), ignore)
  t.match(time.figures('load'), { busySeconds: 16, items: 2 })
  t.match(time.figures('cache'), { waitingForInputSeconds: 40, items: 4, passes: 2 })
  t.match(time.figures('crop'), { busySeconds: 0, items: 4 })
})

t.test('an error closes the iterators and the time of those before, also under a cache', async t => {
  for (const withCache of [false, true]) {
    const time = new FakeTime()
    let open = 0
    const failing = perItem<Sample, Sample>('clip', sample => ({
      ...sample,
      image: {
        ...sample.image!,
        async *slabs() {
          for await (const slab of sample.image!.slabs()) {
            if (slab.z === 2 && sample.case.index === 1) throw new PipelineError('ERR_VOLUME', 'odd voxels')
            yield slab
          }
        },
      },
    }))
    const opening = perItemAsync<Sample, Sample>('load', 1, async sample => {
      open += 1
      return { ...sample, image: time.source(4, 1, () => void (open -= 1)) }
    })
    const [loads, clips] = [time.stage('load', opening), time.stage('clip', failing)]
    const flow: Transform = source => clips(loads(source))
    const kept = meteredStage(
      time.meter,
      'cache',
      { ...volumeTraits, wraps: true },
      (context, before) => cache.create(optionsFrom(cache, { kind: 'cache', parallel: 1 }), context, before),
      contextOf(),
      { flow, stages: [] },
    )
    const crops = time.stage('crop', crop(time, 0))
    const failures: PipelineError[] = []
    const sink = { ...ignore, caseFailed: (error: PipelineError) => void failures.push(error) }
    await drain(samples(3), withCache ? source => crops(kept(source)) : source => crops(flow(source)), sink)
    await settled()
    t.match(failures, [{ code: 'ERR_VOLUME', facts: { case: 'case1' } }])
    t.equal(open, 0, 'no file stays open')
    t.ok(isIdle(time))
    t.equal(time.figures('load').busySeconds, 4 + 3 + 4)
    t.equal(time.figures('crop').items, 2)
  }
})

t.test('a case that cannot even be opened leaves nothing running under a cache', async t => {
  const time = new FakeTime()
  const opening = perItemAsync<Sample, Sample>('load', 2, async sample => {
    if (sample.case.index === 0) throw new PipelineError('ERR_FILE', 'gone')
    return { ...sample, image: time.source(1, 1) }
  })
  const loads = time.stage('load', opening)
  const kept = meteredStage(
    time.meter,
    'cache',
    { ...volumeTraits, wraps: true },
    (context, before) => cache.create(optionsFrom(cache, { kind: 'cache' }), context, before),
    contextOf(),
    { flow: loads, stages: [] },
  )
  let failed = 0
  await drain(samples(2), kept, { ...ignore, caseFailed: () => void (failed += 1) })
  t.equal(failed, 1)
  t.ok(isIdle(time))
})

t.test('a run that is aborted in the middle leaves nothing at work', async t => {
  const time = new FakeTime()
  const controller = new AbortController()
  const [loads, crops] = [time.stage('load', load(time, 1)), time.stage('crop', crop(time, 1))]
  let seen = 0
  const sink = { ...ignore, item: () => void (++seen === 2 && controller.abort('SIGINT')) }
  await drain(samples(50), source => crops(loads(source)), sink, controller.signal)
  t.ok(isIdle(time))
  t.ok(time.figures('load').items < 8, `${time.figures('load').items} loaded`)
})

t.test('of two batches in flight one computes and one waits for the engine, whose own seconds count', async t => {
  const time = new FakeTime()
  const answers: ((result: StepResult) => void)[] = []
  const engine = {
    info: { classes: 2 },
    step: () => new Promise<StepResult>(resolve => void answers.push(resolve)),
  } as unknown as Engine
  const traits = { takes: ['batch'], gives: 'step', wraps: false }
  const train = meteredStage(
    time.meter,
    'train',
    traits,
    context => perItemAsync<Batch, StepResult>('train', 2, async batch => context.engine().step(batch)),
    contextOf({ engine: () => engine }),
    nothingBefore,
  )
  const batches = Array.from({ length: 3 }, (_, i) => ({ cases: [`${i}`], count: 1 }) as unknown as Batch)
  const done = drain(batches, train, ignore)
  const answer = async (seconds: number): Promise<void> => {
    answers.shift()!({ loss: 0, patches: 1, seconds, cases: [] })
    await settled()
  }
  await settled()
  t.equal(answers.length, 2)
  time.works(10)
  t.match(time.figures('train'), { busySeconds: 10, engineSeconds: 10, waitingForEngineSeconds: 10 })
  // The answer lay there for 3 s, in which the engine had begun the next step.
  await answer(7)
  time.works(4)
  await answer(7)
  t.match(time.figures('train'), { busySeconds: 14, engineSeconds: 14, waitingForInputSeconds: 0, items: 2 })
  // Nothing in line any more: what the answer lies there for is idle time.
  time.works(10)
  await answer(8)
  await done
  t.match(time.figures('train'), { busySeconds: 22, waitingForInputSeconds: 2, items: 3 })
  t.equal(time.meter.engineCalls.length, 0)
  t.ok(isIdle(time))
})

t.test('waiting for the ledger is not work, and those behind wait for memory with it', async t => {
  const time = new FakeTime()
  const ledger = openLedger(100)
  const claims: Claim[] = []
  const taking = meteredStage(
    time.meter,
    'crop',
    volumeTraits,
    context =>
      perItemAsync<Sample, Sample>('crop', 2, async sample => {
        claims.push(await context.ledger.claim(sample.case.id, 60))
        return sample
      }),
    contextOf({ ledger }),
    nothingBefore,
  )
  const train = time.stage(
    'train',
    perItemAsync<Sample, Sample>('train', 1, async sample => sample),
  )
  const done = drain(samples(2), source => train(taking(source)), ignore)
  await settled()
  t.same(
    [...time.meter.holders].map(({ what, claim }) => [what, claim.bytes]),
    [['case0', 60]],
  )
  t.match([...time.meter.stages[0]!.claims], [{ what: 'case1', bytes: 60 }])
  time.now += 10
  t.match(time.figures('crop'), { busySeconds: 0, waitingForMemorySeconds: 10 })
  t.match(time.figures('train'), { waitingForMemorySeconds: 10 })
  claims[0]!.release()
  await done
  t.match(time.figures('crop'), { busySeconds: 0, waitingForMemorySeconds: 10, items: 2 })
  t.equal(time.meter.snapshot().memoryWaitedSeconds, 10)
  claims[1]!.release()
  t.equal(time.meter.holders.size, 0)
  t.ok(isIdle(time))
})

t.test('a claim that is refused ends its waiting', async t => {
  const time = new FakeTime()
  const taking = meteredStage(
    time.meter,
    'crop',
    volumeTraits,
    context =>
      perItemAsync<Sample, Sample>('crop', 1, async sample => {
        await context.ledger.claim(sample.case.id, Promise.resolve(200))
        return sample
      }),
    contextOf({ ledger: openLedger(100) }),
    nothingBefore,
  )
  const failures: PipelineError[] = []
  await drain(samples(1), taking, { ...ignore, caseFailed: error => void failures.push(error) })
  t.match(failures, [{ code: 'ERR_VOLUME', facts: { case: 'case0', stage: 'crop' } }])
  t.equal(time.meter.holders.size, 0)
  t.ok(isIdle(time))
})

/** How many items three stages have begun while the last one holds its first, and in the end. */
async function begunBy(wrap: (kind: string, transform: Transform) => Transform): Promise<number[]> {
  const counts = [0, 0, 0]
  const stage = (i: number, parallel: number, until?: Promise<unknown>): Transform =>
    wrap(
      `${i}`,
      perItemAsync<Sample, Sample>(`${i}`, parallel, async sample => {
        counts[i]! += 1
        await until
        return sample
      }),
    )
  const held = new EventEmitter()
  const [one, two, three] = [stage(0, 2), stage(1, 1), stage(2, 1, once(held, 'free'))]
  const through = wrap('through', source => source)
  const done = drain(samples(20), source => three(through(two(through(one(source))))), ignore)
  await settled()
  const before = [...counts]
  held.emit('free')
  await done
  return [...before, ...counts]
}

t.test('meters between the stages take no item more than the stages would', async t => {
  const time = new FakeTime()
  const bare = await begunBy((_, transform) => transform)
  t.same(bare, [4, 2, 1, 20, 20, 20])
  t.same(await begunBy((kind, transform) => time.stage(kind, transform)), bare)
})
