import t from 'tap'
import { makeReport } from '../../report/make-report.ts'
import { monitoringText } from '../../report/monitoring.ts'
import { reportInput, scoresOf } from '../support/reports.ts'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * The text format 0.0.4, strictly: every line is a HELP, a TYPE, a sample or empty; HELP and TYPE come once and before the
 * samples, samples of a name are together and no two have the same labels; the last line ends.
 */
function parse(text: string): Sample[] {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const samples: Sample[] = []
  const seen = new Set<string>()
  let [help, type] = ['', '']
  for (const line of text.split('\n').slice(0, -1)) {
    if (line === '') continue
    const [, keyword, of, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? []
    if (keyword === 'HELP') {
      if (seen.has(of!)) throw new Error(`a second HELP: ${line}`)
      seen.add((help = of!))
    } else if (keyword === 'TYPE') {
      if (of !== help || rest !== 'gauge') throw new Error(`not the type of ${help}: ${line}`)
      type = of
    } else {
      const [, name, inside, value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)$/.exec(line) ?? []
      if (name === undefined || name !== type) throw new Error(`no sample of ${type}: ${line}`)
      const labels: Record<string, string> = {}
      const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/gy
      while (label.lastIndex < inside!.length) {
        const found = label.exec(inside!)
        if (!found || Object.hasOwn(labels, found[1]!)) throw new Error(`labels: ${line}`)
        labels[found[1]!] = found[2]!.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
      }
      if (!/^(?:[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/.test(value!)) throw new Error(`value: ${line}`)
      if (seen.has(`${name}{${inside!}}`)) throw new Error(`twice: ${line}`)
      seen.add(`${name}{${inside!}}`)
      samples.push({
        name: name.replace('ctflow_evaluation_', ''),
        labels,
        value: Number(value!.replace('Inf', 'Infinity')),
      })
    }
  }
  return samples
}

const title = 'Phantoms "B" \\ second\nline'

t.test('every figure is a sample; infinities are, what is not defined is not', async t => {
  const report = await makeReport(
    reportInput(
      scoresOf({
        a: { metrics: { dice: 0.5, hd: Infinity, assd: null }, monai: { dice: 0.5 } },
        b: { metrics: { dice: 1e-9, hd: 3, assd: null }, monai: { dice: null }, isMissing: true },
      }),
      { title, gates: { 'dice.mean': '>= 0.7', 'cases.missing': '<= 1' } },
    ),
  )
  const samples = parse(await monitoringText(report))
  t.ok(samples.every(({ labels }) => labels['title'] === title))
  const found = Object.fromEntries(
    samples.map(({ name, labels, value }) => [
      [name, ...Object.values(labels).filter(label => label !== title)].join(' '),
      value,
    ]),
  )
  t.match(found, {
    'metric dice mean': (0.5 + 1e-9) / 2,
    'metric dice min': 1e-9,
    'metric dice low': report.summary['dice']!.low,
    'metric hd mean': Infinity,
    'metric hd median': Infinity,
    'metric monai.dice mean': 0.5,
    'cases evaluated': 2,
    'cases missing': 1,
    'cases failed': 0,
    'gate_passed dice.mean': 0,
    'gate_passed cases.missing': 1,
    timestamp_seconds: Date.parse('2026-01-02T03:04:05Z') / 1000,
    duration_seconds: 12.5,
    peak_rss_bytes: 3e8,
  })
  t.notOk('metric hd sd' in found)
  t.notOk('metric monai.dice sd' in found)
  t.same(
    Object.keys(found).filter(name => name.includes('assd')),
    [],
  )
})

t.test(
  'a report without cases and gates still says when it was made, and a second one knows nothing of the first',
  async t => {
    const samples = parse(await monitoringText(await makeReport(reportInput([]))))
    t.same(
      samples.map(({ name }) => name),
      ['cases', 'cases', 'cases', 'timestamp_seconds', 'duration_seconds', 'peak_rss_bytes'],
    )
  },
)

t.test("where MONAI's rule was chosen, the strict figures are samples too", async t => {
  const scores = scoresOf({ a: { metrics: { dice: null }, monai: { dice: null }, strict: { dice: 0.25 } } })
  for (const emptyRule of ['strict', 'monai'] as const) {
    const samples = parse(await monitoringText(await makeReport(reportInput(scores, { emptyRule }))))
    const found = samples.filter(({ labels }) => labels['metric'] === 'strict.dice' && labels['statistic'] === 'mean')
    t.same(
      found.map(({ value }) => value),
      emptyRule === 'monai' ? [0.25] : [],
    )
  }
})
