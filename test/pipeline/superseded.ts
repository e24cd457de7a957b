import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { CaseLine } from '../../pipeline/manifest.ts'
import { Superseded } from '../../pipeline/superseded.ts'
import { headOf, lineOf } from '../support/manifest.ts'

const lineWith = (id: string, ...paths: string[]): CaseLine =>
  lineOf(id, 'ok', { outputs: paths.map(path => ({ path, bytes: 1, sha256: 'x' })) })

function write(folder: string, name: string, lines: readonly CaseLine[]): void {
  writeFileSync(join(folder, name), [headOf({}), ...lines].map(line => `${JSON.stringify(line)}\n`).join(''))
}

t.test('of all that any run has written for a case, what is kept stays; a later one replaces an earlier one', t => {
  const dir = t.testdir({ masks: { a: 'a', 'a.png': 'p', b: 'b' } })
  write(dir, 'manifest.previous.jsonl', [lineWith('a', 'masks/a', 'masks/a.png')])
  write(dir, 'manifest-1-of-2.jsonl', [lineWith('a', 'masks/a'), lineWith('b', 'masks/b', 'masks/gone')])
  const superseded = new Superseded(dir)
  t.equal(superseded.moveAside('a', [{ path: 'masks/a' }]), 1)
  t.equal(superseded.moveAside('none', []), 0)
  t.equal(superseded.moveAside('a', []), 1)
  t.equal(superseded.moveAside('a', []), 0)
  writeFileSync(join(dir, 'masks/a'), 'later')
  t.equal(superseded.moveAside('a', []), 1)
  t.equal(readFileSync(join(dir, 'superseded/masks/a'), 'utf8'), 'later')
  t.equal(readFileSync(join(dir, 'superseded/masks/a.png'), 'utf8'), 'p')
  t.ok(existsSync(join(dir, 'masks/b')))
  t.equal(superseded.moveAside('b', []), 1)
  t.end()
})

t.test('nothing outside the folder is touched; what is in the way is told', t => {
  const dir = t.testdir({ mine: 'mine', out: { masks: { a: 'a', folder: {} }, superseded: 'a file' } })
  const out = join(dir, 'out')
  write(out, 'manifest.jsonl', [
    lineWith('x', '../mine', 'masks/../../mine', join(dir, 'mine'), 'masks/folder'),
    lineWith('a', 'masks/a'),
  ])
  const superseded = new Superseded(out)
  t.equal(superseded.moveAside('x', []), 0)
  t.throws(() => superseded.moveAside('a', []), { code: 'ERR_OUTPUT', message: /superseded/ })
  t.ok(existsSync(join(dir, 'mine')))
  mkdirSync(join(dir, 'empty'))
  t.equal(new Superseded(join(dir, 'empty')).moveAside('a', []), 0)
  t.end()
})
