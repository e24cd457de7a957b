import highland from 'highland'
import t from 'tap'
import { lazyVolume, materialise } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Grid, Item, Sample, Transform } from '../../pipeline/stage.ts'
import { cache } from '../../stages/cache.ts'
import { perItem } from '../../stages/lift.ts'
import { contextOf, optionsFrom } from '../support/stage.ts'

const grid: Grid = { shape: [4, 3, 2], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
const bytes = 4 * 24

/** Cases whose volumes hold their index, and how often each was made. */
function source(): { samples(epoch: number, order: number[]): Sample[]; before: Transform; pulled: number[] } {
  const pulled: number[] = []
  return {
    pulled,
    samples: (epoch, order) =>
      order.map(index => ({
        case: { id: `case${index}`, index, image: `/${index}.nii` },
        epoch,
        steps: [],
        patch: 0,
        draws: {},
      })),
    before: perItem<Sample, Sample>('load', sample => {
      if (sample.case.index === 13) throw new PipelineError('ERR_FILE', 'unlucky')
      return {
        ...sample,
        image: lazyVolume(grid, async function* () {
          pulled.push(sample.case.index)
          yield { z: 0, planes: 2, voxels: new Float32Array(24).fill(sample.case.index) }
        }),
      }
    }),
  }
}

async function collect(transform: Transform, samples: readonly Sample[]): Promise<Sample[]> {
  return (await transform(highland<Item>([...samples]))
    .collect()
    .toPromise(Promise)) as unknown as Sample[]
}

t.test('a second epoch makes nothing again, in any order', async t => {
  const { samples, before, pulled } = source()
  const counts: Record<string, number> = {}
  const count = (name: string): void => void (counts[name] = (counts[name] ?? 0) + 1)
  const transform = cache.create(optionsFrom(cache, { kind: 'cache' }), contextOf({ count }), {
    flow: before,
    stages: [],
  })
  await collect(transform, samples(0, [0, 1, 2]))
  const again = await collect(transform, samples(1, [2, 0, 1]))
  t.same(pulled.toSorted(), [0, 1, 2])
  t.same(
    again.map(sample => [sample.case.index, sample.epoch]),
    [
      [2, 1],
      [0, 1],
      [1, 1],
    ],
  )
  t.equal((await materialise(again[0]!.image!))[5], 2)
  t.same(counts, { 'cache.misses': 3, 'cache.hits': 3 })
})

t.test('no more bytes are kept than allowed; the least recently used goes first', async t => {
  const { samples, before, pulled } = source()
  const transform = cache.create(optionsFrom(cache, { kind: 'cache', bytes: 2 * bytes, parallel: 1 }), contextOf(), {
    flow: before,
    stages: [],
  })
  await collect(transform, samples(0, [0, 1, 0, 2]))
  t.same(pulled, [0, 1, 2])
  await collect(transform, samples(1, [0]))
  t.same(pulled, [0, 1, 2], 'case 0 was used last and is still there')
  await collect(transform, samples(1, [1]))
  t.same(pulled, [0, 1, 2, 1], 'case 1 had to go')
})

t.test('a volume larger than the cache passes through; no bytes means no cache', async t => {
  for (const allowed of [bytes - 1, 0]) {
    const { samples, before, pulled } = source()
    const transform = cache.create(optionsFrom(cache, { kind: 'cache', bytes: allowed }), contextOf(), {
      flow: before,
      stages: [],
    })
    t.equal((await collect(transform, samples(0, [7])))[0]!.image!.resident![0], 7)
    await collect(transform, samples(1, [7]))
    t.same(pulled, [7, 7])
  }
})

t.test('two requests for one case at once make it once; a failure is not kept', async t => {
  const { samples, before, pulled } = source()
  const transform = cache.create(optionsFrom(cache, { kind: 'cache', parallel: 4 }), contextOf(), {
    flow: before,
    stages: [],
  })
  t.equal((await collect(transform, samples(0, [5, 5, 5]))).length, 3)
  t.same(pulled, [5])
  await t.rejects(collect(transform, samples(0, [13])), { code: 'ERR_FILE', facts: { case: 'case13', stage: 'load' } })
  await t.rejects(collect(transform, samples(0, [13])), { code: 'ERR_FILE' })
})

t.test('with a slow consumer, cached stages run at most `parallel` volumes ahead', async t => {
  const { samples, before, pulled } = source()
  const transform = cache.create(optionsFrom(cache, { kind: 'cache', parallel: 2 }), contextOf(), {
    flow: before,
    stages: [],
  })
  let consumed = 0
  let ahead = 0
  await new Promise<void>(resolve => {
    transform(highland<Item>(samples(0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))
      .map(() =>
        highland(
          new Promise(done => {
            ahead = Math.max(ahead, pulled.length - consumed)
            setTimeout(() => {
              consumed += 1
              done(true)
            }, 4)
          }),
        ),
      )
      .sequence()
      .done(resolve)
  })
  t.equal(consumed, 10)
  t.ok(ahead <= 3, `${ahead} ahead`)
})
