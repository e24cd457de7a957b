import highland from 'highland'
import t from 'tap'
import { minimumVoxels } from '../../imaging/components.ts'
import { MaskBuilder, maskOf, maskVoxels, type OwnedMask } from '../../imaging/mask.ts'
import { planResident } from '../../imaging/volume-plan.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import type { Claim } from '../../pipeline/claims.ts'
import type { Item, Mask, Prediction } from '../../pipeline/flow.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import type { Plan } from '../../pipeline/planned.ts'
import type { Context } from '../../pipeline/stage.ts'
import { postprocess } from '../../stages/postprocess.ts'
import { mostAlive } from '../support/alive.ts'
import { contextOf, nothingBefore, optionsFrom } from '../support/stage.ts'

const voxel = [0.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, -3, 0, 0, 0, 0, 1]

async function tidied(
  json: object,
  {
    shape = [12, 1, 1],
    voxels,
    classes = 2,
    claim,
  }: Partial<Grid> & {
    voxels: readonly number[]
    classes?: number
    claim?: Claim
  },
  context: Partial<Context> = {},
): Promise<Prediction> {
  const prediction: Prediction = {
    case: { id: 'case', index: 0, image: '/scans/case.nii.gz' },
    grid: { shape, affine: voxel },
    mask: maskOf(shape, Uint8Array.from(voxels)),
    classes,
    windows: 1,
    seconds: 1,
    files: ['masks/case.probabilities.nii.gz'],
    ...(claim && { claim }),
  }
  const options = optionsFrom(postprocess, { kind: 'postprocess', ...json })
  const transform = postprocess.create(options, contextOf(context), nothingBefore)
  const [made] = await transform(highland<Item>([prediction]))
    .collect()
    .toPromise(Promise)
  return made as Prediction
}

const voxelsOf = async (...given: Parameters<typeof tidied>): Promise<number[]> => [
  ...maskVoxels((await tidied(...given)).mask),
]

t.test('the smallest volume is in mm3, whatever way the axes run', async t => {
  const voxels = [1, 0, 1, 1, 0, 2, 2, 2, 0, 1, 0, 0]
  // A voxel has 3 mm3.
  t.same(await voxelsOf({ minimumMm3: 3 }, { voxels, classes: 3 }), voxels)
  t.same(await voxelsOf({ minimumMm3: 3.1 }, { voxels, classes: 3 }), [0, 0, 1, 1, 0, 2, 2, 2, 0, 0, 0, 0])
  t.same(await voxelsOf({ minimumMm3: 6.1 }, { voxels, classes: 3 }), [0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 0])
  t.same(
    await voxelsOf({ minimumMm3: 100 }, { voxels, classes: 3 }),
    Array.from({ length: 12 }, () => 0),
  )
})

t.test('a volume that float32 spacings miss by a hair is reached', async t => {
  const spacing = Math.fround(0.7)
  t.ok(1000 * spacing ** 3 < 343)
  t.equal(minimumVoxels(343, spacing ** 3), 1000)
  t.equal(minimumVoxels(343.1, spacing ** 3), 1001)
  t.equal(minimumVoxels(undefined, 1), 0)
})

t.test('of each class the largest components are kept', async t => {
  const voxels = [1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 2, 1]
  t.same(await voxelsOf({ keepLargest: 1 }, { voxels, classes: 3 }), [0, 0, 1, 1, 0, 2, 2, 0, 0, 0, 0, 0])
  t.same(await voxelsOf({ keepLargest: 2 }, { voxels, classes: 3 }), [1, 0, 1, 1, 0, 2, 2, 0, 0, 2, 2, 0])
})

/** A cube of class 1 around a voxel of nothing in 5 x 5 x 5, and single voxels in two corners. */
const hollow = Array.from({ length: 125 }, (_, at) => {
  const place = [at % 5, Math.floor(at / 5) % 5, Math.floor(at / 25)]
  if (at === 0 || at === 124) return 1
  return at !== 62 && place.every(i => i >= 1 && i <= 3) ? 1 : 0
})

t.test('holes are filled before sizes count, and the smallest volume before the largest', async t => {
  const at = { shape: [5, 5, 5] as const, voxels: hollow }
  // Corners touch the cube by a corner: with faces alone they are components of their own.
  const filled = hollow.map((value, i) => (i === 0 || i === 124 ? 0 : i === 62 ? 1 : value))
  t.same(await voxelsOf({ fillHoles: true, minimumMm3: 81, connectivity: 6 }, at), filled, '27 voxels, not 26')
  t.same(
    await voxelsOf({ minimumMm3: 81, connectivity: 6 }, at),
    Array.from({ length: 125 }, () => 0),
  )
  t.same(await voxelsOf({ fillHoles: true, keepLargest: 1, connectivity: 6 }, at), filled)
  t.same(
    await voxelsOf({ fillHoles: true }, at),
    hollow.map((value, i) => (i === 62 ? 1 : value)),
  )
  t.same(await voxelsOf({ keepLargest: 1 }, at), hollow, 'with corners all of it is one')
})

