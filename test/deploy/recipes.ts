import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { problemsOfJob } from '../support/kubernetes.ts'
import { batchIn, masksIn, runPipeline } from '../support/batch.ts'
import { projectRoot } from '../support/shared.ts'

const recipe = (name: string): string => join(projectRoot, 'deploy', name)

/** A folder to go before PATH, in which `run-pipeline` is this tree's. */
function binIn(folder: string): string {
  mkdirSync(join(folder, 'bin'))
  symlinkSync(join(projectRoot, 'dist/bin/run-pipeline.js'), join(folder, 'bin/run-pipeline'))
  return join(folder, 'bin')
}

interface Job {
  spec: {
    completions: unknown
    completion?: unknown
    backoffLimitPerIndex?: unknown
    template: {
      spec: {
        containers: [{ command: string[]; env: { name: string; value: string }[]; resources: { requests: object } }]
      }
    }
  }
}

t.test('the Kubernetes Job is one, and says twice how many shards there are', async t => {
  const job = parse(readFileSync(recipe('kubernetes-infer.yaml'), 'utf8')) as Job
  t.same(await problemsOfJob(job), [])
  const [container] = job.spec.template.spec.containers
  t.same(
    container.env.find(({ name }) => name === 'CTFLOW_SHARDS'),
    { name: 'CTFLOW_SHARDS', value: String(job.spec.completions) },
  )
  t.match(container.resources, { requests: { memory: /Gi$/ }, limits: { memory: /Gi$/ } })
  // The check can find something.
  for (const [spoil, problem] of [
    [(bad: Job) => void (bad.spec.completion = 4), /^\/spec\/completion: no such field/],
    [(bad: Job) => void (bad.spec.completions = '4'), /^\/spec\/completions: .*integer/],
    [(bad: Job) => Object.assign(bad.spec.template.spec.containers[0], { resource: {} }), /resource: no such field/],
    [(bad: Job) => Object.assign(bad.spec.template.spec.containers[0].resources.requests, { memory: '6 G' }), /memory/],
  ] as const) {
    const bad = structuredClone(job)
    spoil(bad)
    t.match((await problemsOfJob(bad)).join('\n'), problem)
  }
})

t.test('two pods of the Job, by its own command and variables, and the merge', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 5, damaged: 1 })
  const job = parse(readFileSync(recipe('kubernetes-infer.yaml'), 'utf8')) as Job
  const [, path, ...flags] = job.spec.template.spec.containers[0].command
  t.match(path, /\.json$/)
  for (const index of ['0', '1']) {
    const { code, stderr } = await runPipeline([file, ...flags], {
      env: { JOB_COMPLETION_INDEX: index, CTFLOW_SHARDS: '2' },
    })
    t.equal(code, index === '0' ? 3 : 0, stderr)
    t.match(stderr, `shard ${Number(index) + 1}/2, by the Kubernetes Job`)
  }
  const merged = await runPipeline(['merge', join(dir, 'out'), '--json'])
  t.equal(merged.code, 3, merged.stderr)
  t.match(JSON.parse(merged.stdout), { status: 'partial', shards: 2, cases: { ok: 5, failed: 1 } })
})

t.test('the Slurm array, task by task, is the whole batch', async t => {
  const dir = t.testdir()
  const file = await batchIn(dir, { good: 5 })
  execFileSync('bash', ['-n', recipe('slurm-infer.sbatch')])
  const options = readFileSync(recipe('slurm-infer.sbatch'), 'utf8').match(/^#SBATCH .*$/gm) ?? []
  t.ok(options.some(option => option.includes('--array=1-4')) && options.some(option => option.includes('--mem=')))
  const env = {
    ...process.env,
    PATH: `${binIn(dir)}:${process.env['PATH']}`,
    NODE_OPTIONS: '',
    SLURM_ARRAY_TASK_MIN: '10',
    SLURM_ARRAY_TASK_MAX: '20',
    SLURM_ARRAY_TASK_COUNT: '2',
    SLURM_ARRAY_TASK_STEP: '10',
  }
  for (const id of ['10', '20'])
    execFileSync('bash', [recipe('slurm-infer.sbatch'), file], {
      env: { ...env, SLURM_ARRAY_TASK_ID: id },
      stdio: 'pipe',
    })
  execFileSync('run-pipeline', ['merge', join(dir, 'out')], { env, stdio: 'pipe' })
  t.equal(masksIn(join(dir, 'out')).size, 5)
  t.throws(() => execFileSync('bash', [recipe('slurm-infer.sbatch')], { env, stdio: 'pipe' }), /usage: sbatch/)
})
