import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { batchIn, linesIn, masksIn, runPipeline, scanPath, writeScan, writeWeights } from '../support/batch.ts'
import { noMount } from '../support/small-disk.ts'

/** Lines of the plain progress that say a case is done. */
const casesIn = (stderr: string): number => (stderr.match(/^\d+\/\d+ {2}/gm) ?? []).length

const plain = ['--json', '--progress', 'plain']

t.test(
  'killed twice and resumed, a batch has the masks of an undisturbed run, and a reason for each bad scan',
  async t => {
    const dir = t.testdir()
    const [good, damaged] = [16, 5]
    const file = await batchIn(dir, { good, damaged })
    const whole = await runPipeline([file, '--json', '--set', 'output=whole'])
    t.equal(whole.code, 3, whole.stderr)
    t.same(JSON.parse(whole.stdout).cases, { ok: good, failed: damaged, skipped: 0 })

    for (let kill = 1; kill <= 2; kill++) {
      const after = 2 + Math.floor(Math.random() * 5)
      const later = Math.random() * 60
      let killed = false
      const ended = await runPipeline([file, ...plain, '--resume'], {
        during(child, stderr) {
          if (killed || casesIn(stderr) < after) return
          killed = true
          setTimeout(() => child.kill('SIGKILL'), later)
        },
      })
      t.equal(ended.code, null, `killed ${later.toFixed(0)} ms after ${after} cases`)
    }
    const before = linesIn(join(dir, 'out/manifest.jsonl')).filter(({ status }) => status === 'ok').length
    t.ok(before >= 4, `${before} cases survive`)
    const last = await runPipeline([file, ...plain, '--resume'])
    t.equal(last.code, 3, last.stderr)
    const result = JSON.parse(last.stdout)
    t.equal(result.cases.ok + result.cases.skipped, good)
    t.equal(result.cases.skipped, before, 'nothing is computed twice')
    t.same(masksIn(join(dir, 'out')), masksIn(join(dir, 'whole')), 'bit for bit')
    t.equal(masksIn(join(dir, 'out')).size, good)
    const failed = linesIn(join(dir, 'out/manifest.jsonl')).filter(({ status }) => status === 'failed')
    const reasons = new Map(failed.map(({ case: id, reason }) => [id, reason]))
    t.equal(reasons.size, damaged)
    for (const [id, reason] of reasons) t.match(reason, `${id}.nii.gz`, 'the reason names the file')
    t.same(
      readdirSync(join(dir, 'out')).filter(name => name.startsWith('.')),
      [],
      'nothing unfinished is left',
    )
  },
)

t.test('--resume does again what has changed, and only that', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 5, damaged: 1 })
  const manifest = join(dir, 'out/manifest.jsonl')
  const resumed = async (
    ...flags: string[]
  ): Promise<{ ok: number; failed: number; skipped: number; said: string }> => {
    const { code, stdout, stderr } = await runPipeline([file, ...plain, '--resume', ...flags])
    t.equal(code, JSON.parse(stdout).cases.failed > 0 ? 3 : 0, stderr)
    return { ...JSON.parse(stdout).cases, said: stderr }
  }
  t.match(await resumed(), { ok: 5, failed: 1, skipped: 0 }, 'where nothing is done, all is')
  t.match(await resumed(), { ok: 0, failed: 1, skipped: 5 }, 'failed ones are tried again')
  const skipped = linesIn(manifest).findLast(({ status }) => status === 'skipped')!
  t.match(skipped, { reason: 'done before', content: /^[0-9a-f]{64}$/ })
  t.equal(skipped.outputs.length, 2, 'the last line of a case says all')

  await writeScan(scanPath(dir, 1), 100)
  t.match(await resumed(), { ok: 1, failed: 1, skipped: 4 }, 'another scan of the same name')

  const mask = join(dir, 'out/masks/deep/scan-000.nii.gz')
  const bytes = readFileSync(mask)
  writeFileSync(
    mask,
    bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)),
  )
  rmSync(join(dir, 'out/masks/scan-002.json'))
  t.match(await resumed(), { ok: 2, failed: 1, skipped: 3 }, 'an output that is another, and one that is gone')
  t.ok(readFileSync(mask).equals(bytes))

  const other = await resumed('--set', 'stages.infer.blend="gaussian"')
  t.match(other, { ok: 5, failed: 1, skipped: 0 }, 'another definition')
  t.match(other.said, '5 cases done before with another definition or model: computed again')
  await writeWeights(join(dir, 'weights.safetensors'), 2)
  t.match(await resumed('--set', 'stages.infer.blend="gaussian"'), { ok: 5, skipped: 0 }, 'another model')
  copyFileSync(join(dir, 'weights.safetensors'), join(dir, 'elsewhere.safetensors'))
  const moved = [
    'stages.infer.blend="gaussian"',
    'network.weights=elsewhere.safetensors',
    'memory=2GiB',
    'stages.save.parallel=2',
  ]
  t.match(
    await resumed(...moved.flatMap(set => ['--set', set])),
    { ok: 0, skipped: 5 },
    'the same model in another place',
  )

  writeFileSync(manifest, readFileSync(manifest).subarray(0, -40))
  const cut = await resumed('--set', 'stages.infer.blend="gaussian"')
  t.match(cut, { ok: 0, failed: 1, skipped: 5 }, 'a line that was cut is one line less')
  t.match(cut.said, 'one line was cut and is left out')

  rmSync(scanPath(dir, 4))
  t.match(
    (await resumed('--set', 'stages.infer.blend="gaussian"')).said,
    '1 case of the manifest no longer in the data set',
  )
  t.ok(existsSync(join(dir, 'out/masks/scan-004.nii.gz')), 'its mask is left alone')

  const anew = await runPipeline([file, ...plain])
  t.same(JSON.parse(anew.stdout).cases, { ok: 4, failed: 1, skipped: 0 })
  t.match(anew.stderr, '--resume does that')
  t.equal(linesIn(manifest).length, 5, 'a new manifest')
  t.ok(linesIn(join(dir, 'out/manifest.previous.jsonl')).length > 20, 'beside the old one')
})

