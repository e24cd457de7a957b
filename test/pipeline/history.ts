import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { appendToHistory, checkHistory, lostRecords, readHistory } from '../../pipeline/history.ts'
import { takeLock } from '../../pipeline/lock.ts'
import { placeReport, recordBy, reportOf } from '../support/evaluations.ts'
import { projectRoot } from '../support/shared.ts'

const id = (second: number): string => `2026-01-01T00-00-${String(second).padStart(2, '0')}Z`
const idsIn = (path: string): string[] => readHistory(path).records.map(record => record.id)

t.test('each evaluation appends a line; one that is there already is not written again', async t => {
  const path = join(t.testdir(), 'deep/history.jsonl')
  t.same(readHistory(path), { records: [], damaged: [] })
  await appendToHistory(path, [recordBy(id(2))])
  await appendToHistory(path, [recordBy(id(1)), recordBy(id(2))])
  t.same(idsIn(path), [id(1), id(2)], 'oldest first, whatever the order of the lines')
  t.equal(readFileSync(path, 'utf8').trim().split('\n').length, 2)
  await appendToHistory(path, [recordBy(id(2), { title: 'another output' })])
  t.equal(idsIn(path).length, 3)
  t.notOk(existsSync(`${path}.lock`))
  const link = join(t.testdirName, 'link.jsonl')
  symlinkSync(path, link)
  await appendToHistory(link, [recordBy(id(3))])
  t.equal(idsIn(path).length, 4, 'through a link')
})

t.test('damaged lines are set aside, all others stay as they are', async t => {
  const path = join(t.testdir(), 'history.jsonl')
  const good = JSON.stringify(recordBy(id(1)))
  const later = '{"format":"ctflow-history-2","of":"a later version"}'
  const cut = good.slice(0, 100)
  writeFileSync(path, [good, '\0\0garbage', '', later, '{"format":"ctflow-history-1","id":7}', cut].join('\n'))
  t.same(readHistory(path).damaged.map(String), ['\0\0garbage', '{"format":"ctflow-history-1","id":7}', cut])
  const before = readFileSync(path, 'utf8')
  t.equal(readFileSync(path, 'utf8'), before, 'who only reads changes nothing')
  t.equal(await appendToHistory(path, [recordBy(id(2))]), 3)
  t.equal(readFileSync(path, 'utf8'), `${good}\n${later}\n${JSON.stringify(recordBy(id(2)))}\n`)
  t.equal(readFileSync(`${path}.damaged`, 'utf8'), `\0\0garbage\n{"format":"ctflow-history-1","id":7}\n${cut}\n`)
  writeFileSync(path, cut)
  await appendToHistory(path, [recordBy(id(3))])
  t.match(readFileSync(`${path}.damaged`, 'utf8'), new RegExp(`7}\n.*\n.{100}\n$`), 'those set aside before stay')
})

t.test('damaged lines keep every byte, be they text or not', async t => {
  const path = join(t.testdir(), 'history.jsonl')
  const torn = Buffer.from([0x7b, 0xff, 0xfe, 0, 0xc3, 0x0d])
  const good = Buffer.from(`${JSON.stringify(recordBy(id(1), { title: 'Köln' }))}\n`)
  writeFileSync(path, Buffer.concat([torn, Buffer.from('\n'), good]))
  t.equal(await appendToHistory(path, []), 1)
  t.same(readFileSync(`${path}.damaged`), Buffer.concat([torn, Buffer.from('\n')]))
  t.same(readFileSync(path), good)
})

t.test('whether a line could be appended is known before, and nothing is changed by asking', async t => {
  const dir = t.testdir({ file: '', 'history.jsonl': 'as it was', folder: {} })
  checkHistory(join(dir, 'history.jsonl'))
  checkHistory(join(dir, 'new/history.jsonl'))
  t.same(readdirSync(dir).toSorted(), ['file', 'folder', 'history.jsonl', 'new'])
  t.same(readdirSync(join(dir, 'new')), [])
  t.equal(readFileSync(join(dir, 'history.jsonl'), 'utf8'), 'as it was')
  const unlock = takeLock(join(dir, 'history.jsonl.lock'))
  checkHistory(join(dir, 'history.jsonl'))
  unlock()
  for (const path of ['file/history.jsonl', 'folder'].map(name => join(dir, name)))
    t.throws(() => checkHistory(path), { code: 'ERR_OUTPUT', message: new RegExp(`${path}: cannot be written`) })
  // Nobody, root included, makes a file there.
  if (existsSync('/proc/self')) t.throws(() => checkHistory('/proc/history.jsonl'), { code: 'ERR_OUTPUT' })
})

