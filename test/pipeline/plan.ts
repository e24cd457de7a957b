import { execFile } from 'node:child_process'
import { truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import highland from 'highland'
import t from 'tap'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { compose } from '../../pipeline/compose.ts'
import type { StageOptions } from '../../pipeline/definition.ts'
import { dryContext } from '../../pipeline/dry-context.ts'
import { codeOf, messageOf, PipelineError } from '../../pipeline/errors.ts'
import { engineWorkOf, needOf, planCase, standingOf, validationStages } from '../../pipeline/plan.ts'
import { rng } from '../../pipeline/random.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Case, Item, Key, Sample } from '../../pipeline/flow.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { stageOf } from '../../stages/index.ts'
import { writeSeries } from '../support/dicom.ts'
import { rawNifti } from '../support/nifti.ts'
import { projectRoot } from '../support/shared.ts'
import { optionsFrom } from '../support/stage.ts'

const facts = { classes: 2 }
const keys: readonly Key[] = ['image', 'label', 'prediction']

function stagesOf(...options: readonly { readonly kind: string; readonly [name: string]: unknown }[]): StageOptions[] {
  return options.map(each => optionsFrom(stageOf(each.kind) as never, each))
}

/** An image with something in it, and a label, on one grid; `.nii` where not compressed. */
async function caseOn(dir: string, name: string, grid: Grid, ending = '.nii.gz'): Promise<Case> {
  const [nx, ny, nz] = grid.shape
  const image = new Int16Array(nx * ny * nz).fill(-1000)
  const label = new Uint8Array(image.length)
  for (let z = 1; z < nz - 1; z++) {
    for (let y = 2; y < ny - 3; y++) {
      for (let x = 3; x < nx - 2; x++) image[(z * ny + y) * nx + x] = ((x * 7 + y * 3 + z) % 900) - 800
    }
  }
  label[label.length >> 1] = 1
  const found = { image: join(dir, `${name}-image${ending}`), label: join(dir, `${name}-label${ending}`) }
  await writeNifti(found.image, { grid, voxels: image }, { level: 1 })
  await writeNifti(found.label, { grid, voxels: label }, { level: 1 })
  return { id: name, index: 0, ...found }
}

const engine = {
  info: { classes: 2 },
  infer: async (windows: Float32Array) => new Float32Array(windows.length * 2),
} as unknown as Engine

async function through(stages: readonly StageOptions[], found: Case): Promise<Item[]> {
  const flow = compose(stages, dryContext('counter', engine)).at(-1)!
  return (await flow(highland<Item>([sampleOf(found, 0)]))
    .collect()
    .toPromise(Promise)) as unknown as Item[]
}

/** A grid turned and mirrored at random, sometimes a little oblique. */
function anyGrid(n: number): Grid {
  const random = rng(11, 0, n, 'grid')
  const shape = [0, 1, 2].map(() => 8 + random.integer(24)) as unknown as Shape3
  const spacing = [0, 1, 2].map(() => 0.5 + 4 * random.uniform())
  const order = [0, 1, 2].toSorted(() => random.uniform() - 0.5)
  const affine = Array.from({ length: 16 }, () => 0)
  affine[15] = 1
  for (let axis = 0; axis < 3; axis++)
    affine[order[axis]! * 4 + axis] = spacing[axis]! * (random.uniform() < 0.5 ? -1 : 1)
  if (random.uniform() < 0.4) affine[1] = affine[1]! + 0.3 * spacing[1]!
  return { shape, affine }
}

const shapes = ({ steps }: Pick<Sample, 'steps'>): unknown =>
  steps.map(({ kind, from, to }) => [kind, from.shape, to.shape])

t.test('shapes and affines of a plan are those that come out, whatever the grid', async t => {
  const dir = t.testdir({})
  const chains = [
    stagesOf({ kind: 'load' }, { kind: 'map-label' }, { kind: 'resample', spacing: [2, 2, 3] }, { kind: 'clip' }),
    stagesOf({ kind: 'load' }, { kind: 'orient' }, { kind: 'resample', spacing: [1, 0, 5] }, { kind: 'channel-first' }),
    stagesOf({ kind: 'load' }, { kind: 'orient', axcodes: 'PIR' }, { kind: 'pad', size: [20, 21, 40] }),
    stagesOf({ kind: 'load' }, { kind: 'resample' }, { kind: 'pad', size: [9, 30, 12] }, { kind: 'cache' }),
  ]
  for (let n = 0; n < 12; n++) {
    const found = await caseOn(dir, `case-${n}`, anyGrid(n), n % 3 === 0 ? '.nii' : '.nii.gz')
    const stages = chains[n % chains.length]!
    const plan = (await planCase(stages, found, facts)).at(-1)!
    const [sample] = (await through(stages, found)) as [Sample]
    for (const key of keys) {
      const [planned, made] = [plan.volumes[key], sample[key]]
      t.same(planned?.grid, made?.grid, `${stages.map(({ kind }) => kind).join(' ')} of ${found.id}: ${key}`)
      t.equal(planned?.isExact ?? true, true)
    }
    t.same(shapes(plan), shapes(sample), 'and so are the steps')
  }
})

t.test('a box that only voxels can tell counts as the whole grid, unless padding makes up for it', async t => {
  const dir = t.testdir({})
  const found = await caseOn(dir, 'boxed', { shape: [20, 18, 12], affine: anyGrid(1).affine })
  const before = [{ kind: 'load' }, { kind: 'clip' }, { kind: 'crop-foreground' }]
  const loose = stagesOf(...before, { kind: 'pad', size: [16, 17, 30] })
  const plan = (await planCase(loose, found, facts)).at(-1)!
  t.match(plan.volumes.image, { isExact: false, grid: { shape: [20, 18, 30] } })
  const [sample] = (await through(loose, found)) as [Sample]
  const { shape } = sample.image!.grid
  t.ok(shape.every((n, axis) => n <= plan.volumes.image!.grid.shape[axis]!))
  t.notSame(shape, plan.volumes.image!.grid.shape, 'the box is smaller')
  const tight = stagesOf(...before, { kind: 'pad', size: [24, 24, 24] })
  t.match((await planCase(tight, found, facts)).at(-1)!.volumes.image, { isExact: true, grid: { shape: [24, 24, 24] } })
})

t.test('patches, windows and masks are in the plan', async t => {
  const dir = t.testdir({})
  const found = await caseOn(dir, 'a', {
    shape: [40, 36, 20],
    affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1],
  })
  const crop = stagesOf({ kind: 'load' }, { kind: 'crop', size: [16, 8, 8], samples: 3 })
  t.match((await planCase(crop, found, facts)).at(-1), { flow: 'patch', patch: [16, 8, 8], items: 3, volumes: {} })
  t.equal((await through(crop, found)).length, 3)

  for (const invert of [true, false]) {
    const infer = stagesOf(
      { kind: 'load' },
      { kind: 'resample', spacing: [2, 2, 2] },
      { kind: 'infer', window: [16, 32, 8], overlap: 0.5, invert },
    )
    const plan = (await planCase(infer, found, facts)).at(-1)!
    const [prediction] = (await through(infer, found)) as [Item & { windows: number; grid: Grid }]
    t.equal(plan.windows!.count, prediction.windows)
    t.same(plan.volumes.prediction!.grid, prediction.grid, invert ? 'on the grid of the file' : 'as it was seen')
  }
  const own = stagesOf({ kind: 'load' }, { kind: 'infer', window: [0, 16, 0], overlap: 0.5 })
  t.same((await planCase(own, found, facts)).at(-1)!.windows, { shape: [40, 16, 20], count: 4 })
})

