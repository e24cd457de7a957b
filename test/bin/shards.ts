import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { batchIn, linesIn, masksIn, runPipeline, type Ended } from '../support/batch.ts'

/** How each case ended and what it was made from. */
function endsIn(path: string): unknown[] {
  return linesIn(path)
    .map(line => [line.case, line.status, line.content])
    .toSorted()
}

t.test('two shards, one after the other or at the same time, are one run', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 7, damaged: 2 })
  const whole = await runPipeline([file, '--json', '--set', 'output=whole'])
  const masks = masksIn(join(dir, 'whole'))
  const shard = (i: number, output: string): Promise<Ended> =>
    runPipeline([file, '--json', '--shard', `${i}/2`, '--set', `output=${output}`])
  const inTurn = [await shard(1, 'turn'), await shard(2, 'turn')]
  const atOnce = await Promise.all([shard(1, 'once'), shard(2, 'once')])
  for (const [output, ended] of [
    ['turn', inTurn],
    ['once', atOnce],
  ] as const) {
    for (const { code, stderr } of ended) t.ok(code === 0 || code === 3, stderr)
    const out = join(dir, output)
    t.same(masksIn(out), masks, `${output}: bit for bit`)
    t.notOk(existsSync(join(out, 'summary.json')), 'a shard writes nothing that another one writes too')
    for (const name of ['summary', 'run', 'definition']) t.ok(existsSync(join(out, `${name}-2-of-2.json`)), name)
    const merged = await runPipeline(['merge', out, '--json'])
    t.equal(merged.code, 3, merged.stderr)
    t.same(JSON.parse(merged.stdout).cases, JSON.parse(whole.stdout).cases)
    t.same(endsIn(join(out, 'manifest.jsonl')), endsIn(join(dir, 'whole/manifest.jsonl')))
    t.same(
      readdirSync(out).filter(name => name.startsWith('.')),
      [],
    )
  }

  const on = await runPipeline([file, '--json', '--resume', '--shard', '3/3', '--set', 'output=turn'])
  t.same(JSON.parse(on.stdout).cases, { ok: 0, failed: 0, skipped: 3 }, 'what is done is done, whoever did it')
  const many = await runPipeline([file, '--json', '--shard', '12/12', '--set', 'output=many'])
  t.equal(many.code, 0, many.stderr)
  t.match(JSON.parse(many.stdout), { status: 'ok', cases: { ok: 0, failed: 0 } }, 'a shard without cases ends well')
})

t.test('what is no shard, and what has none', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 1 })
  const refused = async (args: string[], env: NodeJS.ProcessEnv, error: RegExp): Promise<void> => {
    const { code, stdout } = await runPipeline([file, '--json', ...args], { env })
    t.equal(code, 2)
    t.match(JSON.parse(stdout), { status: 'refused', error })
  }
  await refused(['--shard', '0/2'], {}, /expected i\/n/)
  await refused([], { JOB_COMPLETION_INDEX: '0' }, /set CTFLOW_SHARDS/)
  const evaluate = ['--set', 'task=evaluate', '--set', 'stages=[{"kind":"load"},{"kind":"infer"},{"kind":"dice"}]']
  await refused([...evaluate, '--shard', '1/2'], {}, /--shard is for "task": "infer", found "evaluate"/)
  await refused([...evaluate, '--resume'], {}, /--resume is for "task": "infer"/)
  t.notOk(existsSync(join(dir, 'out')), 'nothing was written')
  const off = await runPipeline([file, '--shard', '1/1'], { env: { JOB_COMPLETION_INDEX: '0' } })
  t.equal(off.code, 0, off.stderr)
  t.ok(existsSync(join(dir, 'out/manifest.jsonl')), '1/1 is the whole')
})

t.test('a run beside another one on the same folder is refused, whatever it is; another shard is not', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 40 })
  let others: Promise<Ended[]> | undefined
  const first = await runPipeline([file, '--json', '--progress', 'plain', '--shard', '1/2'], {
    during(child, stderr) {
      if (others || !/^1\/20/m.test(stderr)) return
      // Stopped, not ended, so that it lives for as long as the others need.
      child.kill('SIGSTOP')
      const flags = [
        ['--shard', '1/2'],
        [],
        ['--shard', '1/3'],
        ['--shard', '2/2', '--set', 'stages.infer.overlap=0.1'],
      ]
      others = Promise.all(flags.map(more => runPipeline([file, '--json', ...more])))
      void others.then(() => child.kill('SIGCONT'))
    },
  })
  for (const { code, stdout } of await others!) {
    t.equal(code, 75)
    t.match(JSON.parse(stdout), { status: 'locked', error: /works on this output folder/ })
  }
  t.equal(first.code, 0, first.stderr)
  const second = await runPipeline([file, '--json', '--shard', '2/2'])
  t.equal(second.code, 0, second.stderr)
  t.equal(masksIn(join(dir, 'out')).size, 40)
  t.match(readFileSync(join(dir, 'out/summary-2-of-2.txt'), 'utf8'), /20 masks of 20 cases/)
})
