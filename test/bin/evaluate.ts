import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { HistoryRecord, Report } from '../../schemas/report.ts'
import { batchIn, runPipeline, scanPath } from '../support/batch.ts'
import { evaluationIn } from '../support/evaluations.ts'
import { noMount } from '../support/small-disk.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'

function read<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as T
}

function linesOf(path: string): HistoryRecord[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as HistoryRecord)
}

t.test('an evaluation leaves a report, a link to it and a line; the next is compared with it', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  const out = join(dir, 'out')
  const first = await runPipeline([file, '--json'])
  t.equal(first.code, 0, first.stderr)
  const { report: folder } = JSON.parse(first.stdout) as { report: string }
  t.equal(readlinkSync(join(out, 'latest')), folder)
  t.same(readdirSync(join(out, folder)).toSorted(), ['cases.csv', 'index.html', 'metrics.prom', 'report.json'])
  const report = read<Report>(out, 'latest/report.json')
  t.match(report, {
    title: join(dir, 'list.json'),
    run: { model: null, definition: /^[0-9a-f]{64}$/, engine: null },
    data: { cases: 2, hash: /^[0-9a-f]{64}$/ },
    comparison: null,
    worst: ['scans/1', 'scans/0'],
  })
  t.match(read(out, 'summary.json'), { status: 'ok', report: folder })
  t.ok(existsSync(join(out, 'metrics.jsonl')) && existsSync(join(out, 'run.json')))

  // Another reference, the same list: other data.
  await evaluationIn(dir, {
    pairs: [
      { prediction: [1, 1, 0], reference: [1, 1, 0] },
      { prediction: [1, 0, 0], reference: [1, 0, 0] },
    ],
  })
  const second = await runPipeline([file, '--quiet'])
  t.same(second, { code: 0, stdout: '', stderr: '' })
  const next = read<Report>(out, 'latest/report.json')
  t.match(next, { comparison: { with: report.id }, history: [{ id: report.id }, { id: next.id }] })
  t.not(next.data.hash, report.data.hash)
  t.match(linesOf(join(out, 'history.jsonl')), [
    { id: report.id, data: report.data.hash },
    { id: next.id, figures: { dice: { mean: 1 } } },
  ])
  t.same(readdirSync(join(out, 'reports')).length, 2)

  const shown = await runPipeline(['history', out])
  t.equal(shown.code, 0, shown.stderr)
  t.match(shown.stdout, /^created .*dice mean[^]*0\.5000[^]*1\.0000.*\+0\.5000/)
  t.match(shown.stdout, 'dice mean, oldest to newest')
})

t.test('a missed gate is exit code 4, told with its value, and so are failed cases; the report is there', async t => {
  const dir = t.testdir()
  const pairs = [{ prediction: [1, 1, 0], reference: [1, 0, 0] }, { prediction: [1, 0, 0] }]
  const file = await evaluationIn(dir, { pairs, gates: { 'dice.mean': '>= 0.70', 'dice.min': '>= 0.1' } })
  const { code, stdout, stderr } = await runPipeline([file, '--quiet'])
  t.equal(code, 4)
  t.match(stderr, /^gate missed: dice\.mean: expected >= 0\.70, found 0\.66\d*$/m)
  t.notMatch(stderr, 'dice.min')
  t.match(stdout, /cases: 1 ok, 1 failed\n.*failed: scans\/1/s, 'quiet, but not of this')
  t.match(read(dir, 'out/summary.json'), {
    status: 'gate',
    exitCode: 4,
    gates: [{ figure: 'dice.mean', passed: false }, { passed: true }],
  })
  t.match(read(dir, 'out/latest/report.json'), { failures: [{ case: 'scans/1' }] })
  t.match(linesOf(join(dir, 'out/history.jsonl')), [{ gates: [/dice\.mean/], cases: { failed: 1 } }])
})

