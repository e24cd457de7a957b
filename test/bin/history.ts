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
