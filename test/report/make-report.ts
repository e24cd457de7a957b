import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import t from 'tap'
import { toJson } from '../../pipeline/json.ts'
import { makeReport } from '../../report/make-report.ts'
import { reportSchema } from '../../schemas/report.ts'
import { reportInput, scoresOf } from '../support/reports.ts'
import { projectRoot as root } from '../support/shared.ts'

const { $schema: _, ...schema } = reportSchema
const isValid = new Ajv({ allowUnionTypes: true }).compile(schema)

const scores = scoresOf({
  'a/one': {
    metrics: { hd: Infinity, dice: 0.5, referenceMl: 4 },
    monai: { dice: 0.5 },
    strict: { dice: 1 },
    fields: { site: 'north' },
  },
  two: { metrics: { hd: 3, dice: 0.75, referenceMl: 0 }, monai: { dice: null } },
  three: { metrics: { hd: null, dice: 0, referenceMl: 40 }, monai: { dice: 0 }, isMissing: true },
})

t.test('the checked-in schema is the one that the types come from', async t => {
  t.same(
    JSON.parse(readFileSync(join(root, 'schemas/report.schema.json'), 'utf8')),
    JSON.parse(JSON.stringify(reportSchema)),
  )
})

t.test('a report is valid as JSON, with infinities and what is not defined, and is that JSON in memory', async t => {
  const earlier = await makeReport(reportInput(scores.slice(1)))
  const failures = [{ case: 'four', stage: 'load', code: 'ERR_FILE', reason: 'truncated' }]
  const report = await makeReport(
    reportInput(scores, {
      failures,
      earlier: { path: 'reports/1', report: earlier },
      gates: { 'hd.mean': '<= 5', 'dice.sd.drop': '<= 0' },
      options: { strata: ['site'], volumesMl: [0, 10], bootstrap: 200, seed: 7 },
      history: earlier.history,
    }),
  )
  const text = toJson(report)
  t.ok(isValid(JSON.parse(text)), JSON.stringify(isValid.errors))
  t.same(JSON.parse(text), report)
  t.match(report.cases[0], { case: 'a/one', isMissing: false, fields: { site: 'north' }, metrics: { hd: 'inf' } })
  t.match(report.summary['hd'], {
    mean: 'inf',
    median: 'inf',
    sd: null,
    cases: 2,
    infinite: 1,
    undefined: 1,
    low: null,
  })
  t.match(report.summary['dice'], { mean: 1.25 / 3, median: 0.5, cases: 3 })
  t.match(report.monai, { dice: { mean: 0.25, cases: 2, undefined: 1 } })
  t.match(report.strict, { dice: { mean: 1, cases: 1, undefined: 2 } })
  t.match(report.gates, [{ figure: 'hd.mean', value: 'inf', passed: false }, { figure: 'dice.sd.drop' }])
  t.same(report.failures, failures)
  t.same(Object.keys(report.metrics), ['dice', 'hd', 'referenceMl'])
  t.equal(report.history.length, 2)
  t.match(report.history[1], {
    cases: { evaluated: 3, missing: 1, failed: 1 },
    gates: ['hd.mean <= 5'],
    figures: { dice: { mean: 1.25 / 3 } },
  })
  t.notMatch(report.history[1], { figures: { dice: { sd: Number } } })
})

t.test('the order in which cases finished changes nothing', async t => {
  const input = reportInput(scores)
  t.same(await makeReport({ ...input, scores: scores.toReversed() }), await makeReport(input))
})

const worst = async (metrics: string): Promise<string[]> => {
  const report = await makeReport(
    reportInput(
      scoresOf({
        good: { metrics: { [metrics]: 0.9, referenceMl: 1 } },
        none: { metrics: { [metrics]: null, referenceMl: 2 } },
        small: { metrics: { [metrics]: 0, referenceMl: 1 } },
        large: { metrics: { [metrics]: 0, referenceMl: 50 } },
        infinite: { metrics: { [metrics]: Infinity, referenceMl: 2 } },
        missing: { metrics: { [metrics]: 0, referenceMl: 0.1 }, isMissing: true },
        missingNone: { metrics: { [metrics]: null, referenceMl: 0 }, isMissing: true },
      }),
    ),
  )
  return report.worst
}

t.test('worst first; at one value the missing mask, then the larger lesion; not defined is last', async t => {
  t.same(await worst('dice'), ['missing', 'large', 'small', 'good', 'infinite', 'missingNone', 'none'])
  t.same(await worst('hd95'), ['infinite', 'good', 'missing', 'large', 'small', 'missingNone', 'none'])
})

t.test('an evaluation in which every case failed is a report too', async t => {
  const report = await makeReport(reportInput([], { gates: { 'dice.mean': '>= 0.5' } }))
  t.ok(isValid(JSON.parse(toJson(report))), JSON.stringify(isValid.errors))
  t.match(report, { summary: {}, worst: [], gates: [{ passed: false, value: null, note: 'no case has metrics' }] })
})

t.test('all figures of the same cases are drawn together, and pauses change nothing', async t => {
  const twice = scores.map(score => ({ ...score, monai: score.metrics, strict: score.metrics }))
  let pauses = 0
  const pause = (): Promise<void> => {
    pauses++
    return new Promise(resolve => setImmediate(resolve))
  }
  const options = { strata: [], volumesMl: [], bootstrap: 150, seed: 7 }
  const report = await makeReport(reportInput(twice, { options, pause }))
  t.same(report.monai, report.summary)
  t.same(report.strict, report.summary)
  t.ok(pauses >= 150 && pauses < 300, `${pauses} pauses`)
  t.same(report, await makeReport(reportInput(twice, { options })))
})

t.test('a run that is interrupted gives no report', async t => {
  const interrupted = new Error('interrupted')
  await t.rejects(makeReport(reportInput(scores, { pause: () => Promise.reject(interrupted) })), interrupted)
})
