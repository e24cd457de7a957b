import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeFolder } from '../../interop/write-folder.ts'

const names = ['a.json', 'b.json']
const fill = async (folder: string): Promise<void> => {
  for (const name of names) writeFileSync(join(folder, name), 'new')
}

t.test('all files appear, also in a folder with others, and nothing is left beside it', async t => {
  const dir = t.testdir({ out: { 'mine.txt': 'mine' } })
  await writeFolder(join(dir, 'out'), names, false, fill)
  await writeFolder(join(dir, 'deep/er/out'), names, false, fill)
  t.same(readdirSync(dir).toSorted(), ['deep', 'out'])
  t.same(readdirSync(join(dir, 'out')).toSorted(), ['a.json', 'b.json', 'mine.txt'])
  t.same(readdirSync(join(dir, 'deep/er')), ['out'])
})

t.test('a failure on the way leaves everything as it was', async t => {
  const dir = t.testdir({ out: { 'a.json': 'old' } })
  const bug = new Error('half way')
  const broken = async (folder: string): Promise<void> => {
    writeFileSync(join(folder, 'a.json'), 'new')
    throw bug
  }
  await t.rejects(writeFolder(join(dir, 'out'), names, true, broken), bug)
  await t.rejects(writeFolder(join(dir, 'fresh'), names, false, broken), bug)
  t.same(readdirSync(dir), ['out'])
  t.equal(readFileSync(join(dir, 'out/a.json'), 'utf8'), 'old')
})

t.test('a file that cannot take its place brings back those that were replaced', async t => {
  const dir = t.testdir({ out: { 'a.json': 'old' } })
  const sneaky = async (folder: string): Promise<void> => {
    await fill(folder)
    // Somebody makes a folder of that name while the files are written.
    mkdirSync(join(folder, 'z'))
    writeFileSync(join(folder, 'z/file'), '')
    mkdirSync(join(dir, 'out/z'))
    writeFileSync(join(dir, 'out/z/theirs'), '')
    writeFileSync(join(folder, '.replaced'), 'in the way')
  }
  await t.rejects(writeFolder(join(dir, 'out'), names, true, sneaky), {
    code: 'ERR_OUTPUT',
    message: /cannot be written/,
  })
  t.equal(readFileSync(join(dir, 'out/a.json'), 'utf8'), 'old')
  t.same(readdirSync(join(dir, 'out')).toSorted(), ['a.json', 'z'])
})

t.test('files in the way stop it before anything is made, unless they may be replaced; folders always do', async t => {
  const dir = t.testdir({ out: { 'b.json': 'old' }, file: '', folders: { 'a.json': {} } })
  symlinkSync('/none', join(dir, 'out/a.json'))
  const never = async (): Promise<void> => void t.fail('nothing must be written')
  await t.rejects(writeFolder(join(dir, 'out'), names, false, never), {
    code: 'ERR_OUTPUT',
    message: /found a.json, b.json; .*--force/,
  })
  await t.rejects(writeFolder(join(dir, 'file'), names, true, never), { code: 'ERR_OUTPUT', message: /found a file/ })
  await t.rejects(writeFolder(join(dir, 'folders'), names, true, never), {
    code: 'ERR_OUTPUT',
    message: /found a.json; .*move it/,
  })
  await writeFolder(join(dir, 'out'), names, true, fill)
  t.equal(readFileSync(join(dir, 'out/a.json'), 'utf8'), 'new', 'a link is replaced, not followed')
})

t.test('a place that cannot be written is an error with its cure', async t => {
  await t.rejects(writeFolder('/proc/none/out', names, false, fill), {
    code: 'ERR_OUTPUT',
    message: /\/proc\/none\/out: cannot be written: .*--out/,
  })
})
