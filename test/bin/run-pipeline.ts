import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { join } from 'node:path'
import t from 'tap'
import { projectRoot as root } from '../support/shared.ts'

const bin = join(root, 'dist/bin/run-pipeline.js')
const cache = t.testdir({})

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command as a user would; `during` may act while it runs. */
function runPipeline(
  args: readonly string[],
  during?: (child: ReturnType<typeof spawn>, stderr: () => string) => void,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      env: { ...process.env, XDG_CACHE_HOME: cache, NODE_OPTIONS: '' },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => (stdout += chunk))
    child.stderr.on('data', chunk => {
      stderr += chunk
      during?.(child, () => stderr)
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
  })
}

const phantoms = { training: 3, validation: 1, testing: 2, seed: 3, shape: [48, 40, 16] }
const network = { kind: 'segresnet', blocksDown: [1, 1], blocksUp: [1] }
const prefix = [
  { kind: 'load' },
  { kind: 'map-label', classes: 2 },
  { kind: 'channel-first' },
  { kind: 'resample', spacing: [7, 7, 14] },
  { kind: 'clip' },
  { kind: 'crop-foreground' },
]
const trainStages = [
  ...prefix,
  { kind: 'pad', size: [32, 32, 8] },
  { kind: 'cache' },
  { kind: 'crop', size: [32, 32, 8] },
  { kind: 'augment' },
  { kind: 'batch', size: 2 },
  { kind: 'train', epochs: 2, validate: { every: 1, window: [32, 32, 8], overlap: 0.25 } },
]
const train = {
  task: 'train',
  seed: 5,
  memory: '1GiB',
  dataset: { phantoms },
  network,
  stages: trainStages,
  output: 'out/train',
}
const infer = {
  task: 'infer',
  dataset: { phantoms },
  network: { ...network, weights: 'out/train/best.safetensors' },
  stages: [
    ...prefix.map(stage => (stage.kind === 'load' ? { ...stage, keys: ['image'] } : stage)),
    { kind: 'infer', window: [32, 32, 8], overlap: 0.25 },
    { kind: 'save' },
  ],
  output: 'out/infer',
}
const evaluate = {
  task: 'evaluate',
  dataset: { phantoms, predictions: 'out/infer/masks' },
  stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
  output: 'out/evaluate',
}

/** A folder with the three definitions. */
function project(t: { testdir(fixture: Record<string, string>): string }): string {
  return t.testdir({
    'train.json': JSON.stringify(train),
    'infer.json': JSON.stringify(infer),
    'evaluate.json': JSON.stringify(evaluate),
  })
}