t.test('what lies in a place is what the last line says: files of an earlier run move aside', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 3 })
  const out = join(dir, 'out')
  await runPipeline([file, ...plain, '--set', 'stages.save.preview=true'])
  const [mask, picture] = ['masks/scan-001.nii.gz', 'masks/scan-001.png']
  const bytes = readFileSync(join(out, mask))
  t.ok(existsSync(join(out, picture)))

  const fewer = await runPipeline([file, ...plain, '--resume'])
  t.equal(fewer.code, 0, fewer.stderr)
  t.notOk(existsSync(join(out, picture)), 'no picture of another run beside a mask of this one')
  t.ok(existsSync(join(out, 'superseded', picture)))
  t.match(fewer.stderr, 'scan-001: 1 file of an earlier run moved aside')

  for (const flags of [['--resume'], []]) {
    writeFileSync(scanPath(dir, 1), 'no scan')
    rmSync(join(out, 'superseded'), { recursive: true })
    const failed = await runPipeline([file, ...plain, ...flags])
    t.equal(failed.code, 3, failed.stderr)
    t.same([...masksIn(out).keys()], ['deep/scan-000.nii.gz', 'scan-002.nii.gz'])
    t.ok(readFileSync(join(out, 'superseded', mask)).equals(bytes), 'it is not lost')
    await writeScan(scanPath(dir, 1), 1)
    await runPipeline([file, ...plain, '--resume'])
    t.ok(readFileSync(join(out, mask)).equals(bytes))
  }
})

t.test('who forgets --resume, even twice, loses no ledger', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 4 })
  await runPipeline([file, ...plain])
  for (let i = 0; i < 2; i++) {
    const stopped = await runPipeline([file, ...plain], {
      during: (child, stderr) => void (/^infer: /m.test(stderr) && child.kill('SIGKILL')),
    })
    t.equal(stopped.code, null)
  }
  const names = readdirSync(join(dir, 'out')).filter(name => name.startsWith('manifest'))
  const known = names.flatMap(name => linesIn(join(dir, 'out', name))).filter(({ status }) => status === 'ok')
  t.equal(new Set(known.map(({ case: id }) => id)).size, 4, names.join())
  const on = await runPipeline([file, ...plain, '--resume'])
  t.same(JSON.parse(on.stdout).cases, { ok: 0, failed: 0, skipped: 4 })
})

t.test('a signal ends a batch in order; onError: stop ends it at the first bad scan', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 12, damaged: 1 })
  let sent = false
  const ended = await runPipeline([file, '--progress', 'plain'], {
    during(child, stderr) {
      if (!sent && casesIn(stderr) > 2) sent = child.kill('SIGTERM')
    },
  })
  t.equal(ended.code, 143, ended.stderr)
  t.match(ended.stdout, /done so far: \d+, in .*; --resume goes on from there/)
  t.notOk(existsSync(join(dir, 'out/.lock')))
  const done = linesIn(join(dir, 'out/manifest.jsonl')).filter(({ status }) => status === 'ok')
  t.ok(done.length > 2)
  for (const { outputs } of done) for (const { path } of outputs) t.ok(existsSync(join(dir, 'out', path)), path)

  const stopped = await runPipeline([file, '--json', '--set', 'onError=stop', '--set', 'output=stopped'])
  t.equal(stopped.code, 1)
  t.equal(linesIn(join(dir, 'stopped/manifest.jsonl')).at(-1)!.status, 'failed')
})

