import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runPipeline } from '../support/batch.ts'
import { recordBy } from '../support/evaluations.ts'

const records = [0.7, 0.75, 0.72].map((mean, i) =>
  recordBy(`2026-01-0${i + 1}T02-00-00Z`, {
    mean,
    ...(i === 2 && {
      gates: ['dice.mean.drop <= 0.02'],
      model: 'fedcba9876',
      cases: { evaluated: 3, missing: 1, failed: 2 },
    }),
  }),
)

t.test('a table and a curve, of a file or an output folder', async t => {
  const dir = t.testdir()
  const path = join(dir, 'history.jsonl')
  const text = `${records.map(record => JSON.stringify(record)).join('\n')}\n{"format":"ctf`
  writeFileSync(path, text)
  const { code, stdout, stderr } = await runPipeline(['history', dir])
  t.equal(code, 0, stderr)
  const lines = stdout.split('\n')
  t.match(lines.slice(0, 4), [
    /^created +cases +dice mean +95 % interval +change +model +data +gates missed$/,
    /^2026-01-01 02:00:00 +3 +0\.7000 +0\.6500 to 0\.7500 +- +01234567$/,
    /^2026-01-02 02:00:00 +3 +0\.7500 .* \+0\.0500 +- +01234567$/,
    /^2026-01-03 02:00:00 +3 \(1 missing, 2 failed\) +0\.7200 .* -0\.0300 +fedcba98 +01234567 +dice\.mean\.drop <= 0\.02$/,
  ])
  t.match(stdout, /dice mean, oldest to newest\n[^]*0\.7500┤[^]*0\.7000┤/)
  t.match(stdout, /damaged lines left out: 1; the next evaluation sets them aside/)
  t.equal(readFileSync(path, 'utf8'), text, 'and changes nothing')
  const json = await runPipeline(['history', path, '--json', '--last', '2'])
  t.same(JSON.parse(json.stdout), {
    status: 'ok',
    exitCode: 0,
    history: path,
    metric: 'dice',
    records: records.slice(1),
    damaged: 1,
  })
})

const of = (day: number, title: string, mean: number, emptyRule: 'strict' | 'monai' = 'strict'): string =>
  JSON.stringify(recordBy(`2026-01-0${day}T02-00-00Z`, { title, mean, emptyRule }))

t.test('evaluations that share a history are told apart, and each compared with its own kind', async t => {
  const lines = [
    of(1, 'liver', 0.9),
    of(2, 'lung', 0.5),
    of(3, 'liver', 0.91),
    of(4, 'lung', 0.6),
    of(5, 'lung', 0.7, 'monai'),
  ]
  const dir = t.testdir({ 'history.jsonl': `${lines.join('\n')}\n` })
  const { code, stdout, stderr } = await runPipeline(['history', dir])
  t.equal(code, 0, stderr)
  t.match(stdout.split('\n').slice(0, 6), [
    /^created +title +empty masks +cases +dice mean/,
    /^2026-01-01 02:00:00 +liver +strict +3 +0\.9000 +0\.6500 to 0\.7500 +- +01234567$/,
    /^2026-01-02 02:00:00 +lung +strict +3 +0\.5000 +0\.6500 to 0\.7500 +- +01234567$/,
    /^2026-01-03 .* liver .* 0\.9100 .* \+0\.0100 /,
    /^2026-01-04 .* lung .* 0\.6000 .* \+0\.1000 /,
    /^2026-01-05 .* monai +3 +0\.7000 +0\.6500 to 0\.7500 +- +01234567$/,
  ])
  t.match(
    stdout,
    /liver \(empty masks: strict\): dice mean, oldest to newest\n[^]*lung \(empty masks: strict\): dice mean/,
  )
  t.notMatch(stdout, 'lung (empty masks: monai)', 'one point is no curve')
  const liver = await runPipeline(['history', dir, '--title', 'liver'])
  t.match(liver.stdout, /^created +cases +dice mean[^]*\+0\.0100[^]*\n *dice mean, oldest/)
  t.notMatch(liver.stdout, /lung|title/)
  t.match(await runPipeline(['history', dir, '--title', 'live']), {
    code: 2,
    stderr: /no evaluation has the title "live"; found "liver", "lung"/,
  })
})

t.test('what is not there is exit code 2', async t => {
  const dir = t.testdir({ 'history.jsonl': `${JSON.stringify(records[0])}\n`, 'empty.jsonl': '' })
  t.match(await runPipeline(['history', join(dir, 'nowhere')]), {
    code: 2,
    stdout: '',
    stderr: /there is no such file/,
  })
  t.match(await runPipeline(['history', dir, '--metric', 'dcie']), { code: 2, stderr: /"dcie"; expected one of dice/ })
  t.match(await runPipeline(['history', dir, '--last', '0']), { code: 2, stderr: /whole number/ })
  t.match(await runPipeline(['history', join(dir, 'empty.jsonl')]), { code: 0, stdout: /no evaluations yet/ })
})