t.test('an empty data set and a report that is none end with 2, before anything is written', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  const empty = await runPipeline([file, '--quiet', '--set', 'dataset.section=validation'])
  t.match(empty, { code: 2, stdout: '', stderr: /the section "validation" has no cases/ })
  const other = await runPipeline([file, '--set', 'report.compareWith=list.json'])
  t.match(other, { code: 2, stderr: /compareWith: .*list\.json: expected .*report/ })
  const bad = await runPipeline([file, '--set', 'healthCheck=https://[bad'])
  t.match(bad, { code: 2, stdout: '', stderr: /^\S+ is refused:\n  \/healthCheck .*: expected a URL.*\n$/ })
  t.notOk(existsSync(join(dir, 'out')))
  t.match(await runPipeline([file, '--quiet', '--progress', 'plain']), { code: 2, stderr: /cannot be used with/ })
})

t.test(
  'two at once: the second ends with 75 at once; a dead one holds nobody up; a kill leaves what was there',
  async t => {
    const dir = t.testdir()
    const file = await evaluationIn(dir)
    const out = join(dir, 'out')
    t.equal((await runPipeline([file, '--quiet'])).code, 0)
    const before = readlinkSync(join(out, 'latest'))
    let second: ReturnType<typeof runPipeline> | undefined
    const first = await runPipeline([file, '--progress', 'plain'], {
      during(child, stderr) {
        if (second || !stderr.includes('memory: ')) return
        // It holds the folder from here on; it waits while the other tries, and is killed then.
        child.kill('SIGSTOP')
        second = runPipeline([file, '--quiet']).finally(() => child.kill('SIGKILL'))
      },
    })
    t.equal(first.code, null)
    t.match(await second, { code: 75, stdout: '', stderr: /another run works on this output folder \(process \d+/ })
    t.equal(readlinkSync(join(out, 'latest')), before)
    t.ok(existsSync(join(out, '.lock')), 'as the kill left it')
    writeFileSync(join(out, 'history.jsonl'), `${readFileSync(join(out, 'history.jsonl'), 'utf8')}{"format":"ctfl`)
    const third = await runPipeline([file])
    t.equal(third.code, 0, third.stderr)
    t.match(third.stdout, /1 damaged line of .*history\.jsonl set aside, in .*history\.jsonl\.damaged/)
    t.equal(linesOf(join(out, 'history.jsonl')).length, 2)
    t.same(
      readdirSync(out).filter(name => name.startsWith('.')),
      [],
    )
    writeFileSync(join(out, '.lock'), JSON.stringify({ pid: 1, host: `not-${hostname()}`, boot: '', since: '' }))
    t.equal((await runPipeline([file])).code, 75, 'another machine is believed')
  },
)

t.test('a full disk leaves the last good report and the history', { skip: noMount() }, async t => {
  const dir = t.testdir({ out: {} })
  const out = join(dir, 'out')
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', out])
  try {
    const file = await evaluationIn(dir)
    t.equal((await runPipeline([file, '--quiet'])).code, 0)
    const before = {
      link: readlinkSync(join(out, 'latest')),
      history: readFileSync(join(out, 'history.jsonl'), 'utf8'),
    }
    // All is taken, and so much given back as lets the run begin.
    const ballast = join(out, 'ballast')
    try {
      for (;;) writeFileSync(ballast, Buffer.alloc(1 << 20), { flag: 'a' })
    } catch {
      truncateSync(ballast, statSync(ballast).size - 16_384)
    }
    const full = await runPipeline([file, '--quiet'])
    t.equal(full.code, 1)
    t.match(full.stderr, /the disk is full/)
    t.equal(readlinkSync(join(out, 'latest')), before.link)
    t.equal(readFileSync(join(out, 'history.jsonl'), 'utf8'), before.history)
    t.match(read(out, 'latest/report.json'), { format: 'ctflow-report-1' })
    rmSync(ballast)
    t.equal((await runPipeline([file, '--quiet'])).code, 0)
    t.equal(linesOf(join(out, 'history.jsonl')).length, 2)
  } finally {
    execFileSync('umount', [out])
  }
})

t.test('the model first: its masks are scored as they come, and its hash is in report and history', async t => {
  const dir = t.testdir()
  const infer = read<{ stages: object[] } & Record<string, unknown>>(await batchIn(dir, { good: 2 }))
  const testing = [0, 1].map(i => ({ image: scanPath(dir, i), label: `labels/${i}.nii.gz` }))
  for (const i of [0, 1]) {
    const grid = { shape: [24, 20, 12] as const, affine: [1, 0, 0, i, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1] }
    await writeNifti(join(dir, `labels/${i}.nii.gz`), { grid, voxels: new Uint8Array(24 * 20 * 12).fill(1, 100, 200) })
  }
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ testing }))
  const [, ...stages] = infer.stages.slice(0, 3)
  const definition = {
    ...infer,
    task: 'evaluate',
    dataset: { list: 'list.json' },
    stages: [{ kind: 'load' }, ...stages, { kind: 'dice' }],
    report: { viewer: ['scans/scan-001'] },
  }
  writeFileSync(join(dir, 'evaluate.json'), JSON.stringify(definition))
  const { code, stderr } = await runPipeline([join(dir, 'evaluate.json')])
  t.equal(code, 0, stderr)
  const { model } = read<{ model: string }>(dir, 'out/run.json')
  t.match(model, /^[0-9a-f]{64}$/)
  t.match(read(dir, 'out/latest/report.json'), { run: { model, engine: /native|cpu/ }, cases: [{}, {}] })
  t.match(linesOf(join(dir, 'out/history.jsonl')), [{ model }])
  t.match(
    readFileSync(join(dir, 'out/latest/index.html'), 'utf8'),
    /"case":"scans\/scan-001"/,
    'its mask was never a file',
  )
})

