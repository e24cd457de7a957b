import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { takeLock } from '../../pipeline/lock.ts'
import { readManifest, type CaseLine, type ManifestHead } from '../../pipeline/manifest.ts'
import { mergeShards } from '../../pipeline/merge.ts'
import { listDigest } from '../../pipeline/shard.ts'
import { headOf, lineOf } from '../support/manifest.ts'
import { noMount } from '../support/small-disk.ts'

const ids = ['a', 'b', 'c', 'd', 'e']
const list = listDigest(ids.map(id => ({ id })))

/** Manifests of shards as they are when all have ended. */
function shardsIn(output: string, count: number, change: (index: number) => Partial<ManifestHead> = () => ({})): void {
  mkdirSync(output, { recursive: true })
  for (let index = 1; index <= count; index++) {
    const lines = ids.filter((_, i) => i % count === index - 1).map(id => lineOf(id, id === 'c' ? 'failed' : 'ok'))
    write(output, index, count, change(index), lines)
  }
}

function write(output: string, index: number, count: number, change: Partial<ManifestHead>, lines: CaseLine[]): void {
  const head = headOf({ cases: ids.length, list, shard: `${index}/${count}`, ...change })
  const text = [head, ...lines].map(line => `${JSON.stringify(line)}\n`).join('')
  writeFileSync(join(output, `manifest-${index}-of-${count}.jsonl`), text)
}

t.test('manifests become one, in the order of the cases', async t => {
  const output = t.testdir()
  shardsIn(output, 2)
  const summary = mergeShards(output)
  t.match(summary, { status: 'partial', exitCode: 3, shards: 2, seconds: 5, cases: { ok: 4, failed: 1, skipped: 0 } })
  t.match(summary.failures, [{ case: 'c' }])
  t.same(JSON.parse(readFileSync(join(output, 'summary.json'), 'utf8')), JSON.parse(JSON.stringify(summary)))
  const merged = readManifest(join(output, 'manifest.jsonl'))!
  t.match(merged.runs, [{ head: { shard: null, merged: 2, list } }])
  t.same(
    merged.runs[0]!.lines.map(line => line.case),
    ids,
  )
  mergeShards(output)
  t.notOk(existsSync(join(output, 'manifest.previous.jsonl')), 'merging again changes nothing')
  t.notOk(existsSync(join(output, '.lock')))
})

t.test("a whole run's manifest is kept beside", async t => {
  const output = t.testdir({ 'manifest.jsonl': `${JSON.stringify(headOf({}))}\n` })
  shardsIn(output, 2)
  mergeShards(output)
  t.ok(existsSync(join(output, 'manifest.previous.jsonl')))
})

/** The manifest of a whole run that began at noon. */
const whole = (day: number, ...lines: CaseLine[]): string =>
  [headOf({ started: `2026-01-0${day}T12:00:00.000Z` }), ...lines].map(line => `${JSON.stringify(line)}\n`).join('')

t.test('what a whole run did after the shards is not replaced by what they did before', async t => {
  const output = t.testdir()
  shardsIn(output, 2, index => ({ started: `2026-01-0${index}T00:00:00.000Z` }))
  const path = join(output, 'manifest.jsonl')
  const refuses = (text: string): void => {
    writeFileSync(path, text)
    t.throws(() => mergeShards(output), { code: 'ERR_DATASET', message: /a whole run began at 2026-01-0\dT12/ })
    t.equal(readFileSync(path, 'utf8'), text)
    t.notOk(existsSync(join(output, 'summary.json')))
  }
  refuses(whole(5, lineOf('a', 'ok')))
  refuses(whole(1, lineOf('a', 'ok')))
  const merged = `${JSON.stringify(headOf({ merged: 2 }))}\n`
  refuses(`${merged}${whole(5, lineOf('a', 'ok'))}`)
  writeFileSync(path, whole(5))
  mergeShards(output)
  shardsIn(output, 2, () => ({ started: '2026-01-07T00:00:00.000Z' }))
  writeFileSync(path, whole(5, lineOf('a', 'ok')))
  mergeShards(output)
  t.equal(readManifest(path)!.runs[0]!.lines.length, ids.length)
})

