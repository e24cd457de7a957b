import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openNifti } from '../../imaging/nifti-read.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { materialise, voxelCount } from '../../imaging/volume.ts'
import type { Case, Shape3 } from '../../pipeline/stage.ts'
import { apply } from '../../imaging/affine.ts'
import { viewerCases } from '../../stages/viewer-cases.ts'
import { gridOf } from '../support/nifti.ts'
import { contextOf } from '../support/stage.ts'
import type { ViewerCase } from '../../report/page/page.ts'

const folder = t.testdir({})

/** Files of a case: a ramp as scan, two boxes as masks. */
async function caseOf(
  id: string,
  shape: Shape3,
  boxes: { from: number; to: number }[],
  spacing = [2, 2, 5],
): Promise<Case> {
  const grid = gridOf(shape, spacing, [-30, -40, 10])
  const [nx, ny, nz] = shape
  const at = (value: (x: number, y: number, z: number) => number): number[] =>
    Array.from({ length: nx * ny * nz }, (_, i) => value(i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))))
  const path = (name: string): string => join(folder, `${id}-${name}.nii.gz`)
  await writeNifti(path('image'), { grid, voxels: Int16Array.from(at((x, y, z) => 10 * x + y + 100 * z - 500)) })
  for (const [i, name] of (['label', 'prediction'] as const).entries()) {
    const { from, to } = boxes[i]!
    const isIn = (n: number): boolean => n >= from && n < to
    await writeNifti(path(name), {
      grid,
      voxels: Uint8Array.from(at((x, y, z) => Number(isIn(x) && isIn(y) && z === 6))),
    })
  }
  return { id, index: 0, image: path('image'), label: path('label'), prediction: path('prediction') }
}

async function all(cases: readonly Case[], notes: string[] = []): Promise<ViewerCase[]> {
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

t.test('cut out around both masks, in their place in the world', async t => {
  const [found] = await all([
    await caseOf(
      'small',
      [60, 50, 20],
      [
        { from: 20, to: 24 },
        { from: 22, to: 30 },
      ],
    ),
  ])
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
  t.equal(
    reference.voxels.reduce((sum, value) => sum + value, 0),
    16,
  )
  t.equal(
    prediction.voxels.reduce((sum, value) => sum + value, 0),
    64,
  )
})

t.test('what is large is made coarser, so that the page stays small', async t => {
  const [found] = await all([
    await caseOf(
      'large',
      [220, 220, 60],
      [
        { from: 2, to: 30 },
        { from: 2, to: 218 },
      ],
      [1, 1, 0.5],
    ),
  ])
  const scan = await read(found!.scan)
  t.ok(voxelCount(scan) <= 2_100_000, scan.shape.join(' x '))
  t.ok(voxelCount(scan) > 1_500_000)
  const extent = apply(scan.affine, scan.shape[0], 0, 0)[0] - apply(scan.affine, 0, 0, 0)[0]
  t.ok(Math.abs(extent - 220) < 2, 'the whole of it')
})

t.test('two empty masks give the whole scan', async t => {
  const [found] = await all([
    await caseOf(
      'empty',
      [12, 10, 8],
      [
        { from: 0, to: 0 },
        { from: 0, to: 0 },
      ],
    ),
  ])
  t.same((await read(found!.scan)).shape, [12, 10, 8])
})

t.test('a case without a mask, or on two grids, is left out with a word', async t => {
  const boxes = [
    { from: 2, to: 4 },
    { from: 2, to: 4 },
  ]
  const [good, other] = [await caseOf('good', [12, 10, 8], boxes), await caseOf('other', [12, 10, 9], boxes)]
  const { prediction: _, ...without } = good
  const notes: string[] = []
  const found = await all([without, { ...good, prediction: other.prediction! }, good], notes)
  t.same(
    found.map(each => each.case),
    ['good'],
  )
  t.match(notes, [/found no prediction/, /expected the grid of/])
})

t.test("the run's end stops it", async t => {
  const end = new AbortController()
  end.abort()
  const cases = [
    await caseOf(
      'stopped',
      [12, 10, 8],
      [
        { from: 2, to: 4 },
        { from: 2, to: 4 },
      ],
    ),
  ]
  const work = (async () => {
    for await (const _ of viewerCases(cases, contextOf({ signal: end.signal }))) t.fail('a case')
  })()
  await t.rejects(work, { code: 'ERR_INTERRUPTED' })
})
