import t from 'tap'
import { maskOf } from '../../imaging/mask.ts'
import { rng } from '../../pipeline/random.ts'
import type { Mask, PlaneRuns } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { lesionMetrics, matchingBytes, matchLesions, type LesionMatches } from '../../report/lesion-matching.ts'
import { mostAlive } from '../support/alive.ts'
import { flood } from '../support/flood.ts'

const pause = async (): Promise<void> => {}
const options = { classes: 2, minVoxels: 1, iou: 0.1, pause }

/** From voxels, by a flood and a table of all pairs. */
function byVoxels(
  shape: Shape3,
  prediction: Uint8Array,
  reference: Uint8Array,
  { value, minVoxels, iou }: { value: number; minVoxels: number; iou: number },
): LesionMatches {
  const lesionsOf = (voxels: Uint8Array): Set<number>[] =>
    flood(
      shape,
      voxels.map(each => (each === value ? 1 : 0)),
      26,
    )
      .filter(({ length }) => length >= minVoxels)
      .map(component => new Set(component))
      .toSorted((a, b) => Math.min(...a) - Math.min(...b))
  const [wanted, found] = [lesionsOf(reference), lesionsOf(prediction)]
  const shared = wanted.map(a => found.map(b => [...a].filter(voxel => b.has(voxel)).length))
  const candidates = wanted.flatMap((a, i) =>
    found.map((b, j) => ({ i, j, iou: shared[i]![j]! / (a.size + b.size - shared[i]![j]!) })),
  )
  const taken = { i: new Set<number>(), j: new Set<number>() }
  // A stable sort: of equal ones the first in the file.
  for (const { i, j } of candidates.filter(each => each.iou >= iou).toSorted((a, b) => b.iou - a.iou)) {
    if (taken.i.has(i) || taken.j.has(j)) continue
    taken.i.add(i)
    taken.j.add(j)
  }
  return {
    reference: wanted.length,
    predicted: found.length,
    referenceMet: shared.filter(row => row.some(voxels => voxels > 0)).length,
    predictedMet: found.filter((_, j) => shared.some(row => row[j]! > 0)).length,
    pairs: taken.i.size,
  }
}

t.test('matches are those of the voxels, for every shape, density, size and number of classes', async t => {
  const draws = rng(17, 0, 0, 'lesion matching')
  let pairs = 0
  for (let n = 0; n < 120; n++) {
    const shape = [0, 1, 2].map(() => 1 + draws.integer(9)) as unknown as Shape3
    const classes = 2 + draws.integer(2)
    const density = [0.03, 0.1, 0.2, 0.5][n % 4]!
    const voxels = shape[0] * shape[1] * shape[2]
    const reference = new Uint8Array(voxels)
    for (let i = 0; i < voxels; i++) if (draws.uniform() < density) reference[i] = 1 + draws.integer(classes - 1)
    // Much like it, so that lesions match, in part.
    const prediction = reference.map(each =>
      draws.uniform() < 0.2 ? (draws.uniform() < density ? 1 + draws.integer(classes - 1) : 0) : each,
    )
    const how = { minVoxels: 1 + draws.integer(4), iou: [0.01, 0.1, 0.5, 0.9][draws.integer(4)]! }
    const found = await matchLesions(maskOf(shape, prediction), maskOf(shape, reference), { classes, ...how, pause })
    for (let value = 1; value < classes; value++) {
      const expected = byVoxels(shape, prediction, reference, { value, ...how })
      t.same(found[value], expected, `${shape.join('x')} ${density} ${JSON.stringify(how)} class ${value}`)
      pairs += expected.pairs
    }
  }
  t.ok(pairs > 100, `${pairs} pairs in all`)
})

const row = (...values: number[]): Mask => maskOf([values.length, 1, 1], Uint8Array.from(values))

t.test('several lesions that meet one are all found, but only one of them is its pair', async t => {
  const [, found] = await matchLesions(row(1, 1, 1, 1, 1, 1, 0, 1), row(1, 1, 0, 1, 1, 1, 0, 0), options)
  t.same(found, { reference: 2, predicted: 2, referenceMet: 2, predictedMet: 1, pairs: 1 })
  const metrics = lesionMetrics(found!, 'strict')
  t.match(metrics, { lesions: 2, predictedLesions: 2, lesionSensitivity: 1, lesionPrecision: 0.5, lesionF1: 2 / 3 })
  t.match(metrics, { lesionSensitivityIou: 0.5, lesionPrecisionIou: 0.5, lesionF1Iou: 0.5 })
})

t.test('the highest IoU is taken first, and a threshold that is just reached counts', async t => {
  // The first lesion of the reference shares 1 of 5 with the mask's, the second 3 of 5.
  const [prediction, reference] = [row(0, 0, 1, 1, 1, 1, 1), row(1, 1, 1, 0, 1, 1, 1)]
  t.match((await matchLesions(prediction, reference, { ...options, iou: 0.6 }))[1], { pairs: 1, referenceMet: 2 })
  t.match((await matchLesions(prediction, reference, { ...options, iou: 0.61 }))[1], { pairs: 0, referenceMet: 2 })
})

