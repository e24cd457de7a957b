/** A real chest CT through the whole: two epochs on two scans, then the third inferred and evaluated. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openNifti } from '../../imaging/nifti-read.ts'
import { validateDefinition } from '../../pipeline/definition.ts'
import { createProgress } from '../../pipeline/progress.ts'
import { run } from '../../pipeline/run.ts'
import { sharedPath } from '../support/shared.ts'

const scan = (id: string): { image: string | undefined; label: string | undefined } => ({
  image: sharedPath('data', 'ct', `${id}_ct.nii.gz`),
  label: sharedPath('data', 'ct', `${id}_lesion.nii.gz`),
})
const scans = ['lidc-0001_half', 'lidc-0003_half', 'lidc-0314_half'].map(scan)
const absent = scans.some(({ image, label }) => !image || !label)

t.test(
  'real CTs: finite losses and a mask on the scan’s own grid',
  { skip: absent && 'shared data not found' },
  async t => {
    const dir = t.testdir({})
    writeFileSync(join(dir, 'list.json'), JSON.stringify({ training: scans.slice(0, 2), testing: scans.slice(2) }))
    const window = [64, 64, 32]
    const network = { kind: 'segresnet', blocksDown: [1, 1, 1], blocksUp: [1, 1] }
    const prefix = [
      { kind: 'load' },
      { kind: 'map-label', classes: 2 },
      { kind: 'channel-first' },
      { kind: 'resample', spacing: [2.5, 2.5, 5], keys: ['image'] },
      { kind: 'clip' },
      { kind: 'crop-foreground', keys: ['image'] },
    ]
    const both = prefix.map(stage => ('keys' in stage ? { ...stage, keys: ['image', 'label'] } : stage))
    const base = { seed: 1, dataset: { list: 'list.json' }, network }
    const progress = createProgress('none')

    const train = validateDefinition(
      {
        ...base,
        task: 'train',
        output: 'train',
        stages: [
          ...both,
          { kind: 'pad', size: window },
          { kind: 'cache' },
          { kind: 'crop', size: window },
          { kind: 'augment' },
          { kind: 'batch', size: 4 },
          { kind: 'train', epochs: 2, validate: { every: 0, test: false } },
        ],
      },
      dir,
    )
    const trained = await run(train, { progress })
    t.match(trained, { status: 'ok', cases: { ok: 2, failed: 0 } }, trained.error ?? 'ran')
    const losses = readFileSync(join(dir, 'train/steps.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).loss as number)
    t.ok(losses.length >= 2 && losses.every(Number.isFinite), `losses ${losses.join(' ')}`)

    const weights = 'train/last.safetensors'
    const infer = validateDefinition(
      {
        ...base,
        task: 'infer',
        output: 'infer',
        network: { ...network, weights },
        stages: [...prefix, { kind: 'infer', window, overlap: 0.25 }, { kind: 'save' }],
      },
      dir,
    )
    const inferred = await run(infer, { progress })
    t.match(inferred, { status: 'ok', cases: { ok: 1 } }, inferred.error ?? 'ran')
    const image = await openNifti(scans[2]!.image!)
    const mask = await openNifti(join(dir, 'infer/masks', 'ct', 'lidc-0314_half_ct.nii.gz'))
    t.same(mask.grid.shape, image.grid.shape)
    t.same(mask.grid.affine, image.grid.affine)

    const evaluate = validateDefinition(
      {
        seed: 1,
        task: 'evaluate',
        dataset: { list: 'list.json', predictions: 'infer/masks' },
        output: 'evaluate',
        stages: [{ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }],
      },
      dir,
    )
    const evaluated = await run(evaluate, { progress })
    t.match(evaluated, { status: 'ok', metrics: { dice: { cases: 1 } } }, evaluated.error ?? 'ran')
  },
)