t.test('what cannot be is refused in the words of the stage, with the case', async t => {
  const dir = t.testdir({ 'broken.nii.gz': 'no gzip' })
  const grid = { shape: [20, 20, 10], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] } as const
  const found = await caseOn(dir, 'whole', grid)
  const other = await caseOn(dir, 'other', { ...grid, shape: [20, 20, 11] })
  const { label: _, ...unlabelled } = found
  const crop = { kind: 'crop', size: [16, 16, 16] }
  const refusals: readonly (readonly [Case, StageOptions[], string, string])[] = [
    [{ ...found, image: join(dir, 'gone.nii.gz') }, stagesOf({ kind: 'load' }), 'ERR_FILE', 'load'],
    [{ ...found, image: join(dir, 'broken.nii.gz') }, stagesOf({ kind: 'load' }), 'ERR_FILE', 'load'],
    [{ ...found, label: other.label! }, stagesOf({ kind: 'load' }), 'ERR_GEOMETRY', 'load'],
    [unlabelled, stagesOf({ kind: 'load', keys: ['label'] }), 'ERR_DATASET', 'load'],
    [found, stagesOf({ kind: 'load' }, crop), 'ERR_VOLUME', 'crop'],
    [unlabelled, stagesOf({ kind: 'load' }, crop), 'ERR_DATASET', 'crop'],
    [
      found,
      stagesOf(
        { kind: 'load' },
        { kind: 'resample', spacing: [2, 2, 2], keys: ['image'] },
        { ...crop, size: [8, 8, 4] },
      ),
      'ERR_GEOMETRY',
      'crop',
    ],
    [
      unlabelled,
      stagesOf({ kind: 'load' }, { kind: 'crop-foreground', source: 'label' }),
      'ERR_DATASET',
      'crop-foreground',
    ],
    [found, stagesOf({ kind: 'load', keys: ['label'] }, { kind: 'infer' }), 'ERR_DATASET', 'infer'],
    [found, stagesOf({ kind: 'load' }, { kind: 'dice' }), 'ERR_DATASET', 'dice'],
    [
      { ...found, prediction: other.label! },
      stagesOf({ kind: 'load', geometryToleranceMm: 1e6, keys: ['label'] }, { kind: 'dice' }),
      'ERR_DATASET',
      'dice',
    ],
  ]
  for (const [scan, stages, code, stage] of refusals) {
    const planned = await planCase(stages, scan, facts).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.equal(codeOf(planned), code, messageOf(planned))
    t.match((planned as PipelineError).facts, { case: 'whole', stage })
    const ran = await through(stages, scan).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.equal(messageOf(planned), messageOf(ran), 'as the run says it')
  }
})