t.test('lesions that touch by a corner are one', async t => {
  const shape: Shape3 = [2, 2, 2]
  const corners = maskOf(shape, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1))
  t.match((await matchLesions(corners, corners, { ...options, minVoxels: 2 }))[1], { reference: 1, pairs: 1 })
})

/** So many lesions, none of which meet. */
const of = (reference: number, predicted: number): LesionMatches => ({
  reference,
  predicted,
  referenceMet: 0,
  predictedMet: 0,
  pairs: 0,
})

t.test('shares without lesions follow the rule, and the strict one is never undefined', t => {
  const shares = (matches: LesionMatches, rule: 'strict' | 'monai'): unknown => {
    const { lesionSensitivity, lesionPrecision, lesionF1, ...others } = lesionMetrics(matches, rule)
    t.same(
      [others['lesionSensitivityIou'], others['lesionPrecisionIou'], others['lesionF1Iou']],
      [lesionSensitivity, lesionPrecision, lesionF1],
    )
    return [lesionSensitivity, lesionPrecision, lesionF1]
  }
  t.same(shares(of(0, 0), 'strict'), [1, 1, 1])
  t.same(shares(of(0, 2), 'strict'), [0, 0, 0])
  t.same(shares(of(2, 0), 'strict'), [0, 0, 0])
  t.same(shares(of(2, 2), 'strict'), [0, 0, 0])
  t.same(shares(of(0, 0), 'monai'), [null, null, null])
  t.same(shares(of(0, 2), 'monai'), [null, 0, null])
  t.same(shares(of(2, 0), 'monai'), [0, null, 0])
  t.end()
})

/** Single voxels two apart, in every plane that has an even number. */
function lattice(shape: Shape3): Mask {
  const [nx, ny] = shape
  const from: number[] = []
  for (let y = 0; y < ny; y += 2) for (let x = 0; x < nx; x += 2) from.push(y * nx + x)
  const runs: PlaneRuns = {
    from: Uint32Array.from(from),
    to: Uint32Array.from(from, at => at + 1),
    value: new Uint8Array(from.length).fill(1),
  }
  const nothing: PlaneRuns = { from: new Uint32Array(0), to: new Uint32Array(0), value: new Uint8Array(0) }
  return { shape, plane: () => new Uint8Array(0), runs: z => (z % 2 === 0 ? runs : nothing) }
}

t.test('noise is refused once it takes more memory than any lesions would', async t => {
  const noise = lattice([256, 256, 34])
  await t.rejects(matchLesions(noise, noise, options), {
    code: 'ERR_LABEL',
    message: /falls into more than 262144 lesions of at least 1 voxels.*"minVoxels"/,
  })
  t.match((await matchLesions(noise, noise, { ...options, minVoxels: 2 }))[1], { reference: 0, pairs: 0 })
})

/** In every second plane lines along x, or along y, that do not touch. */
function lines(shape: Shape3, axis: 'x' | 'y'): Mask {
  const [nx, ny] = shape
  const runs: PlaneRuns =
    axis === 'x' ? runsAt(ny / 2, i => [2 * i * nx, 2 * i * nx + nx]) : runsAt((nx / 2) * ny, i => [2 * i, 2 * i + 1])
  return { shape, plane: () => new Uint8Array(0), runs: z => (z % 2 === 0 ? runs : runsAt(0, () => [0, 0])) }
}

function runsAt(count: number, at: (i: number) => [from: number, to: number]): PlaneRuns {
  const ends = Array.from({ length: count }, (_, i) => at(i))
  return {
    from: Uint32Array.from(ends, ([from]) => from),
    to: Uint32Array.from(ends, ([, to]) => to),
    value: new Uint8Array(count).fill(1),
  }
}

/** 64 and 64 lines in each of `planes` planes make 4096 pairs, all of which have ended with it. */
function matchLines(planes: number): Promise<LesionMatches[]> {
  const shape: Shape3 = [128, 128, 2 * planes]
  return matchLesions(lines(shape, 'x'), lines(shape, 'y'), { ...options, iou: 0.001 })
}

t.test('so are few lesions of which each meets very many, plane after plane', async t => {
  t.match((await matchLines(64))[1], { reference: 64 * 64, predicted: 64 * 64, pairs: 64 * 64 })
  await t.rejects(matchLines(65), {
    code: 'ERR_LABEL',
    message: /the mask with its reference falls into more than 262144/,
  })
})

t.test('typed arrays stay within what is planned', async t => {
  const shape: Shape3 = [256, 256, 4]
  const noise = lattice(shape)
  const most = await mostAlive(async () => void (await matchLesions(noise, noise, options)), 1 << 17)
  t.ok(most > 0 && most <= matchingBytes(shape, 2), `${most} of ${matchingBytes(shape, 2)}`)
})
