import highland from 'highland'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { drain } from '../../pipeline/compose.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Batch, StepResult } from '../../pipeline/engine.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Transform } from '../../pipeline/stage.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { aheadInOrder } from '../../stages/ahead.ts'
import { perItemAsync, perItemMany } from '../../stages/lift.ts'

const cases = (n: number): Sample[] => Array.from({ length: n }, (_, index) => sampleOf({ id: `${index}`, index }, 0))
const id = (item: Item): string => ('case' in item ? item.case.id : item.cases.join('+'))
const ignore = { item: () => {}, caseFailed: () => {} }

/** Nothing here waits for a clock or a file: after some turns of the loop whatever could happen has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn()
}

/** A stage that writes down when it begins and ends; it ends when told to, or at once. */
function logged(log: string[], kind: string, parallel: number, until?: (id: string) => Promise<void>): Transform {
  return perItemAsync<Sample, Sample>(kind, parallel, async item => {
    log.push(`${kind} ${id(item)}`)
    await until?.(id(item))
    log.push(`${kind} ${id(item)} done`)
    return item
  })
}

/** Steps that last until the test ends them. */
function steps(): { started: string[]; end(): void; until(id: string): Promise<void> } {
  const waiting: (() => void)[] = []
  const started: string[] = []
  return {
    started,
    end: () => waiting.shift()?.(),
    until: step => {
      started.push(step)
      return new Promise(resolve => void waiting.push(resolve))
    },
  }
}

const collate: Transform = source =>
  source.batch(2).map((patches): Item => ({ cases: patches.map(patch => id(patch)), count: 2 }) as unknown as Batch)

t.test('while a step computes, the next cases are loaded and cropped as far as the stages may work ahead', async t => {
  const log: string[] = []
  const engine = steps()
  const two = perItemMany<Sample, Sample>('take', sample => [sample, sample])
  const train = logged(log, 'step', 2, engine.until)
  const flow: Transform = source => train(collate(two(logged(log, 'crop', 1)(logged(log, 'load', 2)(source)))))
  const done = drain(cases(8), flow, ignore)
  await settled()
  t.notOk(log.includes('step 0+0 done'), 'the first step still computes')
  // Two batches in flight, a case ready in crop, two in load.
  t.same(engine.started, ['0+0', '1+1'])
  for (const event of ['crop 2 done', 'load 3 done', 'load 4 done']) t.ok(log.includes(event), event)
  for (const event of ['crop 3', 'load 5']) t.notOk(log.includes(event), `no ${event}: nobody has room for it`)
  for (let step = 1; step < 8; step++) {
    const begun = log.length
    engine.end()
    await settled()
    // A queue in front of the engine holds one step and its cases have been prepared before.
    if (step < 7) t.ok(engine.started.length > step, `step ${step} was begun before step ${step - 1} ended`)
    t.ok(log.length > begun)
  }
  engine.end()
  await done
  t.same(
    engine.started,
    Array.from({ length: 8 }, (_, i) => `${i}+${i}`),
    'all of them, in order',
  )
})

t.test('nothing is begun before somebody asks, and at most so many wait to be taken', async t => {
  let begun = 0
  const stream = aheadInOrder(highland<Item>(cases(20)), 3, async item => {
    begun += 1
    return item
  })
  await settled()
  t.equal(begun, 0)
  const pull = (): Promise<Item> =>
    new Promise((resolve, reject) =>
      stream.pull((error: unknown, item) => (error ? reject(error as Error) : resolve(item as Item))),
    )
  for (let taken = 1; taken <= 5; taken++) {
    t.equal(id(await pull()), `${taken - 1}`)
    await settled()
    t.equal(begun, taken + 3)
  }
})

t.test('errors keep their place among the items, their own and those that came in', async t => {
  const source = highland<Item>(cases(6)).map(item => {
    if (id(item) === '1') throw new PipelineError('ERR_FILE', 'before', { case: '1' })
    return item
  })
  const flow = perItemAsync<Sample, Sample>('load', 4, async item => {
    for (let i = Number(id(item)); i < 6; i++) await turn()
    if (id(item) === '4') throw new PipelineError('ERR_FILE', 'within')
    return item
  })
  const seen: string[] = []
  await new Promise<void>(resolve => {
    flow(source)
      .errors(error => void seen.push(error.message))
      .each(item => void seen.push(id(item)))
      .done(resolve)
  })
  t.same(seen, ['0', 'before', '2', '3', '4: load: within', '5'])
})

const through: Transform = source => aheadInOrder(source, 2, async item => item)

t.test('ten thousand items that are ready at once do not pile up on the stack', async t => {
  let seen = 0
  await drain(cases(10_000), source => through(through(source)), { ...ignore, item: () => void (seen += 1) })
  t.equal(seen, 10_000)
})

t.test('a batch after another is taken in the order of its cases however long each takes', async t => {
  const slow = perItemAsync<Sample, Sample>('slow', 5, async item => {
    for (let i = 0; i < (Number(id(item)) * 7) % 5; i++) await turn()
    return item
  })
  const step = perItemAsync<Batch, StepResult>('train', 2, async batch => ({
    loss: 0,
    patches: batch.count,
    seconds: 0,
    cases: batch.cases,
  }))
  const seen: string[] = []
  await drain(cases(10), source => step(collate(slow(source))), { ...ignore, item: item => void seen.push(id(item)) })
  t.same(seen, ['0+1', '2+3', '4+5', '6+7', '8+9'])
})