/** Most bytes alive while the case goes through the stages, measured in a process of its own. */
async function measured(stages: readonly StageOptions[], found: Case): Promise<number> {
  const script = join(projectRoot, 'dist/test/support/live-bytes.js')
  const args = ['--expose-gc', script, JSON.stringify(stages), JSON.stringify(found)]
  // Probabilities are written where it runs.
  const options = { cwd: dirname(found.image!), env: { ...process.env, NODE_OPTIONS: '' } }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  return (JSON.parse(stdout) as { bytes: number }).bytes
}

t.test('no more bytes are alive than planned, and not many less', { timeout: 180_000 }, async t => {
  const dir = t.testdir({})
  const shape: Shape3 = [160, 144, 96]
  const straight = await caseOn(dir, 'straight', { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1] })
  const mirrored = await caseOn(dir, 'mirrored', { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -2, 190, 0, 0, 0, 1] })
  // As much as a mask can take: most of its voxels are runs of their own.
  const noisy = join(dir, 'noisy.nii.gz')
  const random = rng(7, 0, 0, 'noisy')
  const noise = Uint8Array.from({ length: 160 * 144 * 96 }, () => (random.uniform() < 0.5 ? 1 : 0))
  await writeNifti(
    noisy,
    { grid: { shape, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1] }, voxels: noise },
    { level: 1 },
  )
  const slices = writeSeries(join(dir, 'series'), 40, () => ({ rows: 400, columns: 400 }))
  const prefix = [
    { kind: 'load' },
    { kind: 'map-label' },
    { kind: 'resample', spacing: [1.2, 1.2, 2.5] },
    { kind: 'clip' },
  ]
  const window = { window: [64, 64, 32], overlap: 0.25 }
  /** Most that a plan may be beside the truth: where volumes are only a few slabs, slabs are most of it. */
  const chains: readonly (readonly [string, StageOptions[], Case, number])[] = [
    ['streaming', stagesOf(...prefix), straight, 2.5],
    ['finer', stagesOf({ kind: 'load' }, { kind: 'resample', spacing: [1, 1, 1] }), straight, 2.5],
    ['series', stagesOf({ kind: 'load' }), { id: 'series', index: 0, image: slices }, 1.6],
    ['turned', stagesOf({ kind: 'load' }, { kind: 'orient' }), mirrored, 1.6],
    ['padded', stagesOf({ kind: 'load' }, { kind: 'pad', size: [200, 200, 100] }), straight, 1.6],
    ['cached', stagesOf(...prefix, { kind: 'cache' }), straight, 4],
    ['cropped', stagesOf(...prefix, { kind: 'crop', size: [64, 64, 32] }), straight, 2.5],
    [
      'predicted',
      stagesOf({ kind: 'load', keys: ['image'] }, { kind: 'orient' }, { kind: 'infer', ...window }),
      mirrored,
      2,
    ],
    [
      'probabilities turned',
      stagesOf(
        { kind: 'load', keys: ['image'] },
        { kind: 'orient', axcodes: 'SPR' },
        { kind: 'infer', ...window, probabilities: 'probabilities' },
      ),
      straight,
      2,
    ],
    [
      'validated',
      stagesOf(...prefix, { kind: 'cache' }, { kind: 'infer', ...window, invert: false }, { kind: 'dice' }),
      straight,
      4,
    ],
    [
      'evaluated',
      stagesOf({ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice', surface: false, lesions: false }),
      { ...straight, label: noisy, prediction: noisy },
      4,
    ],
    // Surfaces may fill the image, and lesions be many more than these.
    [
      'measured',
      stagesOf({ kind: 'load', keys: ['prediction', 'label'] }, { kind: 'dice' }),
      { ...straight, label: noisy, prediction: noisy },
      8,
    ],
    [
      'regridded',
      stagesOf(
        { kind: 'load', keys: ['prediction', 'label'] },
        { kind: 'dice', surface: false, lesions: false, regrid: true },
      ),
      { ...mirrored, label: mirrored.label!, prediction: noisy },
      4,
    ],
  ]
  for (const [name, stages, found, most] of chains) {
    const planned = (await planCase(stages, found, facts)).at(-1)!.bytes + standingOf(stages).bytes
    let alive = 0
    // Two streams side by side: on a busy machine their highest moments may not meet.
    for (let attempt = 0; attempt < 3 && planned > most * alive; attempt++)
      alive = Math.max(alive, await measured(stages, found))
    t.comment(`${name}: planned ${planned}, alive ${alive}, ratio ${(planned / alive).toFixed(2)}`)
    t.ok(planned >= alive, `${name}: an upper bound`)
    t.ok(planned <= most * alive, `${name}: near enough`)
  }
})

