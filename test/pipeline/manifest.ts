import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { lastLines, ManifestWriter, readManifest, setManifestAside, type CaseLine } from '../../pipeline/manifest.ts'
import { headOf, lineOf } from '../support/manifest.ts'
import { noMount } from '../support/small-disk.ts'

t.test('what was appended is read again, run by run, and the last line of a case wins', async t => {
  const path = join(t.testdir(), 'manifest.jsonl')
  const first = await ManifestWriter.open(path, headOf({}))
  await Promise.all([lineOf('a', 'failed'), lineOf('b', 'ok')].map(line => first.append(line, true)))
  await first.close()
  const second = await ManifestWriter.open(path, headOf({ model: 'm2' }))
  await second.append(lineOf('a', 'ok'), false)
  await second.close()
  const manifest = readManifest(path)!
  t.same(
    manifest.runs.map(({ head, lines }) => [head.model, lines.map(line => line.case)]),
    [
      ['m', ['a', 'b']],
      ['m2', ['a']],
    ],
  )
  const last = lastLines(manifest)
  t.match(last.get('a'), { head: { model: 'm2' }, line: { status: 'ok' } })
  t.match(last.get('b'), { head: { model: 'm' } })
})

t.test('a last line that was cut is no line, and the next one stands on its own', async t => {
  const path = join(t.testdir(), 'manifest.jsonl')
  const writer = await ManifestWriter.open(path, headOf({}))
  await writer.append(lineOf('a', 'ok'), true)
  await writer.append(lineOf('b', 'ok'), true)
  await writer.close()
  const whole = readFileSync(path)
  const ends = [...whole.keys()].filter(i => whole[i] === 10)
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    const wholeLines = ends.filter(end => end < length).length
    // The newline alone may be missing: the line is then whole, but nobody can know that more was not to come.
    const cases = readManifest(path)!.runs.flatMap(({ lines }) => lines).length
    if (cases < Math.max(0, wholeLines - 1)) t.fail(`cut at ${length}: ${cases} cases`)
    const next = await ManifestWriter.open(path, headOf({}))
    await next.append(lineOf('c', 'ok'), false)
    await next.close()
    const after = readManifest(path)!
    if (after.unreadable > 0 || !lastLines(after).has('c')) t.fail(`cut at ${length}: the next line is spoilt`)
  }
  t.pass(`${whole.length} ways to be cut`)
})

t.test('what is no manifest is refused, what is none yet is none', async t => {
  const dir = t.testdir({ 'other.jsonl': '{"a":1}\n{"b":2}\n', 'folder.jsonl': {} })
  t.equal(readManifest(join(dir, 'none.jsonl')), undefined)
  t.throws(() => readManifest(join(dir, 'other.jsonl')), { code: 'ERR_OUTPUT', message: /found something else/ })
  t.throws(() => readManifest(join(dir, 'folder.jsonl')), { code: 'ERR_OUTPUT' })
  await t.rejects(ManifestWriter.open(join(dir, 'folder.jsonl'), headOf({})), { code: 'ERR_OUTPUT' })
  setManifestAside(join(dir, 'none.jsonl'))
  setManifestAside(join(dir, 'other.jsonl'))
  t.ok(existsSync(join(dir, 'other.previous.jsonl')))
})

t.test('what is set aside is set aside beside what was before', async t => {
  const dir = t.testdir()
  for (const text of ['one', 'two', 'three']) {
    writeFileSync(join(dir, 'manifest-1-of-2.jsonl'), text)
    setManifestAside(join(dir, 'manifest-1-of-2.jsonl'))
  }
  t.same(
    ['', '-2', '-3'].map(n => readFileSync(join(dir, `manifest-1-of-2.previous${n}.jsonl`), 'utf8')),
    ['one', 'two', 'three'],
  )
  t.notOk(existsSync(join(dir, 'manifest-1-of-2.jsonl')))
})

t.test('lines by chance, one after the other, however they are asked for', async t => {
  const path = join(t.testdir(), 'manifest.jsonl')
  const writer = await ManifestWriter.open(path, headOf({}))
  const lines = Array.from({ length: 200 }, (_, i): CaseLine => ({
    ...lineOf(`case ${i} ü "quoted"\n`, 'failed'),
    reason: 'x'.repeat((i * 37) % 5000),
  }))
  await Promise.all(lines.map((line, i) => writer.append(line, i % 50 === 0)))
  await writer.close()
  t.same(readManifest(path)!.runs[0]!.lines, lines)
})

t.test('a full disk leaves no half line', { skip: noMount() }, async t => {
  const dir = t.testdir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir])
  try {
    const path = join(dir, 'manifest.jsonl')
    const writer = await ManifestWriter.open(path, headOf({}))
    const long = { ...lineOf('long', 'failed'), reason: 'x'.repeat(9000) }
    let written = 0
    await t.rejects(
      async () => {
        for (;;) {
          await writer.append(long, true)
          written += 1
        }
      },
      { code: 'ERR_OUTPUT', message: /the disk is full/ },
    )
    await writer.close()
    t.match(readManifest(path), { unreadable: 0, runs: [{ lines: { length: written } }] })
    t.ok(written > 3)
  } finally {
    execFileSync('umount', [dir])
  }
})
