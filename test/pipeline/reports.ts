import fs, {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { appendToHistory, lostRecords, readHistory } from '../../pipeline/history.ts'
import {
  checkPlaces,
  newReportId,
  previousReport,
  publishReport,
  removeOldReports,
  reportFolder,
  reportIds,
} from '../../pipeline/reports.ts'
import { openRunFolder } from '../../pipeline/run-folder.ts'
import type { Report } from '../../schemas/report.ts'
import { recordOf } from '../../stages/index.ts'
import { placeReport, reportOf } from '../support/evaluations.ts'

const id = (day: number): string => `2026-01-${String(day).padStart(2, '0')}T02-00-00Z`
const silent = (): void => {}

type Call = (...args: unknown[]) => unknown
const functions = fs as unknown as Record<string, Call>

/** Lets `call` stand for a function of the file system; gives back how to end that. */
function replaced(name: string, call: (original: Call, ...args: unknown[]) => unknown): () => void {
  const original = functions[name]!
  functions[name] = (...args) => call(original, ...args)
  syncBuiltinESMExports()
  return () => {
    functions[name] = original
    syncBuiltinESMExports()
  }
}

interface Done {
  readonly name: string
  readonly args: readonly unknown[]
  readonly result: unknown
}

/** Which of the functions `work` calls, in order. */
function spied(names: readonly string[], work: () => void): Done[] {
  const done: Done[] = []
  const restores = names.map(name =>
    replaced(name, (original, ...args) => {
      const result = original(...args)
      done.push({ name, args, result })
      return result
    }),
  )
  try {
    work()
  } finally {
    for (const restore of restores) restore()
  }
  return done
}

t.test('names are the time, told apart, and sort by age', async t => {
  const output = t.testdir()
  const created = new Date('2026-11-29T19:36:09.876Z')
  t.equal(newReportId(output, created), '2026-11-29T19-36-09Z')
  const ids = Array.from({ length: 11 }, () => {
    const next = newReportId(output, created)
    placeReport(output, reportOf(next))
    return next
  })
  t.equal(ids.at(-1), '2026-11-29T19-36-09Z-11')
  placeReport(output, reportOf(id(1)))
  mkdirSync(join(output, 'reports/2026-12-01T00-00-00Z'))
  mkdirSync(join(output, 'reports/mine'))
  t.same(reportIds(output), [id(1), ...ids], 'folders without a report, or of other names, are none')
  t.same(reportIds(join(output, 'nowhere')), [])
})

t.test('the previous report is the newest that can be read', async t => {
  const output = t.testdir()
  t.equal(previousReport(output, silent), undefined)
  for (const day of [1, 2, 3]) placeReport(output, reportOf(id(day)))
  writeFileSync(join(reportFolder(output, id(3)), 'report.json'), '{"format":')
  const notes: string[] = []
  t.equal(previousReport(output, text => void notes.push(text))?.id, id(2))
  t.match(notes, [new RegExp(`not compared with ${id(3)}: .*expected .*report`)])
})

const hasPassed = (report: Report): boolean => report.gates.every(({ passed }) => passed)

t.test('the previous report may have to be of a kind', async t => {
  const output = t.testdir()
  const gates = [{ figure: 'dice.mean', rule: '>= 0.9', value: 0.7, passed: false, note: '' }]
  placeReport(output, reportOf(id(1)))
  placeReport(output, { ...reportOf(id(2)), gates })
  t.equal(previousReport(output, silent)?.id, id(2))
  t.equal(previousReport(output, silent, hasPassed)?.id, id(1))
  t.equal(
    previousReport(output, silent, () => false),
    undefined,
  )
})

t.test('what is in the way is told, and stays', async t => {
  const output = t.testdir()
  const folder = openRunFolder(output)
  const attempt = (): void => {
    folder.writeText('scratch/report/report.json', JSON.stringify(reportOf(id(1))))
    publishReport(folder, join(folder.scratch, 'report'), id(1), silent)
  }
  writeFileSync(join(output, 'latest'), 'mine')
  t.throws(() => checkPlaces(folder), { code: 'ERR_OUTPUT', message: /latest: a file of that name is in the way/ })
  t.throws(attempt, { code: 'ERR_OUTPUT' })
  t.equal(readFileSync(join(output, 'latest'), 'utf8'), 'mine')
  t.same(reportIds(output), [])
  // What stands for the link where there are none.
  writeFileSync(join(output, 'latest'), `reports/${id(9)}\n`)
  attempt()
  t.equal(readlinkSync(join(output, 'latest')), `reports/${id(1)}`)
  folder.abandon()
  const other = t.testdir({ reports: 'a file' })
  t.throws(() => checkPlaces({ output: other, staging: other }), {
    code: 'ERR_OUTPUT',
    message: /reports: a file of that name is in the way/,
  })
  const third = t.testdir({ latest: {} })
  t.throws(() => checkPlaces({ output: third, staging: third }), { code: 'ERR_OUTPUT', message: /latest: a folder/ })
})

const elsewhere = '/dev/shm'
const isOtherDisk = existsSync(elsewhere) && statSync(elsewhere).dev !== statSync(t.testdir()).dev

t.test('a folder of reports on another file system is told of at once', { skip: !isOtherDisk }, async t => {
  const there = mkdtempSync(join(elsewhere, 'ctflow-'))
  t.teardown(() => rmSync(there, { recursive: true }))
  const output = t.testdir()
  const folder = openRunFolder(output)
  checkPlaces(folder)
  symlinkSync(there, join(output, 'reports'))
  t.throws(() => checkPlaces(folder), {
    code: 'ERR_OUTPUT',
    message: /reports: expected a folder on the file system of "output".*put the whole "output" there/,
  })
  folder.abandon()
})

t.test('a report is on the disk before it has its place', async t => {
  const output = t.testdir()
  const folder = openRunFolder(output)
  for (const name of ['index.html', 'report.json']) folder.writeText(join('scratch/report', name), name)
  const done = spied(['openSync', 'fsyncSync', 'renameSync'], () =>
    publishReport(folder, join(folder.scratch, 'report'), id(1), silent),
  )
  folder.abandon()
  const paths = new Map<unknown, string>()
  const order = done.flatMap(({ name, args, result }) => {
    if (name === 'openSync') return (paths.set(result, String(args[0])), [])
    return name === 'fsyncSync' ? [`on the disk: ${paths.get(args[0])}`] : [`moved: ${String(args[0])}`]
  })
  const report = join(output, '.running/scratch/report')
  t.same(order.slice(0, 5), [
    `on the disk: ${join(report, 'index.html')}`,
    `on the disk: ${join(report, 'report.json')}`,
    `on the disk: ${report}`,
    `moved: ${report}`,
    `on the disk: ${join(output, 'reports')}`,
  ])
})

t.test('an old report that cannot be removed is not among the results', async t => {
  const output = t.testdir()
  for (const day of [1, 2]) placeReport(output, reportOf(id(day)))
  const folder = openRunFolder(output)
  folder.writeText('summary.txt', 'x')
  const notes: string[] = []
  const restore = replaced('rmSync', (original, ...args) => {
    if (/\/(old-[^/]*|scratch)$/.test(String(args[0]))) throw new Error('busy')
    return original(...args)
  })
  try {
    removeOldReports(folder, { keep: 1, spared: [] }, text => void notes.push(text))
    folder.publish()
  } finally {
    restore()
  }
  t.match(notes, [/old report that cannot be removed: busy/])
  t.same(
    readdirSync(output)
      .filter(name => !name.startsWith('.'))
      .toSorted(),
    ['reports', 'summary.txt'],
  )
  openRunFolder(output).publish()
  t.same(readdirSync(output).toSorted(), ['reports', 'summary.txt'], 'the next run removes it')
})

t.test('old reports leave, and nothing else does', async t => {
  const output = t.testdir({ reports: { mine: { 'report.json': '{}' }, '2025-01-01T00-00-00Z': { 'notes.txt': '' } } })
  for (const day of [1, 2, 3, 4, 5]) placeReport(output, reportOf(id(day)))
  symlinkSync(`reports/${id(2)}`, join(output, 'baseline'))
  const folder = openRunFolder(output)
  removeOldReports(folder, { keep: 2, spared: [join(output, 'baseline'), id(5)] }, silent)
  t.same(reportIds(output), [id(2), id(4), id(5)])
  removeOldReports(folder, { keep: 1, spared: [id(2)] }, silent)
  t.same(reportIds(output), [id(2), id(5)])
  folder.abandon()
  t.same(readdirSync(join(output, 'reports')).toSorted(), ['2025-01-01T00-00-00Z', id(2), id(5), 'mine'])
})

const changing = [
  'renameSync',
  'symlinkSync',
  'linkSync',
  'mkdirSync',
  'rmSync',
  'writeFileSync',
  'appendFileSync',
  'writeSync',
  'openSync',
  'fsyncSync',
] as const

/** Runs `work` until its n-th change of a file; from then on nothing is changed any more, as if the process were dead. */
async function dyingAt(n: number, work: () => Promise<void>): Promise<'dead' | 'alive'> {
  let changes = 0
  const restores = changing.map(name =>
    replaced(name, (original, ...args) => {
      changes += 1
      if (changes < n) return original(...args)
      // Half of a line is on the disk.
      if (changes === n && name === 'writeSync') original(args[0], (args[1] as Buffer).subarray(0, 40))
      throw new Error('dead')
    }),
  )
  try {
    await work()
  } catch (error) {
    if (changes < n) throw error
  } finally {
    for (const restore of restores) restore()
  }
  return changes < n ? 'alive' : 'dead'
}

/** Publishes as an evaluation does. */
async function evaluated(output: string, day: number): Promise<void> {
  const history = join(output, 'history.jsonl')
  const folder = openRunFolder(output)
  const report = reportOf(id(day))
  const lost = lostRecords(output, readHistory(history))
  folder.writeText('scratch/report/index.html', id(day))
  folder.writeText('scratch/report/report.json', JSON.stringify(report))
  folder.writeJson('summary.json', { id: id(day) })
  folder.checkWay()
  publishReport(folder, join(folder.scratch, 'report'), id(day), silent)
  await appendToHistory(history, [...lost, recordOf(report)])
  removeOldReports(folder, { keep: 2, spared: [id(day)] }, silent)
  folder.publish()
}

/** Locks that a dead process has left: ours would be taken for alive. */
function burySelf(output: string): void {
  for (const name of readdirSync(output).filter(each => each.endsWith('.lock'))) {
    const holder = JSON.parse(readFileSync(join(output, name), 'utf8')) as object
    writeFileSync(join(output, name), JSON.stringify({ ...holder, boot: 'before' }))
  }
}

t.test('a kill at any change of a file leaves the last good report, or this one, and the whole history', async t => {
  const dir = t.testdir()
  const before = join(dir, 'before')
  for (const day of [1, 2]) await evaluated(before, day)
  let moments = 0
  for (let n = 1; ; n++) {
    const output = join(dir, `killed-${n}`)
    cpSync(before, output, { recursive: true, verbatimSymlinks: true })
    if ((await dyingAt(n, () => evaluated(output, 3))) === 'alive') break
    moments += 1
    const latest = readlinkSync(join(output, 'latest'))
    t.ok([`reports/${id(2)}`, `reports/${id(3)}`].includes(latest), `${n}: ${latest}`)
    t.same(readdirSync(join(output, latest)).toSorted(), ['index.html', 'report.json'])
    t.same(idsIn(output).slice(0, 2), [id(1), id(2)], `${n}: the history`)
    burySelf(output)
    const stands = reportIds(output).includes(id(3))
    // The next night.
    await evaluated(output, 4)
    t.equal(readlinkSync(join(output, 'latest')), `reports/${id(4)}`)
    t.same(idsIn(output), [id(1), id(2), ...(stands ? [id(3)] : []), id(4)], `${n}: a report that stands has its line`)
    t.same(readHistory(join(output, 'history.jsonl')).damaged, [])
    t.same(reportIds(output), [stands ? id(3) : id(2), id(4)])
    // A lock's own file, before it is one, may stay for a moment's kill.
    const left = readdirSync(output).filter(name => !/\.lock\.[0-9a-f-]{36}$|\.damaged$/.test(name))
    t.same(left.toSorted(), ['history.jsonl', 'latest', 'reports', 'summary.json'], `${n}: nothing unfinished`)
  }
  t.ok(moments > 20, `${moments} moments`)
})

function idsIn(output: string): string[] {
  return readHistory(join(output, 'history.jsonl')).records.map(record => record.id)
}
