import t from 'tap'
import { makeReport } from '../../report/make-report.ts'
import type { Report } from '../../schemas/report.ts'
import { reportInput, scoresOf, type Described } from '../support/reports.ts'

const strata = async (
  cases: Readonly<Record<string, Described>>,
  options: { strata?: readonly string[]; volumesMl?: readonly number[] },
): Promise<Report['strata']> => {
  const all = { strata: [], volumesMl: [], bootstrap: 100, seed: 1, ...options }
  return (await makeReport(reportInput(scoresOf(cases), { options: all }))).strata
}

const shape = (found: Report['strata']): unknown =>
  found.map(({ by, groups }) => [by, ...groups.map(({ name, cases }) => `${name}: ${cases}`)])

const ofMl = (ml: number | null): Described => ({ metrics: { dice: 0.5, referenceMl: ml } })

const ofSite = (site: string, dice: number): Described => ({ fields: { site }, metrics: { dice } })

t.test('by volume: an edge belongs to the group that ends there, groups without cases are left out', async t => {
  const cases = Object.fromEntries([0, 0, 0.2, 1, 1.001, 100, 100.1].map((ml, i) => [`case${i}`, ofMl(ml)]))
  t.same(shape(await strata(cases, { volumesMl: [100, 0, 10, 1] })), [
    ['referenceMl', '0 ml: 2', 'up to 1 ml: 2', '1 to 10 ml: 1', '10 to 100 ml: 1', 'over 100 ml: 1'],
  ])
  t.same(shape(await strata(cases, { volumesMl: [1, 200] })), [['referenceMl', 'up to 1 ml: 4', '1 to 200 ml: 3']])
  t.same(shape(await strata(cases, { volumesMl: [0] })), [['referenceMl', '0 ml: 2', 'over 0 ml: 5']])
  t.same(await strata(cases, {}), [])
})

t.test('volumes of classes are added up; a case that does not say is in a group of its own', async t => {
  const classes = { metrics: { referenceMl_class1: 0.7, referenceMl_class2: 0.7 } }
  t.same(shape(await strata({ classes, unknown: { metrics: { dice: 1 } }, none: ofMl(null) }, { volumesMl: [1] })), [
    ['referenceMl', 'over 1 ml: 1', 'not given: 2'],
  ])
})

t.test('by fields, each with its own figures', async t => {
  const found = await strata(
    { a: ofSite('site 10', 0.2), b: ofSite('site 9', 0.4), c: { metrics: { dice: 1 } }, d: ofSite('site 10', 0.4) },
    { strata: ['site', 'toString'] },
  )
  t.same(shape(found), [
    ['site', 'site 9: 1', 'site 10: 2', 'not given: 1'],
    ['toString', 'not given: 4'],
  ])
  t.match(found[0]!.groups[1]!.summary['dice'], { cases: 2, min: 0.2, max: 0.4, low: Number, high: Number })
})
