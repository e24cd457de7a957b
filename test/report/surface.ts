import t from 'tap'
import { maskOf } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import {
  averageSurfaceDistance,
  hausdorff,
  surfaceBytes,
  surfaceDice,
  surfaceDistances,
  surfaceMetrics,
  type SurfaceDistances,
} from '../../report/surface.ts'
import { referenceAssd, referenceDistances, referenceHausdorff, referenceSurfaceDice } from '../reference/surface.ts'
import { awkwardPairs, maskWhere } from '../support/masks.ts'

const emptyRule = 'monai'

/** Two rows of voxels along x. */
function rows(prediction: number[], reference: number[], spacing: [number, number, number]): Promise<SurfaceDistances> {
  return between(Uint8Array.from(prediction), Uint8Array.from(reference), [prediction.length, 1, 1], spacing)
}

function between(
  prediction: Uint8Array,
  reference: Uint8Array,
  shape: Shape3,
  spacing: readonly [number, number, number],
  value = 1,
): Promise<SurfaceDistances> {
  return surfaceDistances(maskOf(shape, prediction), maskOf(shape, reference), { spacing, value })
}

/** A ball of some 3 voxels' radius about (cx, 5, 5). */
const ball = (shape: Shape3, cx: number): Uint8Array =>
  maskWhere(shape, (x, y, z) => (x - cx) ** 2 + (y - 5) ** 2 + (z - 5) ** 2 <= 10)