t.test('progress tells how far the batch is and how long it will take', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 3 })
  const { stderr } = await runPipeline([file, '--progress', 'plain'])
  t.match(stderr, /^1\/3 {2}deep\/scan-000 {2}\d+ windows {2}\d+\.\d s {2}about \d+ s left$/m)
  const lines = (await runPipeline([file, '--progress', 'json', '--resume'])).stderr.trim().split('\n')
  const events = lines.map(line => JSON.parse(line) as Record<string, unknown>)
  t.match(
    events.filter(({ type }) => type === 'case'),
    [1, 2, 3].map(done => ({ status: 'skipped', done, total: 3 })),
  )
  rmSync(join(dir, 'out/masks/scan-001.json'))
  rmSync(join(dir, 'out/masks/scan-002.json'))
  const again = (await runPipeline([file, '--progress', 'json', '--resume'])).stderr.trim().split('\n')
  const cases = again.map(line => JSON.parse(line) as Record<string, unknown>).filter(({ type }) => type === 'case')
  t.match(cases.at(-1), { status: 'ok', windows: /\d/, done: 3, total: 3, secondsLeft: 0 })
  writeFileSync(scanPath(dir, 1), 'no scan')
  const bad = (await runPipeline([file, '--progress', 'json', '--resume'])).stderr.trim().split('\n')
  const failed = bad.map(line => JSON.parse(line) as Record<string, unknown>).find(({ status }) => status === 'failed')
  t.match(failed, { type: 'case', case: 'scan-001', code: 'ERR_FILE', stage: 'load', done: /[123]/, total: 3 })
})

t.test(
  'an output disk that fills up ends the run; --resume goes on when there is room',
  { skip: noMount() },
  async t => {
    const dir = t.testdir()
    const file = await batchIn(dir, { good: 8 })
    const out = join(dir, 'out')
    mkdirSync(out)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', out])
    try {
      // Room for some masks, not for all.
      writeFileSync(join(out, 'ballast'), Buffer.alloc((1 << 20) - 12 * 4096))
      const full = await runPipeline([file, ...plain])
      t.equal(full.code, 1, full.stderr)
      t.match(JSON.parse(full.stdout), { status: 'failed', error: /cannot be written.*(full|ENOSPC|no space)/i })
      t.notMatch(full.stderr, /\n\s+at /, 'no stack trace')
      const done = linesIn(join(out, 'manifest.jsonl')).filter(({ status }) => status === 'ok')
      t.ok(done.length > 0 && done.length < 8, `${done.length} cases found room`)
      rmSync(join(out, 'ballast'))
      const on = await runPipeline([file, ...plain, '--resume'])
      t.equal(on.code, 0, on.stderr)
      t.same(JSON.parse(on.stdout).cases, { ok: 8 - done.length, failed: 0, skipped: done.length })
      await runPipeline([file, '--set', 'output=whole'])
      t.same(masksIn(out), masksIn(join(dir, 'whole')))
    } finally {
      execFileSync('umount', [out])
    }
  },
)

t.test('what was written of a case that fails later is not left', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 2 })
  mkdirSync(join(dir, 'lungs/deep'), { recursive: true })
  // No masks of lungs: `save` refuses their values when the probabilities are written already.
  for (const i of [0, 1]) await writeScan(scanPath(dir, i).replace('/scans/', '/lungs/'), i)
  const { code, stdout, stderr } = await runPipeline([
    file,
    '--json',
    ...[
      'dataset.lungs=lungs',
      'stages.load.keys=["image","lungs"]',
      'stages.infer.probabilities=probabilities',
    ].flatMap(text => ['--set', text]),
  ])
  t.equal(code, 3, stderr)
  t.match(JSON.parse(stdout).failures, [{ stage: 'save' }, { stage: 'save' }])
  const left = readdirSync(join(dir, 'out'), { recursive: true, encoding: 'utf8' })
  t.same(
    left.filter(name => /\.(nii\.gz|part)$/.test(name)),
    [],
  )
  const { code: fine } = await runPipeline([file, '--json', '--set', 'stages.infer.probabilities=probabilities'])
  t.equal(fine, 0)
  t.ok(existsSync(join(dir, 'out/probabilities/scan-001.nii.gz')))
})