t.test('what cannot be written leaves all as it was', { skip: noMount() }, async t => {
  const output = t.testdir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', output])
  try {
    shardsIn(output, 2)
    const [path, ballast] = [join(output, 'manifest.jsonl'), join(output, 'ballast')]
    writeFileSync(path, `${JSON.stringify(headOf({}))}\n${' '.repeat(10)}`)
    const before = readFileSync(path, 'utf8')
    // Room for the lock, which is gone when the manifest is written, but for no manifest beside it.
    for (let pages = 1; pages < 16; pages++) {
      try {
        writeFileSync(ballast, Buffer.alloc(4096), { flag: 'a' })
      } catch {
        break
      }
    }
    truncateSync(ballast, statSync(ballast).size - 4096)
    t.throws(() => mergeShards(output), { code: 'ERR_OUTPUT', message: /the disk is full/ })
    t.equal(readFileSync(path, 'utf8'), before)
    t.same(readdirSync(output).toSorted(), [
      'ballast',
      'manifest-1-of-2.jsonl',
      'manifest-2-of-2.jsonl',
      'manifest.jsonl',
    ])
  } finally {
    execFileSync('umount', [output])
  }
})

t.test('of a resumed shard only the last run counts', async t => {
  const output = t.testdir()
  shardsIn(output, 2)
  const path = join(output, 'manifest-1-of-2.jsonl')
  const before = readFileSync(path, 'utf8')
  const head = headOf({ cases: ids.length, list, shard: '1/2' })
  writeFileSync(path, `${before}${JSON.stringify(head)}\n${JSON.stringify(lineOf('a', 'skipped'))}\n`)
  t.throws(() => mergeShards(output), {
    code: 'ERR_DATASET',
    message: /shard 1\/2 has 1 of 3 cases; run it again with --resume/,
  })
  t.notOk(existsSync(join(output, 'manifest.jsonl')), 'nothing is written')
})

t.test('what does not belong together is refused', async t => {
  const output = join(t.testdir(), 'out')
  const refused = (message: RegExp, code = 'ERR_DATASET'): void => {
    t.throws(() => mergeShards(output), { code, message })
    t.notOk(existsSync(join(output, 'manifest.jsonl')))
    rmSync(output, { recursive: true, force: true })
  }
  refused(/expected the output folder/, 'ERR_OUTPUT')
  mkdirSync(output)
  refused(/expected manifests of shards.*found none/)
  shardsIn(output, 3)
  rmSync(join(output, 'manifest-2-of-3.jsonl'))
  refused(/shard 2\/3 is missing; run it with --shard 2\/3/)
  shardsIn(output, 2)
  shardsIn(output, 4)
  refused(/manifests of 2 and of 4 shards/)
  for (const [field, words] of [
    ['definition', 'definition'],
    ['model', 'model'],
    ['list', 'list of cases'],
  ] as const) {
    shardsIn(output, 3, index => (index === 3 ? { [field]: 'other' } : {}))
    refused(new RegExp(`shards 1/3 and 3/3 ran with another ${words}`))
  }
  shardsIn(output, 2)
  write(
    output,
    1,
    2,
    {},
    ['a', 'c', 'x'].map(id => lineOf(id, 'ok')),
  )
  refused(/the cases of the shards together are not those of the batch/)
})

t.test('a shard that is still running is waited for', async t => {
  const output = t.testdir()
  shardsIn(output, 2)
  const unlock = takeLock(join(output, '.lock-2-of-2'))
  t.throws(() => mergeShards(output), { code: 'ERR_LOCKED', message: /shard 2\/2 is still running/ })
  unlock()
  mergeShards(output)
})