t.test('bytes do not grow with the length of what streams', async t => {
  const dir = t.testdir({})
  const stages = stagesOf({ kind: 'load' }, { kind: 'resample', spacing: [0.8, 0.8, 1.5] }, { kind: 'clip' })
  const bytes = await Promise.all(
    [300, 1200].map(async nz => {
      const image = join(dir, `${nz}.nii`)
      writeFileSync(image, rawNifti({ dims: [512, 512, nz], datatype: 4, bits: 16, voxels: new Uint8Array(0) }))
      // Nobody reads its voxels, so it has none.
      truncateSync(image, 352 + 512 * 512 * nz * 2)
      return (await planCase(stages, { id: 'long', index: 0, image }, facts)).at(-1)!.bytes
    }),
  )
  t.equal(bytes[1], bytes[0], `${bytes[0]! / 2 ** 20} MiB`)
})

t.test('what a case needs once a cache has it is told apart from the whole', async t => {
  const dir = t.testdir({})
  const found = await caseOn(dir, 'a', {
    shape: [64, 64, 64],
    affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
  })
  const cached = stagesOf({ kind: 'load' }, { kind: 'cache' }, { kind: 'crop', size: [16, 16, 16] })
  const plans = await planCase(cached, found, facts)
  const { bytes, later } = needOf(cached, plans, facts)
  const entry = plans[1]!.resident
  t.equal(entry, 64 ** 3 * 5, 'float32 image, byte label')
  t.ok(later > 0 && entry + later < bytes, `${entry} kept, ${later} later, ${bytes} in all`)
  const uncached = stagesOf({ kind: 'load' }, { kind: 'crop', size: [16, 16, 16] })
  const need = needOf(uncached, await planCase(uncached, found, facts), facts)
  t.equal(need.later, need.bytes, 'without a cache nothing gets less')
  const half = stagesOf({ kind: 'load' }, { kind: 'cache', encoding: 'uint16' })
  t.equal((await planCase(half, found, facts)).at(-1)!.resident, 64 ** 3 * 3)
})

t.test('patches and batches on their way are counted once, whatever the case', t => {
  const patch = 16 * 16 * 8
  const crop = stagesOf({ kind: 'load' }, { kind: 'crop', size: [16, 16, 8], samples: 2 })
  t.same(standingOf(crop), { patch: [16, 16, 8], patchesPerCase: 2, bytes: 2 * 2 * patch * 8 })
  const train = [...crop, ...stagesOf({ kind: 'augment' }, { kind: 'batch', size: 4 }, { kind: 'train', epochs: 1 })]
  const standing = standingOf(train)
  t.match(standing, { patch: [16, 16, 8], patchesPerCase: 2, batch: 4 })
  // Two batches with the engine or on their way to it, a third being gathered.
  t.ok(standing.bytes >= standingOf(crop).bytes + 4 * patch * (5 + 5 + 8))
  t.same(standingOf(stagesOf({ kind: 'load' }, { kind: 'clip' })), { patchesPerCase: 1, bytes: 0 })
  t.end()
})

t.test('the network is asked for a step and for windows of known extents', t => {
  const train = stagesOf(
    { kind: 'load' },
    { kind: 'cache' },
    { kind: 'crop', size: [32, 32, 16] },
    { kind: 'batch', size: 3 },
    { kind: 'train', epochs: 1, validate: { window: [64, 64, 16] } },
  )
  t.same(engineWorkOf({ task: 'train', stages: train }), {
    step: { patch: [32, 32, 16], batch: 3 },
    windows: [[64, 64, 16]],
  })
  const infer = stagesOf({ kind: 'load' }, { kind: 'infer', window: [0, 64, 16] }, { kind: 'save' })
  t.same(engineWorkOf({ task: 'infer', stages: infer }), { windows: [] }, "an image's own extent is not known")
  t.same(
    validationStages(train, 2).map(({ kind }) => kind),
    ['load', 'cache', 'infer', 'dice'],
  )
  t.end()
})
