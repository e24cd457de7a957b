/** Masks do not depend on memory, threads, or on what is done at a time. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { validateDefinition, type Definition } from '../../pipeline/definition.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import { openEngineFor, writeCheckpoint } from '../../stages/index.ts'
import { skipped } from '../support/backends.ts'

const root = t.testdir({})
const network = { kind: 'segresnet', initFilters: 8, blocksDown: [1, 1], blocksUp: [1] }

interface Variant {
  readonly memory: string
  readonly threads?: number
  readonly parallel?: number
  readonly windowBatch?: number
  readonly keep?: string | number
  readonly cases?: number
}

function definitionOf(
  name: string,
  { memory, threads = 1, parallel = 2, windowBatch = 1, keep = '64MiB', cases = 3 }: Variant,
): Definition {
  return validateDefinition(
    {
      task: 'infer',
      memory,
      engine: { threads },
      dataset: {
        phantoms: { training: 0, validation: 0, testing: cases, seed: 9, shape: [80, 64, 24], folder: 'phantoms' },
      },
      network: { ...network, weights: 'weights.safetensors' },
      stages: [
        { kind: 'load', keys: ['image'], parallel },
        { kind: 'resample', spacing: [4, 4, 8] },
        { kind: 'clip' },
        { kind: 'crop-foreground', parallel, keep },
        { kind: 'infer', window: [32, 32, 8], overlap: 0.25, blend: 'gaussian', parallel, windowBatch },
        { kind: 'postprocess', minimumMm3: 100 },
        { kind: 'save', parallel },
      ],
      output: name,
    },
    root,
  )
}

async function masks(name: string, variant: Variant): Promise<{ hashes: string; live: number }> {
  const definition = definitionOf(name, variant)
  const result = await run(definition, { progress: createProgress('none') })
  if (result.status !== 'ok') throw new Error(`${name}: ${result.failures[0]?.reason ?? result.error}`)
  const lines = readFileSync(join(root, name, 'manifest.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
  const hashes = lines
    .map(line => JSON.parse(line) as { case: string; outputs: { path: string }[] })
    .map(({ case: id, outputs }) => {
      const mask = outputs.find(({ path }) => path.endsWith('.nii.gz'))!
      return `${id} ${createHash('sha256')
        .update(readFileSync(join(root, name, mask.path)))
        .digest('hex')}`
    })
  const { memory } = JSON.parse(readFileSync(join(root, name, 'run.json'), 'utf8')) as {
    memory: { peakLiveBytes: number }
  }
  return { hashes: hashes.toSorted().join('\n'), live: memory.peakLiveBytes }
}

t.test('equal bit for bit', { skip: skipped('native'), timeout: 300_000 }, async t => {
  const engine = await openEngineFor(definitionOf('weights', { memory: '1GiB' }))
  await writeCheckpoint(join(root, 'weights.safetensors'), await engine.save(), { network })
  await engine.close()
  const first = await masks('first', { memory: '1GiB' })
  t.equal(first.hashes.split('\n').length, 3)
  const variants: Readonly<Record<string, Variant>> = {
    '2GiB': { memory: '2GiB' },
    '8GiB': { memory: '8GiB', parallel: 4 },
    'two threads': { memory: '1GiB', threads: 2 },
    'one at a time': { memory: '1GiB', parallel: 1 },
    'three windows': { memory: '1GiB', windowBatch: 3 },
    'nothing kept': { memory: '1GiB', keep: 0 },
  }
  for (const [name, variant] of Object.entries(variants))
    t.equal((await masks(name, variant)).hashes, first.hashes, name)
  // What one case takes, and little more: the others wait for it.
  const alone = await masks('alone', { memory: '1GiB', cases: 1 })
  const narrow = await masks('narrow', { memory: `${Math.ceil(alone.live * 1.02)}B`, parallel: 4 })
  t.equal(narrow.hashes, first.hashes, 'room for one case')
  t.ok(narrow.live <= alone.live * 1.02)
})
