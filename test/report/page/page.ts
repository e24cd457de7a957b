import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { evaluationPage, trainingPage } from '../../../report/page/page.ts'
import type { Report } from '../../../schemas/report.ts'
import { bareReport, samplePicture, sampleReport, sampleTraining } from '../../support/report.ts'

const nothing = { pictures: [], viewer: [] }

/** Titles of sections, in their order. */
const sections = (page: string): string[] =>
  [...page.matchAll(/<h2 id="[^"]*">([^<]*)<\/h2>/g)].map(([, title]) => title!)

/** The page without its scripts and its style. */
const shown = (page: string): string => page.replace(/<(script|style)>[^]*?<\/\1>/g, '')

/** Every identifier once, and every link within the page leads somewhere. */
function expectLinks(t: Test, page: string): void {
  const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id!)
  t.same(ids.length, new Set(ids).size, 'identifiers are unique')
  const links = [...page.matchAll(/href="#([^"]*)"/g)].map(([, id]) => id!)
  t.same(
    links.filter(link => !ids.includes(link)),
    [],
    'links lead somewhere',
  )
}

t.test('a whole report has its sections, worst case first', async t => {
  const report = sampleReport(60)
  const pictures = report.worst.slice(0, 3).map(id => samplePicture(id, 'worst'))
  const page = await evaluationPage(report, { pictures, viewer: [] })
  t.same(sections(page), [
    'Headline figures',
    'Distributions',
    'Volumes and lesion size',
    'Gallery',
    'All cases',
    'All figures',
    'Groups of cases',
    'Comparison with an earlier run',
    'History',
    'Provenance and definitions',
  ])
  expectLinks(t, page)
  const rows = [...page.matchAll(/<tr id="case-(\d+)">/g)].map(([, place]) => report.cases[Number(place) - 1]!.case)
  t.same(rows, report.worst)
  t.equal(page.match(/<div class="plot[^>]* role="img" aria-label="[^"]{20,}"/g)?.length, page.match(/<svg /g)?.length)
  t.equal(page.match(/<img\s[^>]*alt="[^"]+"/g)?.length, 3)
  t.notMatch(page, /niivue/i)
  t.notMatch(shown(page), /NaN|undefined|\[object/)
})

const hash = (page: string): string => createHash('sha256').update(page).digest('hex')

t.test('the same report gives the same page, in any time zone and language', async t => {
  const script = `
    const { evaluationPage, trainingPage } = await import(${JSON.stringify(new URL('../../../report/page/page.js', import.meta.url).href)})
    const { sampleReport, sampleTraining } = await import(${JSON.stringify(new URL('../../support/report.js', import.meta.url).href)})
    const { createHash } = await import('node:crypto')
    const pages = await Promise.all([evaluationPage(sampleReport(40), { pictures: [], viewer: [] }), trainingPage(sampleTraining(20))])
    for (const page of pages) console.log(createHash('sha256').update(page).digest('hex'))`
  const elsewhere = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, TZ: 'Pacific/Kiritimati', LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' },
    encoding: 'utf8',
  })
  const here = [await evaluationPage(sampleReport(40), nothing), await trainingPage(sampleTraining(20))]
  t.same(elsewhere.trim().split('\n'), here.map(hash))
})

t.test('only its own scripts may run', async t => {
  const page = await evaluationPage(sampleReport(5), nothing)
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!.replaceAll('&#39;', "'")
  t.match(policy, "default-src 'none'")
  const scripts = [...page.matchAll(/<script>([^]*?)<\/script>/g)].map(([, source]) => source!)
  t.equal(scripts.length, 1)
  for (const source of scripts) t.match(policy, `'sha256-${createHash('sha256').update(source).digest('base64')}'`)
  t.notMatch(page, /https?:\/\/(?!www\.w3\.org)/)
  t.notMatch(page, / on[a-z]+="/)
})

t.test('what comes from outside is text wherever it stands', async t => {
  const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
  const report = sampleReport(6)
  const rename = (id: string): string => (id === report.cases[0]!.case ? evil : id)
  const hostile: Report = {
    ...report,
    title: evil,
    data: { ...report.data, name: evil, missing: [evil] },
    cases: report.cases.map(each => ({ ...each, case: rename(each.case), fields: { [evil]: evil } })),
    worst: report.worst.map(rename),
    failures: [{ case: evil, stage: evil, code: evil, reason: evil }],
    gates: [{ figure: evil, rule: evil, value: 1, passed: false, note: evil }],
    strata: report.strata.map(({ groups }) => ({ by: evil, groups: groups.map(group => ({ ...group, name: evil })) })),
    metrics: Object.fromEntries(
      Object.entries(report.metrics).map(([name, about]) => [name, { ...about, label: evil }]),
    ),
    comparison: {
      ...report.comparison!,
      with: evil,
      test: evil,
      onlyNow: [evil],
      metrics: { dice: { ...report.comparison!.metrics['dice']!, better: [evil] } },
    },
    history: report.history.map(record => ({ ...record, id: evil, title: evil, created: evil, gates: [evil] })),
    run: { ...report.run, engine: evil },
  }
  const page = await evaluationPage(hostile, {
    pictures: [{ ...samplePicture(evil, 'worst'), alt: evil, caption: evil }],
    viewer: [{ case: evil, scan: Uint8Array.of(1), prediction: Uint8Array.of(2), reference: Uint8Array.of(3) }],
  })
  t.notMatch(page, /<script>alert/)
  t.notMatch(page, /<img src=x/)
  t.match(page, '&lt;script&gt;alert(1)')
})

t.test('reports with little in them still give a page', async t => {
  const one = bareReport(1)
  const allMissing: Report = {
    ...sampleReport(4),
    cases: sampleReport(4).cases.map(each => ({
      ...each,
      isMissing: true,
      metrics: Object.fromEntries(Object.keys(each.metrics).map(name => [name, /^hd|^assd/.test(name) ? 'inf' : 0])),
    })),
  }
  const perfect: Report = {
    ...sampleReport(4),
    cases: sampleReport(4).cases.map(each => ({
      ...each,
      metrics: Object.fromEntries(
        Object.keys(each.metrics).map(name => [name, /^hd|^assd|ifference/.test(name) ? 0 : 1]),
      ),
    })),
  }
  const undefinedAll: Report = {
    ...sampleReport(3),
    cases: sampleReport(3).cases.map(each => ({
      ...each,
      metrics: Object.fromEntries(Object.keys(each.metrics).map(name => [name, null])),
      monai: {},
    })),
    monai: {},
  }
  const none: Report = { ...bareReport(1), cases: [], worst: [], summary: {}, monai: {}, strict: {} }
  for (const [name, report] of Object.entries({ one, allMissing, perfect, undefinedAll, none })) {
    const page = await evaluationPage(report, nothing)
    expectLinks(t, page)
    t.notMatch(shown(page), /NaN|Infinity|undefined|\[object/, name)
    t.match(page, 'Provenance and definitions', name)
  }
  const page = await evaluationPage(one, nothing)
  for (const title of ['Gallery', 'Viewer', 'History', 'Comparison with an earlier run', 'Groups of cases']) {
    t.notOk(sections(page).includes(title), title)
  }
  t.match(page, 'There is no earlier report to compare with')
  t.match(await evaluationPage(none, nothing), 'No case could be evaluated')
})

const split = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name === 'dice'
        ? [
            [name, value],
            ['dice_class1', value],
            ['dice_class2', value],
          ]
        : [
            [`${name}_class1`, value],
            [`${name}_class2`, value],
          ],
    ),
  )

t.test('several classes have figures and charts of their own', async t => {
  const report = sampleReport(8)
  const page = await evaluationPage(
    {
      ...report,
      metrics: split(report.metrics),
      summary: split(report.summary),
      cases: report.cases.map(each => ({ ...each, metrics: split(each.metrics) })),
    },
    nothing,
  )
  t.match(page, 'Bland–Altman of volumes, class 1')
  t.match(page, 'Bland–Altman of volumes, class 2')
  t.match(page, 'By Volume of the reference (ml)')
  t.notMatch(page, 'By referenceMl')
})

const drawn = (page: string): number => page.match(/<svg [^]*?<\/svg>/g)!.reduce((sum, svg) => sum + svg.length, 0)

t.test('many cases are drawn as bars and squares, not one by one', async t => {
  const [few, many] = [await evaluationPage(bareReport(300), nothing), await evaluationPage(bareReport(1000), nothing)]
  t.ok(drawn(many) < 2 * drawn(few), `${drawn(many)} and ${drawn(few)}`)
  t.equal(many.match(/<tr id="case-/g)!.length, 1000)
})

t.test('a training has curves, its best epoch and its pictures', async t => {
  const page = await trainingPage(sampleTraining(20))
  t.same(sections(page), ['Headline figures', 'Curves', 'Example slices', 'Epochs', 'Provenance'])
  expectLinks(t, page)
  t.match(page, /Mean Dice over 10 epochs|mean Dice over 10 epochs/)
  const none = await trainingPage({ ...sampleTraining(0), pictures: [] })
  t.same(sections(none), ['Headline figures', 'Provenance'])
  t.notMatch(shown(none), /NaN|Infinity|undefined/)
  const { epochs, ...rest } = sampleTraining(3)
  const unvalidated = { ...rest, epochs: epochs.filter(({ dice }) => dice === undefined) }
  t.notMatch(await trainingPage(unvalidated), 'Mean Dice over')
})

/** The labels along the axes of the chart below a heading. */
const labels = (page: string, heading: string): string[] => {
  const chart = page.slice(page.indexOf(`<h3>${heading}</h3>`))
  return [...chart.slice(0, chart.indexOf('</svg>')).matchAll(/<(?:text|tspan)[^>]*>([^<]+)</g)].map(
    ([, text]) => text!,
  )
}

t.test('axes of Dice keep to what Dice can be, and tell their ticks apart', async t => {
  const { epochs, best: _, ...training } = sampleTraining(4)
  const page = await trainingPage({ ...training, epochs: epochs.map(epoch => ({ ...epoch, dice: 0 })) })
  const found = labels(page, 'Validation Dice').filter(text => /^[−-]?[\d.]+$/.test(text) && text.includes('.'))
  t.ok(found.length > 2)
  for (const text of found) t.ok(Number(text) >= 0 && Number(text) <= 1, text)
  const report = bareReport(20)
  const cases = report.cases.map((each, i) => ({ ...each, metrics: { ...each.metrics, differenceMl: -0.015 * i } }))
  const ticks = labels(
    await evaluationPage({ ...report, cases }, nothing),
    report.metrics['differenceMl']!.label + ' (ml)',
  )
  t.ok(ticks.length > 2)
  t.equal(new Set(ticks).size, ticks.length, ticks.join(' '))
})

t.test('runs of one day are told apart by their time', async t => {
  const report = sampleReport(20)
  const history = report.history.map((record, i) => ({ ...record, created: `2026-11-29T${10 + (i % 14)}:05:00.000Z` }))
  t.ok(labels(await evaluationPage({ ...report, history }, nothing), 'Dice over past runs').includes('10:05'))
  t.notOk(labels(await evaluationPage(report, nothing), 'Dice over past runs').includes('19:36'))
})

t.test('cases that failed or have no mask are said before the gates', async t => {
  const report = sampleReport(18)
  const [failure] = report.failures
  const page = await evaluationPage(
    {
      ...report,
      cases: report.cases.slice(0, 3),
      failures: report.cases.slice(3).map(each => ({ ...failure!, case: each.case })),
      data: { ...report.data, missing: [report.cases[0]!.case] },
      gates: report.gates.slice(0, 1),
    },
    nothing,
  )
  t.match(page, '3 of 18 cases of hold-out.json')
  const at = ['15 of 18 cases could not be evaluated', '1 of 18 cases has no mask', 'The only gate passed'].map(text =>
    page.indexOf(text),
  )
  t.ok(at[0]! > 0 && at[0]! < at[1]! && at[1]! < at[2]!, String(at))
  t.match(page, 'A missing mask counts as an empty one')
  t.notMatch(await evaluationPage(bareReport(3), nothing), 'class="shortfall"')
})

t.test('a viewer brings no identifier twice; what did not change is called so', async t => {
  const report = sampleReport(5)
  const bytes = Uint8Array.of(1)
  const same = { ...report.comparison!.metrics['dice']!, difference: 0, p: null }
  const page = await evaluationPage(
    { ...report, comparison: { ...report.comparison!, metrics: { dice: same } } },
    { pictures: [], viewer: [{ case: report.cases[0]!.case, scan: bytes, prediction: bytes, reference: bytes }] },
  )
  expectLinks(t, page.replace(/<script>[^]*?<\/script>/g, ''))
  t.match(page, '<dd>unchanged</dd>')
})

t.test('whatever rule was chosen, the strict figures and those by MONAI stand side by side', async t => {
  const spread = { median: 0, min: 0, max: 1, sd: 0.5, cases: 3, infinite: 0, undefined: 0, low: 0, high: 1 }
  const [strict, monai] = [{ dice: { ...spread, mean: 0.25 } }, { dice: { ...spread, mean: 0.75 } }]
  for (const emptyRule of ['strict', 'monai'] as const) {
    const summary = emptyRule === 'monai' ? monai : strict
    const page = shown(await evaluationPage({ ...bareReport(3), emptyRule, summary, strict, monai }, nothing))
    const [, table] = page.split('convention beside ours')
    const cells = [...table!.slice(0, table!.indexOf('</table>')).matchAll(/<t[dh][^>]*>([^<]*)<\/t[dh]>/g)]
    const words = cells.map(([, text]) => text!.trim())
    t.ok(words.includes('strict: mean') && words.includes('MONAI: mean'), emptyRule)
    t.same(
      words.filter(word => word.startsWith('0.25') || word.startsWith('0.75')),
      ['0.250', '0.750'],
      emptyRule,
    )
  }
})

t.test('the rule for empty masks is told as it is, of the metrics that there are', async t => {
  const report = bareReport(3)
  const told = async (emptyRule: Report['emptyRule'], names: readonly string[]): Promise<string> => {
    const metrics = Object.fromEntries(names.map(name => [name, report.metrics['dice']!]))
    return shown(await evaluationPage({ ...report, emptyRule, metrics }, nothing))
  }
  const monai = await told('monai', ['dice', 'hd_class1', 'hd95_class1'])
  t.match(monai, /average distances are infinite where one of both is empty/)
  t.match(monai, /percentile of the Hausdorff distance is not defined where either is empty/)
  t.notMatch(monai, /Surface Dice is 0|left out of Dice and of distances/)
  t.match(await told('monai', ['dice', 'nsd_1mm']), /Surface Dice is 0 where one of both is empty/)
  t.match(await told('strict', ['dice', 'hd']), /Dice and all other shares are 0.*Distances are then the diagonal/s)
  t.notMatch(await told('strict', ['dice']), /diagonal/)
})

t.test('a gate that was just missed does not look as if it was held', async t => {
  const gates = [{ figure: 'dice.mean', rule: '>= 0.70', value: 0.6996, passed: false, note: '' }]
  t.match(
    shown(await evaluationPage({ ...bareReport(3), gates }, nothing)),
    /<code>dice.mean<\/code> is 0\.6996, wanted/,
  )
})

t.test('the history of every class is drawn', async t => {
  const report = sampleReport(8)
  const history = report.history.map(record => ({ ...record, figures: split(record.figures) }))
  const page = await evaluationPage({ ...report, metrics: split(report.metrics), history }, nothing)
  const plots = [...page.matchAll(/role="img" aria-label="([^"]*)"/g)].map(([, alt]) => alt!)
  for (const [label, count] of [
    ['Dice', 3],
    ['Lesion F1', 2],
  ] as const)
    // Each is drawn for wide and for narrow screens.
    t.equal(plots.filter(alt => alt.startsWith(`Mean ${label} of 14 runs`)).length, 2 * count, label)
})
