import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadDefinition } from '../../../pipeline/definition.ts'
import { validate } from '../../../pipeline/explain.ts'
import { readHistory } from '../../../pipeline/history.ts'
import type { Progress } from '../../../pipeline/progress.ts'
import { run } from '../../../pipeline/run.ts'
import type { Report } from '../../../schemas/report.ts'
import { evaluationIn, recordBy } from '../../support/evaluations.ts'

const silent: Progress = { note() {}, begin() {}, advance() {}, event() {}, status() {}, stages() {}, close() {} }

function read<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as T
}

t.test('a shared history: the page has the figures of its own title and rule alone', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir, { report: { title: 'lung' } })
  const others = [
    recordBy('2026-01-01T00-00-00Z', { title: 'liver' }),
    recordBy('2026-01-02T00-00-00Z', { title: 'lung', emptyRule: 'monai' }),
    recordBy('2026-01-03T00-00-00Z', { title: 'lung' }),
  ]
  mkdirSync(join(dir, 'out'))
  writeFileSync(join(dir, 'out/history.jsonl'), others.map(record => `${JSON.stringify(record)}\n`).join(''))
  t.match(await run(loadDefinition(file), { progress: silent }), { exitCode: 0 })
  const { id, history } = read<Report>(dir, 'out/latest/report.json')
  t.same(
    history.map(record => record.id),
    ['2026-01-03T00-00-00Z', id],
  )
  t.equal(readHistory(join(dir, 'out/history.jsonl')).records.length, 4)
})

t.test('a history to which nothing can be appended is told of before the first case', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  let scored = 0
  const progress = { ...silent, event: () => void (scored += 1) }
  const result = await run(loadDefinition(file, ['report.history=/proc/history.jsonl']), { progress })
  t.match(result, { status: 'failed', exitCode: 1, error: /\/proc\/history\.jsonl: cannot be written/ })
  t.equal(scored, 0)
})

t.test('one to which nothing can be appended at the end: the results stand, and the next run appends', async t => {
  for (const gates of [{}, { 'dice.mean': '>= 0.9' }]) {
    const dir = t.testdir()
    const file = await evaluationIn(dir, { gates })
    const out = join(dir, 'out')
    const history = join(out, 'history.jsonl')
    const inTheWay = { ...silent, event: () => void mkdirSync(history, { recursive: true }) }
    const result = await run(loadDefinition(file), { progress: inTheWay })
    const isMissed = Object.keys(gates).length > 0
    t.match(result, {
      ...(isMissed ? { status: 'gate', exitCode: 4 } : { status: 'failed', exitCode: 1 }),
      error: isMissed ? /^gate missed: dice\.mean.*\nhistory: .*appends its line$/ : /^history: .*appends its line$/,
    })
    t.equal(readlinkSync(join(out, 'latest')), result.report)
    const { lines, ...summary } = result
    t.same(read(out, 'summary.json'), JSON.parse(JSON.stringify(summary)))
    t.equal(readFileSync(join(out, 'summary.txt'), 'utf8'), `${lines.join('\n')}\n`)
    t.match(lines.at(-1), /^history: .*the next evaluation appends its line/)
    t.equal(readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n').length, 2)
    rmSync(history, { recursive: true })
    await run(loadDefinition(file), { progress: silent })
    t.equal(`reports/${readHistory(history).records[0]!.id}`, result.report)
    t.equal(readHistory(history).records.length, 2)
  }
})

t.test('a damaged line is told of once', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  mkdirSync(join(dir, 'out'))
  writeFileSync(join(dir, 'out/history.jsonl'), '{"format":"ctf')
  const notes: string[] = []
  const { lines } = await run(loadDefinition(file), { progress: { ...silent, note: text => void notes.push(text) } })
  t.equal([...notes, ...lines].filter(line => line.includes('set aside')).length, 1)
})

t.test('groups by a field that no case has are refused with those that exist', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  const list = read<{ testing: object[] }>(dir, 'list.json')
  const sited = list.testing.map((entry, i) => (i === 0 ? { ...entry, site: 'north', scanner: 7 } : entry))
  const definition = loadDefinition(file, ['report.strata=["site", "sit"]'])
  const none = await run(definition, { progress: silent })
  t.match(none, { status: 'refused', exitCode: 2, error: /\/report\/strata\/0: .*"site"; no entry has a field/ })
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ testing: sited }))
  const message =
    /\/report\/strata\/1: .*list\.json: no case of the section "testing" has a field "sit"; did you mean "site"/
  t.match(await run(definition, { progress: silent }), { status: 'refused', exitCode: 2, error: message })
  await t.rejects(validate(definition), { code: 'ERR_DATASET', message })
  const other = loadDefinition(file, ['report.strata=["hospital"]'])
  t.match(await run(other, { progress: silent }), { exitCode: 2, error: /expected one of: site, scanner/ })
  const some = await run(loadDefinition(file, ['report.strata=["site"]']), { progress: silent })
  t.match(some, { exitCode: 0 }, 'a case may lack it')
})

t.test('who is interrupted while cases wait for memory is told of no memory', async t => {
  const dir = t.testdir()
  const file = await evaluationIn(dir)
  const ended = new AbortController()
  ended.abort('SIGTERM')
  const { status, error } = await run(loadDefinition(file), { progress: silent, signal: ended.signal })
  t.same([status, error], ['interrupted', 'interrupted'])
})
