import t from 'tap'
import { drain } from '../../pipeline/compose.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { StepResult } from '../../pipeline/engine.ts'
import type { Case, Item, Sample } from '../../pipeline/flow.ts'
import type { Transform } from '../../pipeline/stage.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { perItem, perItemAsync } from '../../stages/lift.ts'

const cases = (n: number): Sample[] =>
  Array.from({ length: n }, (_, index) => sampleOf({ id: `case${index}`, index } satisfies Case, 0))
const sleep = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms))
const ids = (items: readonly Item[]): string[] => items.map(item => (item as Sample).case.id)

t.test('with a slow consumer at most the configured number of volumes wait beside the one it works on', async t => {
  for (const parallel of [1, 2, 4]) {
    let loaded = 0
    let consumed = 0
    let ahead = 0
    const load = perItemAsync<Sample, Sample>('load', parallel, async sample => {
      loaded += 1
      ahead = Math.max(ahead, loaded - consumed)
      return sample
    })
    const slow = perItemAsync<Sample, Sample>('slow', 1, async sample => {
      await sleep(3)
      consumed += 1
      return sample
    })
    await drain(cases(20), source => slow(load(source)), { item: () => {}, caseFailed: () => {} })
    t.equal(consumed, 20)
    t.equal(ahead, parallel + 1, `parallel ${parallel}: ${ahead} begun and not consumed`)
  }
})

t.test('order is kept when later cases are faster', async t => {
  const flow = perItemAsync<Sample, Sample>('load', 4, async sample => {
    await sleep(8 - sample.case.index)
    return sample
  })
  const seen: Item[] = []
  await drain(cases(8), flow, { item: item => void seen.push(item), caseFailed: () => {} })
  t.same(ids(seen), ids(cases(8)))
})

const failing: Transform = perItem<Sample, Sample>('clip', sample => {
  if (sample.case.index === 2) throw new PipelineError('ERR_VOLUME', 'bad voxels')
  return sample
})

t.test("a case's error names case and stage, and the others go on", async t => {
  const seen: Item[] = []
  const failures: PipelineError[] = []
  await drain(cases(5), failing, { item: item => void seen.push(item), caseFailed: error => void failures.push(error) })
  t.same(ids(seen), ['case0', 'case1', 'case3', 'case4'])
  t.match(failures, [{ code: 'ERR_VOLUME', message: 'bad voxels', facts: { case: 'case2', stage: 'clip' } }])
})

t.test('what the sink throws ends the flow, and nothing is left running', async t => {
  let running = 0
  const flow = perItemAsync<Sample, Sample>('load', 2, async sample => {
    running += 1
    await sleep(2)
    running -= 1
    return sample
  })
  const seen: Item[] = []
  const sink = {
    item: (item: Item) => void seen.push(item),
    caseFailed: (error: PipelineError) => {
      throw error
    },
  }
  await t.rejects(
    drain(cases(50), source => failing(flow(source)), sink),
    { code: 'ERR_VOLUME' },
  )
  t.equal(running, 0)
  t.ok(seen.length <= 2, `${seen.length} items`)
})

t.test('a bug ends the run even though cases may fail', async t => {
  const buggy = perItem<Sample, Sample>('clip', () => {
    throw new TypeError('not a function')
  })
  await t.rejects(
    drain(cases(3), buggy, { item: () => {}, caseFailed: () => void t.fail('a bug is not a bad case') }),
    {
      message: 'not a function',
    },
  )
})

t.test('an aborted signal ends the source', async t => {
  const controller = new AbortController()
  let seen = 0
  const sink = {
    item() {
      seen += 1
      if (seen === 3) controller.abort('SIGINT')
    },
    caseFailed: () => {},
  }
  await drain(
    cases(100),
    perItemAsync<Sample, Sample>('load', 1, async sample => sample),
    sink,
    controller.signal,
  )
  t.ok(seen < 8, `${seen} items`)
})

t.test('an error of a batch names its cases', async t => {
  const step = perItemAsync<StepResult, StepResult>('train', 1, async () => {
    throw new PipelineError('ERR_VOLUME', 'odd')
  })
  const failures: PipelineError[] = []
  const batch: StepResult = { loss: 0, patches: 2, seconds: 0, cases: ['a', 'b'] }
  await drain([batch], step, { item: () => {}, caseFailed: error => void failures.push(error) })
  t.equal(failures[0]!.facts['case'], 'a, b')
})

async function* slowly(): AsyncGenerator<Sample> {
  for (const sample of cases(5)) {
    await sleep(1)
    yield sample
  }
}

async function* forever(): AsyncGenerator<Sample> {
  yield cases(1)[0]!
  await new Promise(() => {})
}

async function* broken(): AsyncGenerator<Sample> {
  yield cases(1)[0]!
  throw new PipelineError('ERR_OUTPUT', 'no manifest')
}

t.test('inputs may take their time; the end does not wait for those that are still to come', async t => {
  const seen: Item[] = []
  await drain(slowly(), failing, { item: item => void seen.push(item), caseFailed: () => {} })
  t.same(ids(seen), ['case0', 'case1', 'case3', 'case4'])

  const controller = new AbortController()
  await drain(forever(), source => source, { item: () => controller.abort(), caseFailed: () => {} }, controller.signal)
  const sink = {
    item() {
      throw new PipelineError('ERR_OUTPUT', 'full')
    },
    caseFailed: () => {},
  }
  await t.rejects(
    drain(forever(), source => source, sink),
    { code: 'ERR_OUTPUT' },
  )
  await t.rejects(
    drain(broken(), source => source, { item: () => {}, caseFailed: () => {} }),
    { message: 'no manifest' },
  )
})

t.test('a failure is awaited, in the order of the items', async t => {
  const said: string[] = []
  await drain(cases(4), failing, {
    item: async item => {
      await sleep(2)
      said.push((item as Sample).case.id)
    },
    caseFailed: async error => {
      await sleep(1)
      said.push(`failed: ${String(error.facts['case'])}`)
    },
  })
  t.same(said, ['case0', 'case1', 'failed: case2', 'case3'])
})