t.test('trains, infers and evaluates; the same seed gives the same weights', async t => {
  const dir = project(t)
  const first = await runPipeline([join(dir, 'train.json'), '--json'])
  t.equal(first.code, 0, first.stderr)
  const result = JSON.parse(first.stdout)
  t.match(result, {
    status: 'ok',
    exitCode: 0,
    task: 'train',
    output: join(dir, 'out/train'),
    cases: { ok: 6, failed: 0, skipped: 0 },
    engine: { precision: 'float32' },
  })
  t.type(result.metrics.dice.mean, 'number')
  t.ok(result.peakRssBytes > 1e7 && result.seconds > 0)
  const folder = readdirSync(join(dir, 'out/train'))
  t.same(folder.toSorted(), [
    'best.safetensors',
    'definition.json',
    'index.html',
    'last.safetensors',
    'metrics.jsonl',
    'run.json',
    'steps.jsonl',
    'summary.json',
    'summary.txt',
  ])
  t.match(
    readFileSync(join(dir, 'out/train/summary.txt'), 'utf8'),
    /held-out Dice[^]*best single threshold[^]*Not a medical device/,
  )
  const page = readFileSync(join(dir, 'out/train/index.html'), 'utf8')
  t.match(page, 'Example slices', 'of the last validation, though other cases were tested since')
  t.match(page, /<img\s[^>]*alt="Axial plane/)
  t.notMatch(first.stderr, 'could be made')
  const epochs = readFileSync(join(dir, 'out/train/metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  t.equal(epochs.length, 2)
  t.ok(epochs.every(({ loss }) => Number.isFinite(loss)))

  const again = await runPipeline([join(dir, 'train.json'), '--json', '--set', 'output=again'])
  t.equal(again.code, 0, again.stderr)
  for (const file of ['best.safetensors', 'last.safetensors']) {
    t.ok(
      readFileSync(join(dir, 'out/train', file)).equals(readFileSync(join(dir, 'again', file))),
      `${file}: the same bytes`,
    )
  }

  const inferred = await runPipeline([join(dir, 'infer.json'), '--json'])
  t.equal(inferred.code, 0, inferred.stderr)
  t.same(JSON.parse(inferred.stdout).cases, { ok: 2, failed: 0, skipped: 0 })
  const masks = readdirSync(join(dir, 'out/infer/masks'), { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.nii.gz'),
  )
  t.equal(masks.length, 2)
  for (const name of masks) {
    const side = JSON.parse(readFileSync(join(dir, 'out/infer/masks', name.replace('.nii.gz', '.json')), 'utf8'))
    t.match(side.notice, /Not a medical device/)
    const mask = gunzipSync(readFileSync(join(dir, 'out/infer/masks', name)))
    const scan = gunzipSync(readFileSync(side.image))
    t.same([...mask.subarray(40, 56)], [...scan.subarray(40, 56)], "the scan's own dimensions")
    t.same([...mask.subarray(252, 328)], [...scan.subarray(252, 328)], "the scan's own geometry, byte for byte")
  }

  const evaluated = await runPipeline([join(dir, 'evaluate.json'), '--json'])
  t.equal(evaluated.code, 0, evaluated.stderr)
  t.match(JSON.parse(evaluated.stdout), {
    status: 'ok',
    cases: { ok: 2 },
    metrics: { dice: { mean: Number, cases: 2 } },
    engine: null,
  })

  const at = (name: string): string => join(dir, 'out/train', name)
  const exported = await runPipeline(['export', at('last.safetensors'), at('last.pt')])
  t.equal(exported.code, 0, exported.stderr)
  const imported = await runPipeline(['import', at('last.pt'), '--out', at('back.safetensors'), '--json'])
  t.equal(imported.code, 0, imported.stderr)
  t.match(JSON.parse(imported.stdout), {
    status: 'ok',
    weights: at('back.safetensors'),
    network: at('back.network.json'),
  })
  t.equal((await runPipeline(['export', at('best.safetensors'), at('best.pt'), '--bare'])).code, 0)
  const fromPt = await runPipeline([
    join(dir, 'infer.json'),
    '--set',
    'output=out/from-pt',
    '--set',
    `network.weights=${at('best.pt')}`,
  ])
  t.equal(fromPt.code, 0, fromPt.stderr)
  for (const name of masks) {
    const [a, b] = ['out/infer', 'out/from-pt'].map(out => readFileSync(join(dir, out, 'masks', name)))
    t.ok(a!.equals(b!), `${name}: a definition may name a .pt file, and gets the same mask`)
  }
  const twice = await runPipeline(['import', at('last.pt'), '--out', at('back.safetensors')])
  t.equal(twice.code, 1)
  t.match(twice.stderr, /found back\.safetensors, back\.network\.json; nothing is written/)
  const wrong = await runPipeline(['import', join(dir, 'train.json'), '--json'])
  t.equal(wrong.code, 2)
  t.match(JSON.parse(wrong.stdout), { status: 'refused', code: 'ERR_WEIGHTS' })

  const text = await runPipeline([join(dir, 'evaluate.json')])
  t.match(text.stdout, /dice +mean \d[^]*Not a medical device/)
})

t.test('a refused definition exits 2, with one object for machines and words for people', async t => {
  const dir = project(t)
  const { code, stdout, stderr } = await runPipeline([
    join(dir, 'train.json'),
    '--json',
    '--set',
    'stages.train.epocs=1',
  ])
  t.equal(code, 2)
  t.match(JSON.parse(stdout), { status: 'refused', exitCode: 2, error: /did you mean "epochs"/ })
  t.match(stderr, /did you mean "epochs"/)
  t.notMatch(stderr, /\n\s+at /, 'no stack trace')
  t.notOk(existsSync(join(dir, 'out')), 'nothing was written')
  t.equal((await runPipeline(['--no-such-flag'])).code, 2)
  t.equal((await runPipeline([])).code, 2)
  t.equal((await runPipeline([join(dir, 'infer.json')])).code, 2, 'weights that are not there')
  t.equal((await runPipeline([join(dir, 'train.json'), '--set', 'dataset={"list":"none.json"}'])).code, 2)
})

t.test('what only the engine can refuse is refused before a data set is made', async t => {
  const dir = project(t)
  const folder = join(dir, 'phantoms')
  const fresh = ['--set', `dataset=${JSON.stringify({ phantoms: { ...phantoms, folder } })}`]
  for (const [settings, error] of [
    [['network.inChannels=2'], /^\/network\/inChannels: expected 1, .* found 2/],
    [['engine.backend=cpu', 'engine.precision=bfloat16'], /\/engine\/precision.*: the cpu backend/],
    [['engine.threads=257'], /\/engine\/threads/],
  ] as const) {
    const set = settings.flatMap(setting => ['--set', setting])
    const { code, stdout } = await runPipeline([join(dir, 'train.json'), '--json', ...fresh, ...set])
    t.equal(code, 2, settings.join(' '))
    t.match(JSON.parse(stdout), { status: 'refused', exitCode: 2, error })
  }
  t.notOk(existsSync(folder), 'no phantom was made')
  t.notOk(existsSync(join(dir, 'out')), 'nothing was written')
})

t.test('bad cases are reported and counted, the run goes on and exits 3', async t => {
  const dir = project(t)
  const whole = await runPipeline([join(dir, 'train.json'), '--json', '--set', 'stages.train.epochs=1'])
  t.equal(whole.code, 0, whole.stderr)
  const folder = join(
    cache,
    'ctflow/phantoms',
    readdirSync(join(cache, 'ctflow/phantoms')).find(name => !name.startsWith('.'))!,
  )
  const list = JSON.parse(readFileSync(join(folder, 'dataset.json'), 'utf8'))
  const damaged = join(dir, 'damaged')
  mkdirSync(damaged)
  const good = list.testing.map((entry: { image: string }) => join(folder, entry.image)) as string[]
  const bytes = readFileSync(good[0]!)
  writeFileSync(join(damaged, 'truncated.nii.gz'), bytes.subarray(0, Math.floor(bytes.length / 2)))
  writeFileSync(join(damaged, 'text.nii.gz'), 'not a scan at all')
  const testing = [
    good[0],
    { image: join(damaged, 'truncated.nii.gz') },
    join(damaged, 'text.nii.gz'),
    'missing.nii.gz',
    good[1],
  ]
  writeFileSync(join(dir, 'list.json'), JSON.stringify({ testing }))

  const args = [join(dir, 'infer.json'), '--json', '--set', 'dataset={"list":"list.json"}']
  const mixed = await runPipeline(args)
  t.equal(mixed.code, 3, mixed.stderr)
  const result = JSON.parse(mixed.stdout)
  t.match(result, { status: 'partial', cases: { ok: 2, failed: 3 } })
  t.equal(result.failures.length, 3)
  for (const { case: id, reason } of result.failures)
    t.match(reason, new RegExp(`${id.split('/').at(-1)}.nii.gz`), `${id}: the reason names the file`)
  t.notMatch(mixed.stderr, /\n\s+at /, 'no stack trace')

  const stopped = await runPipeline([...args, '--set', 'onError=stop', '--set', 'output=stopped'])
  t.equal(stopped.code, 1, stopped.stderr)
  t.equal(JSON.parse(stopped.stdout).status, 'failed')

  writeFileSync(join(dir, 'bad.json'), JSON.stringify({ testing: [join(damaged, 'text.nii.gz')] }))
  const none = await runPipeline([
    join(dir, 'infer.json'),
    '--json',
    '--set',
    'dataset={"list":"bad.json"}',
    '--set',
    'output=none',
  ])
  t.equal(none.code, 3, 'a batch without a single mask still says what is wrong with each scan')
  t.ok(existsSync(join(dir, 'none/manifest.jsonl')))
  writeFileSync(join(dir, 'empty.json'), JSON.stringify({ testing: [] }))
  const empty = await runPipeline([
    join(dir, 'infer.json'),
    '--json',
    '--set',
    'dataset={"list":"empty.json"}',
    '--set',
    'output=none',
  ])
  t.equal(empty.code, 2)
  t.match(JSON.parse(empty.stdout).error, /"testing" has no cases/)
})

t.test('an output that cannot be written, or is in use, is left as it is', async t => {
  const dir = project(t)
  writeFileSync(join(dir, 'file'), 'mine')
  const blocked = await runPipeline([join(dir, 'train.json'), '--json', '--set', 'output=file/below'])
  t.equal(blocked.code, 1)
  t.match(JSON.parse(blocked.stdout).error, /cannot be written/)
  t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'mine')

  let second: Promise<Ended> | undefined
  const args = [join(dir, 'train.json'), '--json', '--progress', 'plain', '--set', 'stages.train.epochs=10000']
  const first = await runPipeline(args, (child, stderr) => {
    if (second || !stderr().includes('epoch     1/10000')) return
    second = runPipeline([join(dir, 'train.json'), '--json'])
    void second.then(() => child.kill('SIGINT'))
  })
  t.equal(first.code, 130, first.stderr)
  const locked = await second!
  t.equal(locked.code, 75, locked.stderr)
  t.match(JSON.parse(locked.stdout), { status: 'locked', error: /another run works on this output folder/ })
})

t.test('SIGINT ends after the current step, keeps a checkpoint and what was there before, exits 130', async t => {
  const dir = project(t)
  t.equal((await runPipeline([join(dir, 'train.json'), '--set', 'stages.train.epochs=1'])).code, 0)
  const before = readFileSync(join(dir, 'out/train/last.safetensors'))
  const args = [
    join(dir, 'train.json'),
    '--json',
    '--progress',
    'plain',
    '--set',
    'stages.train.epochs=1000',
    '--set',
    'seed=9',
  ]
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    let sent = false
    const ended = await runPipeline(args, (child, stderr) => {
      if (!sent && stderr().includes('epoch    2/1000')) sent = child.kill(signal)
    })
    t.equal(ended.code, code, ended.stderr)
    const error = 'interrupted; the weights after the last whole step are saved'
    t.match(JSON.parse(ended.stdout), { status: 'interrupted', exitCode: code, error })
  }
  t.ok(readFileSync(join(dir, 'out/train/last.safetensors')).equals(before), 'the earlier result is untouched')
  t.ok(existsSync(join(dir, 'out/train/interrupted/last.safetensors')), 'a checkpoint of the interrupted run')
  t.ok(existsSync(join(dir, 'out/train/interrupted-2/last.safetensors')), 'and of the next one')
  t.notOk(existsSync(join(dir, 'out/train/.lock')))
})

t.test('SIGINT in the middle of the first validation keeps what was learned', async t => {
  const dir = project(t)
  let sent = false
  const args = [join(dir, 'train.json'), '--json', '--progress', 'json', '--set', 'stages.train.validate.overlap=0.9']
  const ended = await runPipeline(args, (child, stderr) => {
    if (!sent && stderr().includes('"name":"validation"')) sent = child.kill('SIGINT')
  })
  t.equal(ended.code, 130, ended.stderr)
  const kept = join(dir, 'out/train/interrupted')
  t.match(JSON.parse(ended.stdout), { status: 'interrupted', kept })
  t.ok(existsSync(join(kept, 'last.safetensors')))
  t.notOk(existsSync(join(kept, 'best.safetensors')), 'half a validation names no best weights')
})

t.test('progress for machines is JSON lines', async t => {
  const dir = project(t)
  const { stderr, code } = await runPipeline([
    join(dir, 'train.json'),
    '--progress',
    'json',
    '--set',
    'stages.train.epochs=1',
  ])
  t.equal(code, 0, stderr)
  const types = stderr
    .trim()
    .split('\n')
    .map(line => JSON.parse(line).type)
  for (const type of ['note', 'begin', 'advance', 'epoch']) t.ok(types.includes(type), type)
})
