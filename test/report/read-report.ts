import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { toJson } from '../../pipeline/json.ts'
import { makeReport } from '../../report/make-report.ts'
import { readReport } from '../../report/read-report.ts'
import { reportInput, scoresOf } from '../support/reports.ts'

const report = await makeReport(reportInput(scoresOf({ a: { metrics: { dice: 0.5, hd: Infinity, assd: null } } })))

t.test('what was written is read', async t => {
  const path = join(t.testdir({}), 'report.json')
  writeFileSync(path, toJson(report, 2))
  t.same(readReport(path), report)
})

t.test('what is no report is refused with its path and the reason', async t => {
  const dir = t.testdir({
    'empty.json': '',
    'cut.json': toJson(report).slice(0, 100),
    'list.json': '[]',
    'other.json': toJson({ ...report, format: 'ctflow-report-9' }),
    'more.json': toJson({ ...report, gate: [] }),
    'less.json': toJson({ ...report, worst: undefined }),
    'text.json': toJson({ ...report, summary: { dice: { ...report.summary['dice'], mean: 'NaN' } } }),
  })
  for (const [name, message] of [
    ['none.json', /there is no such file/],
    ['', /it is a folder/],
    ['empty.json', /not valid JSON/],
    ['cut.json', /not valid JSON/],
    ['list.json', /\/: expected object, found \[\]/],
    ['other.json', /\/format: expected "ctflow-report-1", found "ctflow-report-9"/],
    ['more.json', /unknown field "gate"; did you mean "gates"/],
    ['less.json', /the field "worst" is missing/],
    ['text.json', /\/summary\/dice\/mean: .*"NaN"/],
  ] as const) {
    const path = join(dir, name)
    t.throws(() => readReport(path), { code: 'ERR_FILE', message, facts: { path } }, name)
    t.throws(() => readReport(path), { message: new RegExp(`^${path}`) })
  }
})
