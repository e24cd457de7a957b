import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectRoot } from '../support/shared.ts'

const bin = join(projectRoot, 'dist/bin/run-pipeline.js')
const cache = t.testdir({})

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function runPipeline(...args: readonly string[]): Promise<Ended> {
  const env = { ...process.env, XDG_CACHE_HOME: cache, NODE_OPTIONS: '' }
  return new Promise(resolve => {
    execFile(process.execPath, [bin, ...args], { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
    })
  })
}

/** One of the definitions that come along, small enough for a test. */
const small = [
  '--set',
  'dataset.phantoms={"training":4,"validation":1,"testing":1,"seed":1,"shape":[48,48,16]}',
  '--set',
  'stages.train.epochs=2',
]
const train = join(projectRoot, 'fixtures/pipelines/train.json')

t.test('explain prints a page for people, or one object for machines', async t => {
  const output = join(t.testdir({}), 'out')
  const text = await runPipeline('explain', train, ...small, '--set', `output=${output}`)
  t.equal(text.code, 0, text.stderr)
  t.match(text.stdout, /training: 4 cases.*48 x 48 x 16/)
  t.match(text.stdout, /crop +ahead\(1\) map ahead\(1\) flatMap +2 patches of 64 x 64 x 16/)
  t.match(text.stdout, /validation: 1 case.*\n.*as training up to cache, then/)
  t.match(text.stdout, /memory: 2.00 GiB\n[^]*the network[^]*peak[^]*first epoch[^]*in all/)

  const json = await runPipeline('explain', train, ...small, '--set', `output=${output}`, '--json')
  t.equal(json.code, 0, json.stderr)
  const object = JSON.parse(json.stdout)
  t.match(object, { status: 'ok', exitCode: 0, task: 'train', sections: [{ cases: 4 }, { cases: 1 }, { cases: 1 }] })
  const { stages } = JSON.parse(readFileSync(train, 'utf8'))
  t.same(
    object.sections[0].stages.map(({ kind }: { kind: string }) => kind),
    stages.map(({ kind }: { kind: string }) => kind),
  )
  for (const stage of object.sections[0].stages)
    t.match(stage, { takes: Array, gives: String, operators: [String], lifted: String, wraps: stage.kind === 'cache' })
  t.notOk(existsSync(output), 'nothing was run')
})

t.test('validate reads no data', async t => {
  const before = readdirSync(cache, { recursive: true })
  const text = await runPipeline('validate', train)
  t.equal(text.code, 0, text.stderr)
  t.match(text.stdout, /memory: 2.00 GiB[^]*the network[^]*valid\n$/)
  t.same(readdirSync(cache, { recursive: true }), before, 'no phantom was made')
  const json = await runPipeline('validate', train, '--json')
  t.match(JSON.parse(json.stdout), { status: 'ok', exitCode: 0, flows: [{ section: 'training' }] })
})

t.test('every definition that comes along can be validated, as far as its files are there', async t => {
  const folder = join(projectRoot, 'fixtures/pipelines')
  for (const name of readdirSync(folder)) {
    const { code, stderr } = await runPipeline('validate', join(folder, name))
    if (code === 0) continue
    t.equal(code, 2, name)
    t.match(stderr, /there is no such file or folder/)
  }
})

t.test('what a run would refuse at once is refused here: exit 2, with the cure', async t => {
  const dir = t.testdir({ 'broken.json': '{ "task": "train", ', 'odd.json': '{"task": "trian"}' })
  for (const command of ['explain', 'validate']) {
    for (const file of ['broken.json', 'odd.json', 'gone.json']) {
      const { code, stdout, stderr } = await runPipeline(command, join(dir, file))
      t.equal(code, 2, `${command} ${file}`)
      t.equal(stdout, '')
      t.not(stderr, '')
    }
    const tight = await runPipeline(command, train, '--set', 'memory=20MiB', '--json')
    t.equal(tight.code, 2)
    t.match(JSON.parse(tight.stdout), {
      status: 'refused',
      code: 'ERR_DEFINITION',
      error: /\/memory: expected at least [\d.]+ MiB, found 20.0 MiB: the network takes .*; raise "memory"/,
    })
  }
})

t.test('cases that will fail: exit 3, each with its reason', async t => {
  const dir = t.testdir({})
  const made = await runPipeline('explain', train, ...small, '--json')
  const { dataset } = JSON.parse(made.stdout)
  const list = /\((.*)\)/.exec(dataset)![1]!
  const content = JSON.parse(readFileSync(list, 'utf8'))
  content.training.push({ image: 'images/gone.nii.gz', label: 'labels/gone.nii.gz' })
  writeFileSync(join(dir, 'list.json'), JSON.stringify(content))
  const set = ['--set', `dataset={"list":"${join(dir, 'list.json')}","root":"${join(list, '..')}"}`]
  const text = await runPipeline('explain', train, ...set)
  t.equal(text.code, 3, text.stderr)
  t.match(text.stdout, /training: 5 cases, 1 of them will fail/)
  t.match(text.stdout, /cases that will fail:\n {2}- [^]*gone\.nii\.gz/)
  const json = await runPipeline('explain', train, ...set, '--json')
  t.match(JSON.parse(json.stdout), {
    status: 'partial',
    exitCode: 3,
    failures: [{ case: 'images/gone', stage: 'load', code: 'ERR_FILE' }],
  })
})
