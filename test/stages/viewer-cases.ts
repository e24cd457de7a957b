import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { apply } from '../../imaging/affine.ts'
import { maskOf } from '../../imaging/mask.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { materialise, voxelCount } from '../../imaging/volume.ts'
import { PipelineError } from '../../pipeline/errors.ts'
import type { Mask } from '../../pipeline/flow.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import type { ViewerCase } from '../../report/page/page.ts'
import { viewerCases, type Viewed } from '../../stages/viewer-cases.ts'
import { gridOf } from '../support/nifti.ts'
import { contextOf } from '../support/stage.ts'

const folder = t.testdir({})

/** Voxels from `from` up to `to` along x and y, in plane 6. */
type Square = { readonly from: number; readonly to: number }

/** A case with a ramp as scan and two squares as masks. */
async function caseOf(
  id: string,
  shape: Shape3,
  [reference, prediction]: readonly [Square, Square],
  spacing = [2, 2, 5],
): Promise<Viewed> {
  const grid = gridOf(shape, spacing, [-30, -40, 10])
  const [nx, ny, nz] = shape
  const at = (value: (x: number, y: number, z: number) => number): number[] =>
    Array.from({ length: nx * ny * nz }, (_, i) => value(i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))))
  const image = join(folder, `${id}.nii.gz`)
  await writeNifti(image, { grid, voxels: Int16Array.from(at((x, y, z) => 10 * x + y + 100 * z - 500)) })
  const mask = ({ from, to }: Square): Mask => {
    const isIn = (n: number): boolean => n >= from && n < to
    return maskOf(shape, Uint8Array.from(at((x, y, z) => Number(isIn(x) && isIn(y) && z === 6))))
  }
  return {
    case: { id, index: 0, image },
    masks: { grid, reference: mask(reference), prediction: mask(prediction) },
  }
}

async function all(cases: readonly Viewed[], notes: string[] = []): Promise<ViewerCase[]> {
  const found: ViewerCase[] = []
  for await (const each of viewerCases(cases, contextOf({ note: text => notes.push(text) }))) found.push(each)
  return found
}

/** What a viewer reads of a file. */
async function read(bytes: Uint8Array): Promise<{ shape: Shape3; affine: readonly number[]; voxels: Float32Array }> {
  const path = join(folder, 'read.nii.gz')
  writeFileSync(path, bytes)
  const { grid, volume } = await openNifti(path)
  return { ...grid, voxels: await materialise(volume) }
}

function sum(voxels: Float32Array): number {
  return voxels.reduce((total, value) => total + value, 0)
}

const [square, nothing]: Square[] = [
  { from: 2, to: 4 },
  { from: 0, to: 0 },
]

t.test('cut out around both masks, in their place in the world', async t => {
  const squares = [
    { from: 20, to: 24 },
    { from: 22, to: 30 },
  ] as const
  const [found] = await all([await caseOf('small', [60, 50, 20], squares)])
  const [scan, reference, prediction] = [
    await read(found!.scan),
    await read(found!.reference),
    await read(found!.prediction),
  ]
  // 15 mm around 20 to 29, and around plane 6.
  t.same(scan.shape, [26, 26, 7])
  for (const other of [reference, prediction]) t.same([other.shape, other.affine], [scan.shape, scan.affine])
  t.same(apply(scan.affine, 0, 0, 0), [-30 + 2 * 12, -40 + 2 * 12, 10 + 5 * 3])
  t.equal(scan.voxels[0], 10 * 12 + 12 + 300 - 500)
  t.equal(sum(reference.voxels), 16)
  t.equal(sum(prediction.voxels), 64)
  const first = 3 * 26 * 26 + 8 * 26 + 8
  t.same([reference.voxels[first - 1], reference.voxels[first]], [0, 1], 'where it was')
})

t.test('what is large is made coarser, so that the page stays small', async t => {
  const squares = [
    { from: 2, to: 30 },
    { from: 2, to: 218 },
  ] as const
  const [found] = await all([await caseOf('large', [220, 220, 60], squares, [1, 1, 0.5])])
  const scan = await read(found!.scan)
  t.ok(voxelCount(scan) <= 2_100_000, scan.shape.join(' x '))
  t.ok(voxelCount(scan) > 1_500_000)
  const extent = apply(scan.affine, scan.shape[0], 0, 0)[0] - apply(scan.affine, 0, 0, 0)[0]
  t.ok(Math.abs(extent - 220) < 2, 'the whole of it')
  const prediction = await read(found!.prediction)
  t.same(prediction.shape, scan.shape)
  const coarser = 220 / scan.shape[0]
  t.ok(Math.abs(sum(prediction.voxels) / (216 / coarser) ** 2 - 1) < 0.03, 'one plane of it, without holes')
})

t.test('on a coarser grid no lesion is lost, be it a single voxel', async t => {
  const shape: Shape3 = [400, 400, 60]
  const { masks, ...rest } = await caseOf('specks', shape, [nothing!, nothing!], [1, 1, 0.5])
  // Single voxels, farther from each other than a coarser one is wide, and the first and last of all.
  const voxels = new Uint8Array(400 * 400 * 60)
  const at: Shape3[] = [[0, 0, 0], ...specks, [399, 399, 59]]
  for (const [x, y, z] of at) voxels[(z * 400 + y) * 400 + x] = 1
  const [found] = await all([{ ...rest, masks: { ...masks, reference: maskOf(shape, voxels) } }])
  const reference = await read(found!.reference)
  t.ok(voxelCount(reference) < 2_200_000, 'coarser')
  t.equal(sum(reference.voxels), at.length)
})

const specks = Array.from({ length: 80 }, (_, n): Shape3 => [7 + 13 * (n % 30), 11 + 9 * ((7 * n) % 41), 5 + (n % 50)])

t.test('two empty masks give the whole scan', async t => {
  const [found] = await all([await caseOf('empty', [12, 10, 8], [nothing!, nothing!])])
  t.same((await read(found!.scan)).shape, [12, 10, 8])
})

t.test('a case without a scan, or with one on another grid, is left out with a word', async t => {
  const good = await caseOf('good', [12, 10, 8], [square!, square!])
  const other = await caseOf('other', [12, 10, 9], [square!, square!])
  const notes: string[] = []
  const found = await all([{ ...good, case: { id: 'a', index: 0 } }, { ...good, case: other.case }, good], notes)
  t.same(
    found.map(each => each.case),
    ['good'],
  )
  t.match(notes, [/a: not in the viewer: .* found none/, /expected the grid of/])
})

t.test("the run's end stops it, and so do masks that can no longer be read", async t => {
  const end = new AbortController()
  end.abort()
  const found = await caseOf('stopped', [12, 10, 8], [square!, square!])
  await t.rejects(viewerCases([found], contextOf({ signal: end.signal })).next(), { code: 'ERR_INTERRUPTED' })
  const lost: Mask = {
    ...found.masks.reference,
    runs() {
      throw new PipelineError('ERR_OUTPUT', 'the disk is gone')
    },
  }
  const masks = { ...found.masks, reference: lost }
  await t.rejects(viewerCases([{ ...found, masks }], contextOf()).next(), { code: 'ERR_OUTPUT' })
})
