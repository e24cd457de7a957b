import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { writeWhole } from '../../model/write-whole.ts'

function* broken() {
  yield Buffer.from('new')
  throw new Error('the pieces broke')
}

t.test('pieces are written in order, over what was there', async t => {
  const folder = t.testdir({ file: 'something longer than what comes' })
  await writeWhole(join(folder, 'file'), [Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')])
  t.equal(await readFile(join(folder, 'file'), 'utf8'), 'one two')
  t.same(await readdir(folder), ['file'])
})

t.test('pieces that end in the middle leave the old file and nothing beside it', async t => {
  const folder = t.testdir({})
  const path = join(folder, 'file')
  await writeFile(path, 'old')
  await t.rejects(writeWhole(path, broken()), new Error('the pieces broke'), 'their error is theirs, not the disk’s')
  t.equal(await readFile(path, 'utf8'), 'old')
  t.same(await readdir(folder), ['file'])
})

t.test('a folder in the way stays, and nothing beside it', async t => {
  const folder = t.testdir({})
  await mkdir(join(folder, 'file'))
  await writeFile(join(folder, 'file', 'inside'), '')
  await t.rejects(writeWhole(join(folder, 'file'), [Buffer.from('new')]), { code: 'ERR_OUTPUT' })
  t.same(await readdir(folder), ['file'])
  t.same(await readdir(join(folder, 'file')), ['inside'])
})

t.test('what is no file is not replaced by one', { skip: process.platform === 'win32' }, async t => {
  const folder = t.testdir({})
  execFileSync('mkfifo', [join(folder, 'pipe')])
  await t.rejects(writeWhole(join(folder, 'pipe'), [Buffer.from('new')]), {
    code: 'ERR_OUTPUT',
    message: /pipe: expected the name of a file to write, found a device or a pipe/,
  })
  t.ok((await lstat(join(folder, 'pipe'))).isFIFO())
})

t.test('a folder that is missing is named', async t => {
  const folder = t.testdir({})
  await t.rejects(writeWhole(join(folder, 'none', 'file'), []), {
    code: 'ERR_OUTPUT',
    message: /there is no folder .*none; make it first/,
  })
})

t.test('a name that no file can have is refused', { skip: process.platform === 'win32' }, async t => {
  await t.rejects(writeWhole(join(t.testdir({}), 'a'.repeat(300)), []), {
    code: 'ERR_OUTPUT',
    message: /cannot be written: ENAMETOOLONG/,
  })
})

t.test('a folder that takes no files is not called missing', { skip: process.platform !== 'linux' }, async t => {
  await t.rejects(writeWhole('/proc/file', []), { code: 'ERR_OUTPUT', message: /cannot be written: ENOENT/ })
})
