import t from 'tap'
import highland from 'highland'
import { lazyVolume } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Item, Sample } from '../../pipeline/flow.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { cache } from '../../stages/cache.ts'
import { clip } from '../../stages/clip.ts'
import { crop } from '../../stages/crop.ts'
import { inSequence, perItem } from '../../stages/lift.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'
import { numpyChain, twoClasses } from '../support/random-chain.ts'
import { contextOf, nothingBefore, optionsFrom, sampleWith } from '../support/stage.ts'

const grid = gridOf([12, 10, 6])
const image = volumeOf(grid, (x, y, z) => x + 12 * y + 120 * z + 1)
const label = volumeOf(grid, (x, y, z) => Number(x > 7 && y > 5 && z > 2))

/** A case; `volumes` may replace its own. */
const sample = (index: number, volumes: { image?: Volume; label?: Volume } = {}): Sample =>
  sampleWith({ image, label, ...volumes }, { id: `case${index}`, index })

/** The same voxels, after `ms` milliseconds. */
const slow = (volume: Volume, ms: number): Volume =>
  lazyVolume(volume.grid, async function* () {
    await new Promise(resolve => void setTimeout(resolve, ms))
    yield* inSlabs(volume).slabs()
  })

const broken = lazyVolume(grid, async function* () {
  yield* []
  throw new PipelineError('ERR_FILE', 'truncated')
})

const centres = (patches: readonly Sample[]): Shape3[] =>
  patches.map(({ draws }) => (draws['crop'] as { centre: Shape3 }).centre)

t.test('patches hold the voxels around their centres, and what was drawn stays on them', async t => {
  const json = { kind: 'crop', size: [4, 3, 2], samples: 5 }
  const transform = crop.create(optionsFrom(crop, json), contextOf({ engine: twoClasses }), nothingBefore)
  const patches = (await transform(highland<Item>([sample(0)]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
  t.same(
    patches.map(({ patch }) => patch),
    [0, 1, 2, 3, 4],
  )
  for (const { image, label, draws } of patches) {
    const { centre, start } = draws['crop'] as { centre: Shape3; start: Shape3 }
    t.same(start, [centre[0] - 2, centre[1] - 1, centre[2] - 1])
    t.equal(image!.resident![0], start[0] + 12 * start[1] + 120 * start[2] + 1)
    t.same([image!.grid.shape, label!.grid.shape], [json.size, json.size])
    t.same(Object.keys(draws), ['crop'])
  }
})

t.test('counter draws are those of earlier versions', async t => {
  const json = { kind: 'crop', size: [4, 3, 2], samples: 3 }
  const transform = crop.create(optionsFrom(crop, json), contextOf({ engine: twoClasses, seed: 5 }), nothingBefore)
  const samples = [{ ...sample(2), epoch: 1 }, sample(7)]
  const patches = (await transform(highland<Item>(samples)).collect().toPromise(Promise)) as unknown as Sample[]
  t.same(centres(patches), [
    [8, 6, 4],
    [8, 8, 4],
    [4, 7, 5],
    [8, 6, 4],
    [10, 8, 5],
    [5, 5, 3],
  ])
})

/** Centres of two epochs, the second in the other order; `delay` is how long a case's image takes. */
const twoEpochs = async (parallel: number, delay: (i: number) => number): Promise<Shape3[]> => {
  const chain = numpyChain([{ kind: 'crop', size: [4, 4, 2], parallel } as { kind: string }], 3)
  const samples = [0, 1, 2, 3, 4, 5].map(i => sample(i, { image: slow(image, delay(i)) }))
  return centres([...(await chain(samples)), ...(await chain(samples.toReversed()))])
}

t.test('numpy draws follow the order of the cases, not the order in which their volumes come', async t => {
  const inOrder = await twoEpochs(1, () => 0)
  t.equal(new Set(inOrder.map(String)).size > 6, true, 'they do differ')
  t.same(await twoEpochs(4, i => 12 - 2 * i), inOrder, 'the first comes last')
  t.same(await twoEpochs(6, i => (i % 2) * 8), inOrder, 'every other one comes late')
})

t.test('a case that fails draws nothing', async t => {
  const large = sample(9, { image: volumeOf(gridOf([3, 3, 3]), () => 1), label: volumeOf(gridOf([3, 3, 3]), () => 0) })
  const empty = sample(9, { image: volumeOf(grid, () => 0), label: volumeOf(grid, () => 0) })
  const json = { kind: 'crop', size: [4, 4, 2], parallel: 2 } as { kind: string }
  const alone = await numpyChain([json], 3)([sample(0), sample(1)])
  for (const [bad, code] of [
    [sample(9, { image: broken }), 'ERR_FILE'],
    [sample(9, { label: volumeOf(grid, () => 7) }), 'ERR_LABEL'],
    [large, 'ERR_VOLUME'],
    [empty, 'ERR_VOLUME'],
  ] as const) {
    const chain = numpyChain([json], 3)
    const first = await chain([sample(0)])
    await t.rejects(chain([bad]), { code, facts: { case: 'case9', stage: 'crop' } })
    t.same(centres([...first, ...(await chain([sample(1)]))]), centres(alone), code)
  }
})

t.test('where a stage between cache and crop changes the voxels, no index of other voxels is taken', async t => {
  const folder = t.testdir()
  const drawn = async (policy: string, min: number): Promise<Shape3[]> => {
    const context = contextOf({ engine: twoClasses })
    const before = perItem<Sample, Sample>('load', item => ({ ...item, image, label }))
    const json = { kind: 'cache', policy, disk: { folder, bytes: '1GiB' } }
    const kept = cache.create(optionsFrom(cache, json), context, { flow: before, stages: [{ kind: 'load' }] })
    const clipped = clip.create(optionsFrom(clip, { kind: 'clip', min, max: 1000 }), context, nothingBefore)
    // Only background, which is where the clipped image is above 0.
    const options = optionsFrom(crop, { kind: 'crop', size: [4, 3, 2], samples: 8, positive: 0 })
    const flow = inSequence(kept, clipped, crop.create(options, context, nothingBefore))
    return centres(
      (await flow(highland<Item>([sample(0)]))
        .collect()
        .toPromise(Promise)) as unknown as Sample[],
    )
  }
  t.same(await drawn('disk', 0), await drawn('none', 0))
  t.same(await drawn('disk', 600), await drawn('none', 600), 'the index is of this image')
})
