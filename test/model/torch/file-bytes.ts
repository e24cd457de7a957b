import { execFileSync } from 'node:child_process'
import { openSync, closeSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FileBytes } from '../../../model/torch/file-bytes.ts'

t.test('a pipe that nobody writes to is refused, not waited for', { skip: process.platform === 'win32' }, async t => {
  const path = join(t.testdir(), 'pipe.pt')
  execFileSync('mkfifo', [path])
  t.throws(() => new FileBytes(path), { code: 'ERR_WEIGHTS', message: /found a pipe or a device/ })
})

t.test('a storage of more than one call reads is refused before anything is allocated', async t => {
  const path = join(t.testdir(), 'sparse.pt')
  closeSync(openSync(path, 'w'))
  truncateSync(path, 2 ** 33)
  const file = new FileBytes(path)
  t.teardown(() => file.close())
  t.throws(() => file.read(16, 2 ** 32), { code: 'ERR_WEIGHTS', message: /at most 2147483647 bytes/ })
})
