import t from 'tap'
import { compare, runBench } from '../../bench/measure.ts'
import { isMissing, type Measured, type Trial } from '../../bench/trial.ts'

/** A trial that gives these figures, the warm-up's first, and tells when it is called. */
function scripted(name: string, values: readonly number[], log: string[] = []): Trial {
  let next = 0
  return {
    name,
    unit: 'GB/s',
    runs: values.length - 1,
    pid: () => 2 ** 30, // no such process: nothing to wait for
    prepare: async () => void log.push(`open ${name}`),
    run: async () => {
      log.push(name)
      return values[next++]!
    },
    close: async () => void log.push(`close ${name}`),
  }
}

const measured = (trial: string, values: number[]): Measured => ({
  trial,
  unit: 's',
  median: values.toSorted((a, b) => a - b)[1]!,
  min: Math.min(...values),
  max: Math.max(...values),
  runs: values.length,
  values,
})

t.test('the first repetition is a warm-up, the others give median and spread', async t => {
  const [result] = await runBench({ trials: [scripted('a', [99, 3, 1, 2])] })
  t.match(result, { trial: 'a', median: 2, min: 1, max: 3, runs: 3, values: [3, 1, 2] })
})

t.test('in turns: all are open at once, and every round has one repetition of each', async t => {
  const log: string[] = []
  await runBench({ trials: [scripted('a', [0, 1, 1], log), scripted('b', [0, 1, 1], log)], interleaved: true })
  t.same(log, ['open a', 'open b', 'a', 'b', 'a', 'b', 'a', 'b', 'close a', 'close b'])
})

t.test('one by one: a trial is closed before the next opens', async t => {
  const log: string[] = []
  await runBench({ trials: [scripted('a', [0, 1], log), scripted('b', [0, 1], log)] })
  t.same(log, ['open a', 'a', 'a', 'close a', 'open b', 'b', 'b', 'close b'])
})

t.test("a trial that fails or cannot run does not take the others' figures", async t => {
  const failing: Trial = { ...scripted('bad', [0, 1]), run: () => Promise.reject(new Error('out of paper')) }
  const absent: Trial = { ...scripted('absent', [0, 1]), unavailable: async () => 'no such processor' }
  let closed = false
  const results = await runBench({
    trials: [failing, absent, scripted('good', [0, 5])],
    comparisons: [{ name: 'good/bad', unit: 'times', of: ['good'], over: 'bad' }],
    interleaved: true,
    close: async () => void (closed = true),
  })
  t.same(results.filter(isMissing), [
    { trial: 'absent', skipped: 'no such processor' },
    { trial: 'bad', failed: 'out of paper' },
  ])
  t.match(results.at(-1), { trial: 'good', median: 5 })
  t.ok(closed)
})

t.test('the share of the peak is of the peak beside each repetition', async t => {
  const peaks = [100, 10, 20]
  let next = 0
  const trial: Trial = { ...scripted('a', [0, 5, 8]), peak: () => peaks[++next]! }
  const [result] = await runBench({ trials: [trial] })
  t.match(result, { shareOfPeak: { min: 0.4, max: 0.5 } })
})

t.test('ratios are of the same round, times the scale, with their spread', async t => {
  const results = new Map([measured('ours', [1, 2, 4]), measured('theirs', [3, 10, 16])].map(r => [r.trial, r]))
  const comparison = { name: 'x', unit: 'times', of: ['theirs'], over: 'ours', against: 'onnxruntime' } as const
  t.match(compare(comparison, results), { values: [3, 5, 4], median: 4, min: 3, max: 5, against: 'onnxruntime' })
  t.match(compare({ ...comparison, scale: 0.5 }, results), { values: [1.5, 2.5, 2], median: 2 })
})

t.test('of several ways to do the same the fastest counts, and one without figures does not', async t => {
  const results = new Map(
    [measured('ours', [1, 1, 1]), measured('slow', [9, 9, 9]), measured('fast', [4, 5, 6])].map(r => [r.trial, r]),
  )
  const comparison = { name: 'x', unit: 'times', of: ['absent', 'slow', 'fast'], over: 'ours' }
  t.match(compare(comparison, results), { median: 5, pair: ['fast', 'ours'] })
  t.equal(compare({ ...comparison, over: 'absent' }, results), undefined)
})
