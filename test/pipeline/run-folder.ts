import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openRunFolder } from '../../pipeline/run-folder.ts'

t.test('results appear at publication, beside what was there', async t => {
  const output = join(t.testdir({ out: { 'mine.txt': 'mine' } }), 'out')
  const folder = openRunFolder(output)
  folder.writeJson('sub/a.json', { a: 1 })
  folder.appendLine('lines.jsonl', 1)
  folder.appendLine('lines.jsonl', 2)
  t.notOk(existsSync(join(output, 'lines.jsonl')))
  folder.publish()
  t.equal(readFileSync(join(output, 'lines.jsonl'), 'utf8'), '1\n2\n')
  t.same(readdirSync(output).toSorted(), ['lines.jsonl', 'mine.txt', 'sub'])
})

t.test('something in the way of one result leaves all earlier ones as they were', async t => {
  const output = join(t.testdir({ out: { 'a.json': 'old', 'z.json': { folder: '' } } }), 'out')
  const folder = openRunFolder(output)
  folder.writeJson('a.json', 'new')
  folder.writeJson('z.json', 'new')
  t.throws(() => folder.publish(), { code: 'ERR_OUTPUT', message: /z.json: a folder of that name/ })
  folder.abandon()
  t.equal(readFileSync(join(output, 'a.json'), 'utf8'), 'old')
  t.notOk(existsSync(join(output, '.lock')))
})

t.test('an abandoned run leaves nothing, or its checkpoints aside', async t => {
  const output = join(t.testdir({}), 'new')
  const empty = openRunFolder(output)
  empty.writeText('note.txt', 'x')
  t.equal(empty.abandon(), undefined)
  t.notOk(existsSync(output), 'a folder that the run made itself is gone')
  const kept = openRunFolder(output)
  kept.writeText('last.safetensors', 'w')
  t.equal(kept.abandon(), join(output, 'interrupted'))
  t.equal(readFileSync(join(output, 'interrupted/last.safetensors'), 'utf8'), 'w')
})

t.test('what a killed run left is kept, and its lock is taken over', async t => {
  const output = join(t.testdir({}), 'out')
  mkdirSync(join(output, '.running'), { recursive: true })
  writeFileSync(join(output, '.running/best.safetensors'), 'hours')
  writeFileSync(
    join(output, '.lock'),
    JSON.stringify({ pid: 1, host: hostname(), boot: 'before the restart', since: '' }),
  )
  openRunFolder(output).abandon()
  t.equal(readFileSync(join(output, 'interrupted/best.safetensors'), 'utf8'), 'hours')
})

t.test('a living run, or one on another machine, is not disturbed', async t => {
  const output = join(t.testdir({}), 'out')
  const first = openRunFolder(output)
  t.throws(() => openRunFolder(output), { code: 'ERR_LOCKED', message: new RegExp(`process ${process.pid} on`) })
  first.abandon()
  mkdirSync(output)
  writeFileSync(join(output, '.lock'), JSON.stringify({ pid: 1, host: 'elsewhere', boot: '', since: '' }))
  t.throws(() => openRunFolder(output), { code: 'ERR_LOCKED', message: /elsewhere.*delete the file/ })
})

t.test('a batch writes masks to their places at once, and of itself at the end; nothing unfinished stays', async t => {
  const output = join(t.testdir(), 'out')
  const folder = openRunFolder(output, { direct: true })
  t.equal(folder.results, output)
  writeFileSync(join(folder.scratch, 'half.nii.gz'), 'half')
  writeFileSync(join(folder.results, 'whole.nii.gz'), 'whole')
  folder.writeJson('summary.json', {})
  t.same(readdirSync(output).toSorted(), ['.lock', '.running', 'whole.nii.gz'])
  folder.publish()
  t.same(readdirSync(output).toSorted(), ['summary.json', 'whole.nii.gz'])

  const killed = openRunFolder(output, { direct: true })
  writeFileSync(join(killed.scratch, 'half.nii.gz'), 'half')
  killed.abandon()
  t.same(readdirSync(output).toSorted(), ['summary.json', 'whole.nii.gz'], 'half a mask is not worth keeping')

  mkdirSync(join(output, '.running-1-of-2/scratch'), { recursive: true })
  writeFileSync(join(output, '.running-1-of-2/scratch/half.nii.gz'), 'half')
  const shard = openRunFolder(output, { direct: true, shard: { index: 2, count: 2 } })
  t.ok(existsSync(join(output, '.running-1-of-2')), "another shard's is its own affair")
  shard.writeText('summary.txt', 'x')
  shard.appendLine('metrics.jsonl', 1)
  shard.publish()
  t.same(readdirSync(output).toSorted(), [
    '.running-1-of-2',
    'metrics-2-of-2.jsonl',
    'summary-2-of-2.txt',
    'summary.json',
    'whole.nii.gz',
  ])
  openRunFolder(output, { direct: true }).publish()
  t.notOk(existsSync(join(output, '.running-1-of-2')), 'a whole run cleans up after shards that are gone')

  for (const name of ['.running', '.running-1-of-2', '.running-2-of-3'])
    mkdirSync(join(output, name, 'scratch'), { recursive: true })
  openRunFolder(output, { direct: true, shard: { index: 1, count: 3 } }).publish()
  t.same(
    readdirSync(output).filter(name => name.startsWith('.')),
    ['.running-2-of-3'],
    'and so do shards of another number',
  )
})

t.test('what a training run has in its scratch folder is not published', async t => {
  const output = join(t.testdir(), 'out')
  const folder = openRunFolder(output)
  t.equal(folder.results, folder.staging)
  writeFileSync(join(folder.scratch, 'spool'), 'x')
  folder.writeText('a.txt', 'a')
  folder.publish()
  t.same(readdirSync(output), ['a.txt'])
})
