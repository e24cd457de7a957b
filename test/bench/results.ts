import t from 'tap'
import { pageOf, type Kept } from '../../bench/results.ts'
import { anchorOf, row } from '../../bench/rows.ts'
import type { Compared, Measured } from '../../bench/trial.ts'

const ours: Measured = {
  trial: 'train-step/f8/224x224x32/float32',
  unit: 's',
  median: 0.8125,
  min: 0.8,
  max: 0.9,
  runs: 2,
  values: [0.8, 0.9],
  peakBytes: 2 ** 30,
  contention: 0.5,
  processorSeconds: [1.6, 1.7],
  facts: { torch: '9.9' },
}
const ratio: Compared = {
  trial: ours.trial,
  against: 'monai-default',
  unit: 'times as fast',
  median: 12.345,
  min: 10,
  max: 120,
  runs: 2,
  values: [10, 120],
  ofProcessorTime: { median: 6.5, min: 6, max: 7 },
  pair: ['theirs', 'ours'],
}
const machine: Kept['machine'] = {
  cpu: 'Abacus 9000',
  processors: 2,
  threads: 2,
  isa: 'beads',
  memoryBytes: 2 ** 33,
  platform: 'wood',
  node: 'v20',
  ctflow: '1.2.3',
  commit: 'abcdef+',
}

t.test('the page has a section for each bench, with machine, versions, commit and command', async t => {
  const page = pageOf([
    { name: 'peers', kept: { name: 'peers', machine, results: [ours, ratio, { trial: 'x', skipped: 'no ink' }] } },
    { name: 'step', kept: undefined },
  ])
  t.match(
    page,
    '## peers\n\n`npm run --silent bench -- peers` on Abacus 9000, 2 processors, 2 threads, beads, 8.00 GiB',
  )
  t.match(page, 'Node v20, ctflow 1.2.3, commit abcdef+')
  t.match(
    page,
    '<a id="train-step-f8-224x224x32-float32"></a>train-step/f8/224x224x32/float32 | 0.813 s | 0.800, 0.900',
  )
  t.match(page, 'against monai-default | 12.3 times as fast | 10.0, 120 | 2 | theirs over ours, 6.50 in processor time')
  t.match(page, '| not measured: no ink |')
  t.match(page, '## step\n\nNot measured yet: `npm run --silent bench -- step`.')
  const columns = page.split('\n').filter(line => line.startsWith('|'))
  t.ok(
    columns.every(line => line.split('|').length === 7),
    'every row has as many cells',
  )
})

t.test('rows that share a name have anchors of their own', async t => {
  t.not(anchorOf(ours), anchorOf(ratio))
})

t.test('a row says memory, versions, and that others were in the way', async t => {
  t.match(
    row(ours),
    /peak of memory 1.00 GiB, 1\.65 s of processor time, torch 9\.9, others took 50 % of its processor time/,
  )
})

const share = (median: number, unit = 'GFLOP/s'): string =>
  row({ ...ours, unit, shareOfPeak: { median, min: median, max: median } })

t.test('a share above 100 % accuses the probe', async t => {
  t.match(share(1.01), 'THE PROBE IS WRONG')
  t.notMatch(share(0.99), 'THE PROBE IS WRONG')
  t.notMatch(share(1.01, 'GB/s'), 'THE PROBE IS WRONG', 'work that hardly writes is faster than a copy')
  const padded = row({ ...ours, unit: 'GFLOP/s', shareOfPeak: { median: 1.1, min: 1, max: 1.2 }, necessary: 0.8 })
  t.match(padded, '110 % of the peak, 88 % in products that are needed')
  t.notMatch(padded, 'THE PROBE IS WRONG', 'work that was left out explains it')
})