t.test('a row by hand: three voxels against one, 2 mm apart', async t => {
  const found = await rows([1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [2, 1, 1])
  t.same([...found.toReference], [2, 4, 6])
  t.same([...found.toPrediction], [2])
  t.equal(hausdorff(found, { emptyRule }), 6)
  t.equal(hausdorff(found, { emptyRule, percentile: 50 }), 4)
  t.equal(hausdorff(found, { emptyRule, percentile: 25 }), 3, 'halfway between two distances')
  t.equal(averageSurfaceDistance(found, { emptyRule }), (2 + 4 + 6 + 2) / 4)
  t.equal(surfaceDice(found, 2, emptyRule), 2 / 4)
  t.equal(surfaceDice(found, 4, emptyRule), 3 / 4)
  t.equal(surfaceDice(found, 1.99, emptyRule), 0)
})

t.test('the worse direction counts; a percentile is taken of each, never of both together', async t => {
  const found = await rows([1, 0, 0, 0, 0], [1, 0, 0, 0, 1], [1, 1, 1])
  t.equal(hausdorff(found, { emptyRule }), 4)
  t.equal(hausdorff(found, { emptyRule, percentile: 50 }), 2, 'the median of 0 and 4, not of 0, 0 and 4')
  t.equal(hausdorff(found, { emptyRule, percentile: 0 }), 4, 'as in MONAI, a percentile of 0 is no percentile')
})

t.test('a distance that equals the tolerance is within it, however it was rounded', async t => {
  for (const [mm, voxels] of [
    [0.8, 1],
    [0.8, 2],
    [0.8, 3],
    [0.7, 3],
    [0.1, 3],
    [1.1, 3],
    [5, 1],
    [5, 2],
  ] as const) {
    const prediction = [1, 0, 0, 0]
    const reference = [0, 0, 0, 0]
    reference[voxels] = 1
    const found = await rows(prediction, reference, [mm, 1, 1])
    const tolerance = Number((mm * voxels).toFixed(6))
    t.equal(surfaceDice(found, tolerance, emptyRule), 1, `${voxels} voxels of ${mm} mm within ${tolerance}`)
    t.equal(surfaceDice(found, tolerance * (1 - 1e-6), emptyRule), 0, 'and not within less')
  }
})

t.test('the rank of a percentile is rounded to float32, as torch.quantile rounds it', async t => {
  // torch.quantile(torch.cat([torch.zeros(190000), torch.full((10000,), 5.)]), 0.95) = 0.234375; in float64 it is 0.25.
  const many = new Float32Array(200_000).fill(5, 190_000)
  const found = { toReference: many, toPrediction: Float32Array.of(0), emptyMasks: 0, diagonal: 100 }
  t.equal(hausdorff(found, { emptyRule, percentile: 95 }), 0.234375)
})

t.test('all metrics are those of the definitions, on masks of any kind', async t => {
  const largest: Record<string, number> = {}
  for (const { name, shape, spacing, prediction, reference } of awkwardPairs()) {
    const found = await between(prediction, reference, shape, spacing)
    const expected = referenceDistances(prediction, reference, shape, spacing)
    t.equal(found.toReference.length, expected.toReference.length, `${name}: edge voxels of the prediction`)
    t.equal(found.toPrediction.length, expected.toPrediction.length, `${name}: edge voxels of the reference`)
    const compared = {
      hd: [hausdorff(found, { emptyRule }), referenceHausdorff(expected, 1)],
      hd95: [hausdorff(found, { emptyRule, percentile: 95 }), referenceHausdorff(expected, 0.95)],
      'hd37.5': [hausdorff(found, { emptyRule, percentile: 37.5 }), referenceHausdorff(expected, 0.375)],
      assd: [averageSurfaceDistance(found, { emptyRule }), referenceAssd(expected)],
      'nsd_1.23mm': [surfaceDice(found, 1.23, emptyRule), referenceSurfaceDice(expected, 1.23)],
      'nsd_3.45mm': [surfaceDice(found, 3.45, emptyRule), referenceSurfaceDice(expected, 3.45)],
    }
    for (const [metric, [ours, theirs]] of Object.entries(compared)) {
      const difference = Math.abs(ours! - theirs!)
      largest[metric] = Math.max(largest[metric] ?? 0, difference)
      t.ok(difference < 1e-5, `${name}: ${metric}`)
    }
  }
  for (const [metric, difference] of Object.entries(largest)) t.comment(`${metric}: largest difference ${difference}`)
})

t.test('swapping the masks swaps the directions; the other classes do not count', async t => {
  for (const { name, shape, spacing, prediction, reference } of awkwardPairs()) {
    const found = await between(prediction, reference, shape, spacing)
    const doubled = [reference, prediction].map(mask => mask.map(value => (value === 1 ? 3 : 1))) as [
      Uint8Array,
      Uint8Array,
    ]
    const swapped = await between(...doubled, shape, spacing, 3)
    t.same(swapped.toReference, found.toPrediction, name)
    t.same(swapped.toPrediction, found.toReference, name)
  }
})

t.test('small masks far from the border are the same in a larger image', async t => {
  const spacing = [0.8, 0.8, 2.5] as const
  const [small, large]: [Shape3, Shape3] = [
    [12, 11, 11],
    [40, 30, 20],
  ]
  const a = await between(ball(small, 5), ball(small, 6), small, spacing)
  const b = await between(ball(large, 5), ball(large, 6), large, spacing)
  t.same({ ...a, diagonal: 0 }, { ...b, diagonal: 0 })
})

t.test('empty masks by either rule', async t => {
  const options = { tolerancesMm: [1, 2.5], percentile: 99.5 }
  const shape: Shape3 = [3, 4, 1]
  const none = new Uint8Array(12)
  const some = Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  const metrics = async (prediction: Uint8Array, reference: Uint8Array, rule: 'strict' | 'monai'): Promise<object> =>
    surfaceMetrics(await between(prediction, reference, shape, [1, 2, 4]), { ...options, emptyRule: rule })
  t.same(await metrics(none, none, 'monai'), { hd: null, 'hd99.5': null, assd: null, nsd_1mm: null, 'nsd_2.5mm': null })
  t.same(await metrics(none, none, 'strict'), { hd: 0, 'hd99.5': 0, assd: 0, nsd_1mm: 1, 'nsd_2.5mm': 1 })
  const diagonal = Math.hypot(3, 8, 4)
  for (const pair of [
    [none, some],
    [some, none],
  ] as const) {
    t.same(await metrics(...pair, 'monai'), {
      hd: Infinity,
      'hd99.5': null,
      assd: Infinity,
      nsd_1mm: 0,
      'nsd_2.5mm': 0,
    })
    t.same(await metrics(...pair, 'strict'), {
      hd: diagonal,
      'hd99.5': diagonal,
      assd: diagonal,
      nsd_1mm: 0,
      'nsd_2.5mm': 0,
    })
  }
  t.same(
    await metrics(some, some, 'monai'),
    await metrics(some, some, 'strict'),
    'the rules differ on empty masks only',
  )
})

t.test('the penalty of the strict rule is more than any distance in the image', async t => {
  const shape: Shape3 = [4, 5, 6]
  const [first, last] = [0, 119].map(at => new Uint8Array(120).fill(1, at, at + 1)) as [Uint8Array, Uint8Array]
  const found = await between(first, last, shape, [2, 1, 3])
  t.equal(hausdorff(found, { emptyRule: 'strict' }), Math.fround(Math.hypot(6, 4, 15)))
  t.ok(found.diagonal > hausdorff(found, { emptyRule: 'strict' })!)
})

t.test('bad arguments are refused', async t => {
  const found = await rows([1, 0], [0, 1], [1, 1, 1])
  for (const percentile of [-1, 100.5, NaN]) t.throws(() => hausdorff(found, { emptyRule, percentile }), RangeError)
  for (const tolerance of [-1, NaN, Infinity]) t.throws(() => surfaceDice(found, tolerance, emptyRule), RangeError)
  const one = maskOf([1, 1, 1], Uint8Array.of(1))
  const spacing = [1, 1, 1] as const
  await t.rejects(surfaceDistances(one, maskOf([1, 2, 1], Uint8Array.of(1, 1)), { spacing, value: 1 }), {
    message: 'expected masks of one shape, found 1 x 1 x 1 and 1 x 2 x 1',
  })
  for (const value of [0, 256, NaN]) await t.rejects(surfaceDistances(one, one, { spacing, value }), RangeError)
  for (const spacing of [
    [0, 1, 1],
    [1, -1, 1],
    [1, 1, NaN],
    [Infinity, 1, 1],
  ] as const) {
    for (const voxel of [0, 1])
      await t.rejects(between(Uint8Array.of(voxel), Uint8Array.of(voxel), [1, 1, 1], spacing), {
        code: 'ERR_VOLUME',
        message: /three positive numbers/,
      })
  }
})

t.test('what is said to be needed is more than what is held', async t => {
  const shape: Shape3 = [70, 60, 50]
  const draws = rng(1, 0, 0, 'bytes')
  // One that is all surface, as far as that can be.
  for (const density of [0.01, 0.5]) {
    const noise = maskWhere(shape, () => draws.uniform() < density)
    const other = maskWhere(shape, () => draws.uniform() < density)
    const found = await between(noise, other, shape, [1, 1, 2])
    const held = found.toReference.byteLength + found.toPrediction.byteLength
    t.ok(held > 0 && held < surfaceBytes(shape), `${held} bytes of distances, told ${surfaceBytes(shape)}`)
  }
})

t.test('noise beyond what is claimed is refused with numbers', async t => {
  const shape: Shape3 = [512, 512, 33]
  const noise = maskWhere(shape, (x, y, z) => (x + y + z) % 2 === 0)
  await t.rejects(between(noise, noise, shape, [1, 1, 1]), {
    code: 'ERR_VOLUME',
    message: /at most 4194304 surface voxels in 512 x 512 x 33, found 4325376.*"surface": false/,
  })
})
