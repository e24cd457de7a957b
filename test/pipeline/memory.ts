import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { validateDefinition } from '../../pipeline/definition.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'

const root = t.testdir({})

interface Variant {
  readonly memory: string
  readonly parallel: number
  readonly cache?: object
}

/** Trains for two epochs with validation; gives the bytes of its losses, and what run.json tells. */
async function train(
  name: string,
  { memory, parallel, cache = {} }: Variant,
): Promise<{
  losses: string
  validation: string
  counts: Record<string, number>
  live: number
  limit: number
  reserved: number
}> {
  const definition = validateDefinition(
    {
      task: 'train',
      seed: 4,
      memory,
      dataset: {
        phantoms: { training: 6, validation: 2, testing: 0, seed: 9, shape: [80, 64, 24], folder: 'phantoms' },
      },
      network: { kind: 'segresnet', initFilters: 8, blocksDown: [1, 1], blocksUp: [1] },
      stages: [
        { kind: 'load', parallel },
        { kind: 'map-label', classes: 2 },
        { kind: 'resample', spacing: [4, 4, 8] },
        { kind: 'clip' },
        { kind: 'crop-foreground', parallel },
        { kind: 'pad', size: [32, 32, 8] },
        { kind: 'cache', parallel, ...cache },
        { kind: 'crop', size: [32, 32, 8], parallel },
        { kind: 'augment' },
        { kind: 'batch', size: 3 },
        { kind: 'train', epochs: 2, validate: { every: 2, window: [32, 32, 8], overlap: 0.25 } },
      ],
      output: name,
    },
    root,
  )
  const result = await run(definition, { progress: createProgress('none') })
  if (result.status !== 'ok') throw new Error(`${name}: ${result.failures[0]?.reason ?? result.error}`)
  const read = (file: string): string => readFileSync(join(root, name, file), 'utf8')
  const lines = (file: string): Record<string, unknown>[] =>
    read(file)
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
  const { counts, memory: ledger } = JSON.parse(read('run.json')) as {
    counts: Record<string, number>
    memory: { peakLiveBytes: number; limitBytes: number; reserves: Record<string, number> }
  }
  return {
    losses: lines('steps.jsonl')
      .map(({ loss }) => loss)
      .join(' '),
    validation: JSON.stringify(lines('metrics.jsonl').map(({ validation }) => validation)),
    counts,
    live: ledger.peakLiveBytes,
    limit: ledger.limitBytes,
    reserved: Object.values(ledger.reserves).reduce((sum, bytes) => sum + bytes, 0),
  }
}

t.test('the same losses, bit for bit, with any memory, workers and policy', { timeout: 240_000 }, async t => {
  const expected = await train('reference', { memory: '8GiB', parallel: 1 })
  t.equal(expected.losses.split(' ').length, 8)
  t.equal(expected.counts['cache.misses'], 8, 'with room for all no case is made twice')
  const disk = { folder: join(root, 'volumes') }
  const variants: Record<string, Variant> = {
    'little memory': { memory: `${expected.live - 1_600_000}B`, parallel: 1 },
    'little memory, four workers': { memory: `${expected.live - 1_700_000}B`, parallel: 4 },
    'four workers': { memory: '1GiB', parallel: 4 },
    'nothing kept': { memory: '1GiB', parallel: 2, cache: { policy: 'none' } },
    'on disk': { memory: '1GiB', parallel: 2, cache: { policy: 'disk', disk } },
    'on disk, another run': { memory: '1GiB', parallel: 3, cache: { policy: 'disk', disk } },
    'both, little memory': { memory: `${expected.live - 1_600_000}B`, parallel: 2, cache: { policy: 'both', disk } },
  }
  for (const [name, variant] of Object.entries(variants)) {
    const { losses, validation, counts, live, limit } = await train(name, variant)
    t.equal(losses, expected.losses, name)
    t.equal(validation, expected.validation, `${name}: validation`)
    t.ok(live <= limit, `${name}: ${live} of ${limit} bytes`)
    t.comment(`${name}: at most ${live} bytes; ${JSON.stringify(counts)}`)
    if (name === 'on disk, another run') t.notOk(counts['cache.misses'], 'nothing is made again')
    if (name === 'little memory') t.ok(counts['cache.misses']! > 8, 'something had to go')
  }
})

t.test('16 bits change the voxels, and for every policy alike', { timeout: 240_000 }, async t => {
  const exact = await train('exact', { memory: '1GiB', parallel: 2 })
  const disk = { folder: join(root, 'volumes') }
  const losses = new Set<string>()
  for (const policy of ['memory', 'disk', 'none']) {
    const variant = { memory: '1GiB', parallel: 2, cache: { policy, encoding: 'uint16', disk } }
    losses.add((await train(`16 bits ${policy}`, variant)).losses)
  }
  t.equal(losses.size, 1)
  t.notOk(losses.has(exact.losses))
  const [first] = [...losses][0]!.split(' ')
  t.comment(`first loss ${exact.losses.split(' ')[0]} exact, ${first} in 16 bits`)
})

t.test('a case that can never fit fails alone, with the bytes it needs', { timeout: 60_000 }, async t => {
  const { reserved } = await train('measured', { memory: '1GiB', parallel: 1, cache: { policy: 'none' } })
  await t.rejects(train('too little', { memory: `${reserved + 300_000}B`, parallel: 1 }), {
    message: /case.*needs .* at once.*raise "memory" to at least/,
  })
})
