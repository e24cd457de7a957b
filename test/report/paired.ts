import t from 'tap'
import { makeReport } from '../../report/make-report.ts'
import type { Report } from '../../schemas/report.ts'
import { reportInput, scoresOf, type Described } from '../support/reports.ts'

type Cases = Readonly<Record<string, Described>>

const compared = async (
  before: Cases,
  now: Cases,
  changed: Partial<Report> = {},
): Promise<NonNullable<Report['comparison']>> => {
  const earlier = {
    path: 'reports/earlier',
    report: { ...(await makeReport(reportInput(scoresOf(before)))), ...changed },
  }
  return (await makeReport(reportInput(scoresOf(now), { earlier }))).comparison!
}

const column = (name: string, values: Readonly<Record<string, number | null>>): Cases =>
  Object.fromEntries(Object.entries(values).map(([id, value]) => [id, { metrics: { [name]: value } }]))

t.test('cases that both runs have are compared by their ids; what only one has is listed', async t => {
  const found = await compared(
    column('dice', { a: 0.5, b: 0.5, c: 0.25, d: 0.75, gone: 1 }),
    column('dice', { fresh: 0, d: 0.625, c: 0.5, b: 0.5, a: 1 }),
  )
  t.match(found, { with: 'reports/earlier', created: '2026-01-02T03:04:05.000Z', test: /Wilcoxon/, differs: [] })
  t.same(found.onlyNow, ['fresh'])
  t.same(found.onlyBefore, ['gone'])
  const { low, high, ...dice } = found.metrics['dice']!
  // Of 8 sign patterns of the ranks 1, 2, 3 those with rank 1 below zero or further out, on both sides: 4.
  t.same(dice, { cases: 4, difference: 0.15625, p: 0.5, better: ['a', 'c'], worse: ['d'], equal: 1 })
  const [from, to] = [Number(low), Number(high)]
  t.ok(from < 0.15625 && to > 0.15625 && from >= -0.125 && to <= 0.5, `${low} to ${high}`)
})

t.test('which way is good depends on the metric', async t => {
  const [before, now] = [
    { a: 2, b: -4, c: 1 },
    { a: 3, b: 1, c: 1 },
  ]
  for (const [name, better, worse] of [
    ['dice', ['b', 'a'], []],
    ['hd95', [], ['b', 'a']],
    ['differenceMl', ['b'], ['a']],
    ['predictedMl', [], []],
  ] as const) {
    const found = await compared(column(name, before), column(name, now))
    t.match(found.metrics[name], { difference: 2, equal: 1, cases: 3 }, name)
    t.same(found.metrics[name]!.better, better, name)
    t.same(found.metrics[name]!.worse, worse, name)
  }
})

t.test('values that are infinite or not defined in either are left out', async t => {
  const found = await compared(
    column('hd', { a: 1, b: Infinity, c: null, d: 2 }),
    column('hd', { a: 2, b: 1, c: 1, d: Infinity }),
  )
  t.match(found.metrics['hd'], { cases: 1, difference: 1, low: null, high: null, p: 1, worse: ['a'], better: [] })
})

t.test('nothing to compare: no figures, no p', async t => {
  const nothing = { cases: 0, difference: null, low: null, high: null, p: null, better: [], worse: [], equal: 0 }
  t.same((await compared(column('dice', { a: 1 }), column('dice', { b: 1 }))).metrics, { dice: nothing })
  t.same((await compared(column('dice', { a: 1 }), column('iou', { a: 1 }))).metrics, {})
  const same = column('dice', { a: 1, b: 0.5 })
  t.match((await compared(same, same)).metrics['dice'], { cases: 2, difference: 0, low: 0, high: 0, p: null, equal: 2 })
})

t.test('what was not the same in both runs is said', async t => {
  const cases = column('dice', { a: 1 })
  const { run, data } = await makeReport(reportInput([]))
  const other = {
    run: { ...run, model: 'b'.repeat(64), definition: null },
    data: { ...data, hash: 'c'.repeat(64) },
    emptyRule: 'monai',
  } as const
  t.same((await compared(cases, cases, other)).differs, ['data', 'model', 'definition', 'emptyRule'])
})