t.test('a lock whose holder does not come back does not keep a line out', async t => {
  const path = join(t.testdir(), 'history.jsonl')
  const cut = JSON.stringify(recordBy(id(1))).slice(0, 50)
  writeFileSync(path, cut)
  writeFileSync(`${path}.lock`, JSON.stringify({ pid: 1, host: `not-${hostname()}`, boot: '', since: '' }))
  t.equal(await appendToHistory(path, [recordBy(id(2))], { waitMs: 50 }), 0)
  t.same(readHistory(path), { records: [recordBy(id(2))], damaged: [Buffer.from(cut)] })
})

t.test('what cannot be written is refused, and nothing is lost', async t => {
  const dir = t.testdir({ file: '' })
  await t.rejects(appendToHistory(join(dir, 'file/history.jsonl'), [recordBy(id(1))]), {
    code: 'ERR_OUTPUT',
    message: /a part of the path is a file|ENOTDIR/,
  })
  mkdirSync(join(dir, 'folder'))
  await t.rejects(appendToHistory(join(dir, 'folder'), [recordBy(id(1))]), { code: 'ERR_FILE' })
})

t.test('several processes at once, some of them killed, lose and mix nothing', async t => {
  const path = join(t.testdir(), 'history.jsonl')
  const script = `
    const [modules, path, name, count] = process.argv.slice(1)
    const { appendToHistory } = await import(modules + '/pipeline/history.js')
    const { recordBy } = await import(modules + '/test/support/evaluations.js')
    process.stdout.write('ready\\n')
    for (let i = 0; i < Number(count); i++) {
      await appendToHistory(path, [recordBy('2026-01-01T00-00-00Z-' + (i + 2), { title: name })])
      process.stdout.write(i + '\\n')
    }`
  const started = Array.from({ length: 6 }, (_, i) => {
    const node = ['--input-type=module', '-e', script, join(projectRoot, 'dist'), path, `writer ${i}`]
    // Two of them would go on, and are killed.
    const child = spawn(process.execPath, [...node, i < 2 ? '100000' : '15'], { env: { PATH: process.env['PATH'] } })
    let said = ''
    child.stdout.on('data', chunk => {
      said += chunk
      if (i < 2 && said.includes(`\n${7 + i}\n`)) child.kill('SIGKILL')
    })
    return once(child, 'close').then(() => said.trim().split('\n').slice(1).length)
  })
  const done = await Promise.all(started)
  const { records, damaged } = readHistory(path)
  t.ok(damaged.length <= 2, 'at most a line of each that was killed')
  for (const [i, told] of done.entries()) {
    const found = records.filter(({ title }) => title === `writer ${i}`).length
    t.ok(found === told || (i < 2 && found === told + 1), `writer ${i}: told ${told}, found ${found}`)
  }
  t.same(done.slice(2), [15, 15, 15, 15])
  await appendToHistory(path, [recordBy(id(1))])
  t.same(readHistory(path).records.length, records.length + 1, 'and a dead holder keeps nobody out')
  t.same(readHistory(path).damaged, [])
})

t.test('a report without a line, as a kill leaves it, is found again', async t => {
  const output = t.testdir()
  for (const second of [1, 2, 3]) placeReport(output, reportOf(id(second)))
  placeReport(output, { ...reportOf(id(4)), format: 'other' as never })
  const history = { records: [recordBy(id(2))], damaged: [] }
  const lost = lostRecords(output, history)
  t.same(
    lost.map(record => record.id),
    [id(1), id(3)],
  )
  const others = { records: [recordBy(id(1), { title: 'another output' })], damaged: [] }
  t.equal(lostRecords(output, others)[0]!.id, id(1), "another output's of the same second is another one")
  t.match(lost[0], { figures: { dice: { mean: 0.7, low: 0.65 } }, created: '2026-01-01T00:00:01.000Z' })
})
