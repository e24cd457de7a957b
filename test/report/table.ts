import t from 'tap'
import { makeReport } from '../../report/make-report.ts'
import { casesTable } from '../../report/table.ts'
import { reportInput, scoresOf } from '../support/reports.ts'

/** By the grammar of RFC 4180; throws where the text is not made by it. */
function parse(text: string): string[][] {
  const rows: string[][] = [[]]
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex
    const found = cell.exec(text)
    if (!found) throw new Error(`no cell at ${at}: ${JSON.stringify(text.slice(at, at + 40))}`)
    rows.at(-1)!.push(found[1]?.replaceAll('""', '"') ?? found[2]!)
    if (found[3] === '\r\n') rows.push([])
  }
  rows.pop()
  return rows
}

t.test('a row a case: fields, metrics, what MONAI says; failed cases last', async t => {
  const report = await makeReport(
    reportInput(
      scoresOf({
        a: {
          metrics: { dice: 0.5, differenceMl: -1.5, hd: Infinity },
          monai: { dice: null },
          fields: { site: 'x, "y"' },
        },
        b: {
          metrics: { dice: 1e-7, hd: null },
          monai: { dice: 1 },
          isMissing: true,
          fields: { scanner: 'two\nlines' },
        },
      }),
      { failures: [{ case: 'c', stage: 'load', code: 'ERR_FILE', reason: 'truncated' }] },
    ),
  )
  t.same(parse(casesTable(report)), [
    'case,state,field.site,field.scanner,dice,hd,differenceMl,monai.dice,image,label,prediction'.split(','),
    ['a', 'evaluated', 'x, "y"', '', '0.5', 'inf', '-1.5', '', '', '/labels/a.nii.gz', ''],
    ['b', 'missing', '', 'two\nlines', '1e-7', '', '', '1', '', '/labels/b.nii.gz', ''],
    ['c', 'failed', '', '', '', '', '', '', '', '', ''],
  ])
})

t.test('text from outside is no formula, negative figures stay figures', async t => {
  const evil = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '=HYPERLINK("x","y")']
  const scores = scoresOf(
    Object.fromEntries(evil.map(text => [text, { metrics: { dice: -Infinity, iou: -1 }, fields: { site: text } }])),
  )
  const failures = [{ case: '=2', stage: 'load', code: 'ERR_FILE', reason: '' }]
  const [, ...rows] = parse(casesTable(await makeReport(reportInput(scores, { failures }))))
  t.same(
    rows.map(([id, , site, dice, iou]) => [id, site, dice, iou]),
    [...evil.map(text => [`'${text}`, `'${text}`, '-inf', '-1']), ["'=2", '', '', '']],
  )
})

t.test('a report without cases has a header', async t => {
  t.same(parse(casesTable(await makeReport(reportInput([])))), [['case', 'state', 'image', 'label', 'prediction']])
})

t.test("where MONAI's rule was chosen, the strict figures stand beside it", async t => {
  const scores = scoresOf({ a: { metrics: { dice: null }, monai: { dice: null }, strict: { dice: 0 } } })
  const header = async (emptyRule: 'strict' | 'monai'): Promise<string[]> =>
    parse(casesTable(await makeReport(reportInput(scores, { emptyRule }))))[0]!
  t.same(await header('strict'), ['case', 'state', 'dice', 'monai.dice', 'image', 'label', 'prediction'])
  t.same(await header('monai'), ['case', 'state', 'dice', 'monai.dice', 'strict.dice', 'image', 'label', 'prediction'])
})
