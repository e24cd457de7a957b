import t from 'tap'
import { digitsBeside, evaluateGates, gateProblems } from '../../report/gates.ts'
import { makeReport } from '../../report/make-report.ts'
import type { Report } from '../../schemas/report.ts'
import { reportInput, scoresOf } from '../support/reports.ts'

const now = await makeReport(
  reportInput(
    scoresOf({
      a: {
        metrics: { dice: 0.5, hd: Infinity, 'nsd_0.5mm': 0.25, assd: null, falsePositiveMl: 3 },
        monai: { dice: 0.5 },
        strict: { dice: 0.25 },
      },
      b: {
        metrics: { dice: 1, hd: 2, 'nsd_0.5mm': 0.75, assd: null, falsePositiveMl: null },
        monai: { dice: null },
        strict: { dice: 0.75 },
        isMissing: true,
      },
    }),
    { failures: [{ case: 'c', stage: 'load', code: 'ERR_FILE', reason: 'truncated' }] },
  ),
)

const gate = (figure: string, rule: string, earlier?: Report): Report['gates'][number] =>
  evaluateGates({ [figure]: rule }, now, earlier && { path: 'reports/earlier', report: earlier })[0]!

t.test('figures are found by name, and rules hold or not', async t => {
  for (const [figure, rule, value, passed] of [
    ['dice.mean', '>= 0.75', 0.75, true],
    ['dice.mean', '>0.75', 0.75, false],
    ['dice.mean', ' <= 7.5e-1 ', 0.75, true],
    ['dice.mean', '< 0.75', 0.75, false],
    ['dice.max', '== 1', 1, true],
    ['dice.min', '== 1', 0.5, false],
    ['nsd_0.5mm.median', '>= 0.5', 0.5, true],
    ['monai.dice.mean', '>= 0.75', 0.5, false],
    ['strict.dice.median', '>= 0.5', 0.5, true],
    ['hd.mean', '<= 1e300', 'inf', false],
    ['hd.mean', '>= 1', 'inf', true],
    ['cases.evaluated', '>= 2', 2, true],
    ['cases.missing', '<= 0', 1, false],
    ['cases.failed', '<= 1', 1, true],
  ] as const)
    t.same(gate(figure, rule), { figure, rule, value, passed, note: '' })
})