t.test('the class that comes later fills over what earlier ones have', async t => {
  const shape = [7, 7, 7] as const
  const nested = Array.from({ length: 343 }, (_, at) => {
    const place = [at % 7, Math.floor(at / 7) % 7, Math.floor(at / 49)]
    const depth = Math.min(...place.map(i => Math.min(i, 6 - i)))
    return [0, 2, 1, 0][depth]!
  })
  t.same(
    await voxelsOf({ fillHoles: true }, { shape, voxels: nested, classes: 3 }),
    nested.map((_, at) => {
      const place = [at % 7, Math.floor(at / 7) % 7, Math.floor(at / 49)]
      return place.every(i => i >= 1 && i <= 5) ? 2 : 0
    }),
  )
})

t.test('everything else of the prediction stays, and the mask goes with its claim', async t => {
  const claim = await openLedger(2 ** 20).claim('case', 1)
  const made = await tidied({ keepLargest: 1 }, { voxels: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], claim })
  t.match(made, { windows: 1, seconds: 1, files: ['masks/case.probabilities.nii.gz'], classes: 2, claim })
  t.same([...made.mask.plane(0)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
  claim.release()
})

t.test('a stage that would do nothing is refused', t => {
  const options = optionsFrom(postprocess, { kind: 'postprocess' })
  t.throws(() => postprocess.create(options, contextOf(), nothingBefore), {
    code: 'ERR_DEFINITION',
    message: /"fillHoles", "minimumMm3" and "keepLargest", found none/,
  })
  for (const wrong of [{ minimumMm3: 0 }, { keepLargest: 0 }, { connectivity: 8 }, { fillHole: true }])
    t.throws(() => optionsFrom(postprocess, { kind: 'postprocess', ...wrong }), JSON.stringify(wrong))
  t.end()
})

t.test('an end of the run ends long work', async t => {
  const plane = Array.from({ length: 256 * 256 }, (_, i) => ((i * 2654435761) % 7) & 1)
  const voxels = Array.from({ length: 40 }, () => plane).flat()
  const json = { keepLargest: 1, connectivity: 6 }
  const work = tidied(json, { shape: [256, 256, 40], voxels }, { signal: AbortSignal.abort() })
  await t.rejects(work, { code: 'ERR_INTERRUPTED' })
})

t.test('no more bytes are alive than planned, and not many less, where every second voxel is a lesion', async t => {
  const shape: Shape3 = [512, 512, 4]
  const scratch = t.testdir({})
  const mask = chessboard(shape, scratch)
  const volumes = { prediction: { ...planResident({ shape, affine: voxel }), access: 'slabs' as const } }
  const before: Plan = { flow: 'prediction', volumes, steps: [], items: 1, resident: 0, bytes: 0 }
  const options = optionsFrom(postprocess, { kind: 'postprocess', fillHoles: true, connectivity: 6 })
  const { bytes } = postprocess.plan!(options, before, { classes: 2 })
  const found = await mostAlive(async () => {
    const transform = postprocess.create(options, contextOf({ scratch }), nothingBefore)
    const [made] = (await transform(highland<Item>([predictionOf(shape, mask)]))
      .collect()
      .toPromise(Promise)) as unknown as [Prediction]
    ;(made.mask as OwnedMask).close()
  }, 1 << 19)
  t.ok(bytes >= found, `planned ${bytes}, alive ${found}`)
  t.ok(bytes <= 3 * found, `near enough: ${(bytes / found).toFixed(2)}`)
  mask.close()
})

t.test('the plan does not grow with the number of planes', t => {
  const bytes = [300, 1200].map(nz => {
    const grid = { shape: [512, 512, nz] as const, affine: voxel }
    const volumes = { prediction: { ...planResident(grid), access: 'slabs' as const } }
    const before: Plan = { flow: 'prediction', volumes, steps: [], items: 1, resident: 5, bytes: 7 }
    const options = optionsFrom(postprocess, { kind: 'postprocess', fillHoles: true, keepLargest: 1 })
    return postprocess.plan!(options, before, { classes: 2 }).bytes
  })
  t.equal(bytes[0], bytes[1], `${bytes[0]! / 2 ** 20} MiB`)
  t.end()
})

function predictionOf(shape: Shape3, mask: Mask): Prediction {
  const grid = { shape, affine: voxel }
  return { case: { id: 'noise', index: 0 }, grid, mask, classes: 2, windows: 1, seconds: 1, files: [] }
}

/** What has the most runs and components. */
function chessboard(shape: Shape3, scratch: string): OwnedMask {
  const builder = new MaskBuilder(shape, scratch)
  const [nx, ny, nz] = shape
  for (let z = 0; z < nz; z++) {
    const plane = new Uint8Array(nx * ny)
    for (let i = 0; i < plane.length; i++) plane[i] = ((i % nx) + Math.floor(i / nx) + z) & 1
    builder.append(plane)
  }
  return builder.finish()
}