t.test('a viewer of cases that there are not is refused before anything is written', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir, { report: { viewer: ['scans/1', 'scans/one'] } })
  const { code, stderr } = await runPipeline([file, '--quiet'])
  t.equal(code, 2)
  t.match(
    stderr,
    /report\/viewer: expected cases of the data set, found scans\/one; its 2 cases are scans\/0, scans\/1$/m,
  )
  t.notOk(existsSync(join(dir, 'out')))
})

t.test('one history for several outputs at once, and old reports leave', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir, { report: { history: 'shared/history.jsonl', keep: 1 } })
  mkdirSync(join(dir, 'shared'))
  for (const round of [1, 2]) {
    const ended = await Promise.all(['a', 'b'].map(out => runPipeline([file, '--quiet', '--set', `output=${out}`])))
    t.same(
      ended.map(({ code }) => code),
      [0, 0],
      `round ${round}`,
    )
  }
  t.equal(linesOf(join(dir, 'shared/history.jsonl')).length, 4)
  t.equal(readdirSync(join(dir, 'a/reports')).length, 1)
  t.equal(readlinkSync(join(dir, 'a/latest')), `reports/${readdirSync(join(dir, 'a/reports'))[0]}`)
  t.notOk(existsSync(join(dir, 'a/history.jsonl')))
})

t.test('compared with the newest that passed, which stays as long as no other has', async t => {
  const dir = t.testdir()
  const gates = { 'dice.mean.drop': '<= 0.1' }
  const file = await evaluationIn(dir, { gates, report: { compareWith: 'passed', keep: 1 } })
  t.match(await runPipeline([file]), { code: 0 })
  const [good] = readdirSync(join(dir, 'out/reports'))
  await evaluationIn(dir, { gates, report: { compareWith: 'passed', keep: 1 }, pairs: [missed, missed] })
  for (let i = 0; i < 2; i++) {
    t.match(await runPipeline([file]), { code: 4 })
    const report = read<Report>(dir, 'out/latest/report.json')
    t.match(report, { comparison: { with: good }, gates: [{ value: 0.5, passed: false }] })
    t.equal(readdirSync(join(dir, 'out/reports')).length, 2)
  }
})

const missed = { prediction: [1, 0, 0, 0], reference: [0, 0, 1, 0] }