t.test('a figure that is not there never passes, and the note says why', async t => {
  for (const [figure, note] of [
    ['assd.mean', 'assd is not defined for any case'],
    ['hd.sd', 'sd is not defined: hd is infinite for 1 of 2 cases'],
    ['falsePositiveMl.high', 'high is not defined for 1 case'],
    ['monai.dice.sd', 'sd is not defined for 1 case'],
    ['dcie.mean', 'this evaluation has no metric "dcie"; did you mean "dice"?'],
    ['monai.hd.mean', /no metric "hd" by MONAI's rule; expected one of: dice/],
    ['strict.hd.mean', /no metric "hd" by the strict rule/],
    ['constructor.mean', /no metric "constructor"/],
    ['assd.mean.drop', 'assd is not defined for any case'],
  ] as const) {
    for (const rule of ['>= -1e300', '<= 1e300'])
      t.match(gate(figure, rule), { value: null, passed: false, note }, figure)
  }
})

t.test('a drop is the earlier figure minus this one, a rise the other way', async t => {
  const earlier = { ...now, summary: { ...now.summary, dice: { ...now.summary['dice']!, mean: 1 } } }
  t.match(gate('dice.mean.drop', '<= 0.2', earlier), { value: 0.25, passed: false, note: '' })
  t.match(gate('dice.mean.rise', '>= -0.25', earlier), { value: -0.25, passed: true, note: '' })
  t.match(gate('hd.mean.rise', '<= 0', now), { value: 0, passed: true })
  const { hd } = now.summary
  const finite = { ...now, summary: { ...now.summary, hd: { ...hd!, mean: 4 } } }
  t.match(gate('hd.mean.rise', '<= 100', finite), { value: 'inf', passed: false })
  t.match(gate('hd.mean.drop', '<= 0', finite), { value: '-inf', passed: true })
})

t.test('without an earlier figure there is no drop, and the note says so', async t => {
  t.match(gate('dice.mean.drop', '<= 0'), { value: null, passed: true, note: /no earlier report/ })
  t.match(gate('dice.mean.drop', '<= 0', { ...now, summary: {} }), {
    value: null,
    passed: true,
    note: 'the earlier report, reports/earlier, lacks this figure',
  })
})

t.test('a drop against other data or another rule holds or not all the same, and the note says so', async t => {
  const other = { ...now, data: { ...now.data, hash: 'f'.repeat(64) }, emptyRule: 'monai' as const }
  t.match(gate('dice.mean.drop', '<= 0', other), {
    value: 0,
    passed: true,
    note: 'the earlier report, reports/earlier, is over other data and by another rule for empty masks',
  })
  t.match(gate('monai.dice.mean.drop', '<= 0', other), { note: /over other data$/ })
})

t.test('what is wrong with a gate is said with the nearest name', async t => {
  for (const [figure, rule, problem] of [
    ['dice.maen', '>= 1', 'gate "dice.maen": there is no statistic "maen"; did you mean "mean"?'],
    ['dice', '>= 1', /expected a metric and a statistic, such as "dice.mean"/],
    ['', '>= 1', /expected a metric and a statistic/],
    ['monai.dice', '>= 1', /expected a metric and a statistic/],
    ['dice.mean.dorp', '>= 1', 'gate "dice.mean.dorp": there is no change "dorp"; did you mean "drop"?'],
    ['dice.drop', '<= 1', /expected a metric and a statistic/],
    ['dice.mean.drop.rise', '>= 1', 'gate "dice.mean.drop.rise": expected one change, found "drop.rise"'],
    ['cases.mising', '<= 0', 'gate "cases.mising": there is no count "mising"; did you mean "missing"?'],
    ['cases', '<= 0', /there is no count ""; expected one of: evaluated, missing, failed/],
    ['cases.missing.drop', '<= 0', /there is no count "missing.drop"/],
    ['dice.mean', '=> 1', /expected a comparison .* found "=> 1"/],
    ['dice.mean', '>= 1.2.3', /found ">= 1.2.3"/],
    ['dice.mean', '>= 1e999', /found ">= 1e999"/],
    ['dice.mean', '>=', /found ">="/],
  ] as const) {
    const problems = gateProblems({ [figure]: rule })
    t.match(problems, [problem], `${figure} ${rule}`)
    t.equal(problems.length, 1)
    t.throws(() => gate(figure, rule), RangeError)
  }
  t.same(gateProblems({ 'dice.mean': '>= 0.7', 'x.low.drop': '<= .5', 'monai.dice.mean': '> 1e-3' }), [])
  const names = { metrics: ['dice', 'iou', 'referenceMl'], byRule: ['dice', 'iou'] }
  t.same(
    gateProblems(
      { 'dcie.mean': '>= 0.7', 'cases.failed': '<= 0', 'referenceMl.max': '< 1', 'strict.referenceMl.max': '< 1' },
      names,
    ),
    [
      'gate "dcie.mean": there is no metric "dcie"; did you mean "dice"?',
      'gate "strict.referenceMl.max": there is no metric "referenceMl" by the strict rule; expected one of: dice, iou',
    ],
  )
})

t.test('a value has the digits that tell it from its bound', async t => {
  t.equal(digitsBeside(0.6996, '>= 0.70', 3), 4)
  t.equal(digitsBeside(0.69999999, '>= 0.70', 3), 8)
  t.equal(digitsBeside(0.65, '>= 0.70', 3), 3)
  t.equal(digitsBeside(0.7, '>= 0.70', 3), 3)
  t.equal(digitsBeside(1e-300, '<= 0', 3), 20)
  t.equal(digitsBeside(Infinity, '<= 0', 3), 3)
})
