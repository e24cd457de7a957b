import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decode } from 'fast-png'
import t from 'tap'
import { multiply } from '../../imaging/affine.ts'
import { maskOf, type OwnedMask } from '../../imaging/mask.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { openLedger } from '../../pipeline/ledger.ts'
import type { KeptSlices, KeySlices } from '../../pipeline/flow.ts'
import type { Grid } from '../../pipeline/grid.ts'
import type { Picture } from '../../report/page/page.ts'
import { picturesOf, type Chosen } from '../../stages/gallery.ts'
import { gridOf } from '../support/nifti.ts'
import { contextOf } from '../support/stage.ts'

const grid = gridOf([32, 28, 10], [5, 5, 6], [-80, 20, 4])
const [nx, ny, nz] = grid.shape
const folder = t.testdir({ 'broken.nii.gz': 'this is no scan' })

/** Brighter plane by plane. */
const voxels = Int16Array.from({ length: nx * ny * nz }, (_, at) => -900 + 100 * Math.floor(at / (nx * ny)))
const mask = (from: number, to: number): OwnedMask =>
  maskOf(
    grid.shape,
    Uint8Array.from(voxels, (_, at) => {
      const [x, z] = [at % nx, Math.floor(at / (nx * ny))]
      return Number(x >= from && x < to && z >= 2 && z < 8)
    }),
  )
const [reference, prediction] = [mask(8, 20), mask(10, 22)]

const keptAs = (slices: KeySlices): KeptSlices => ({ grid: slices.grid, bytes: 500, read: async () => slices })

const chosen = (image: string | undefined, planes: readonly number[], on: Grid = grid): Chosen => ({
  case: { id: 'a/case', index: 0, ...(image === undefined ? {} : { image }) },
  why: 'worst',
  slices: keptAs({
    grid: on,
    planes: planes.map(z => ({ z, reference: reference.runs(z), prediction: prediction.runs(z) })),
  }),
  caption: 'Dice 0.8.',
})

async function all(pictures: AsyncIterable<Picture>): Promise<Picture[]> {
  const found: Picture[] = []
  for await (const picture of pictures) found.push(picture)
  return found
}

/** The grey in a corner, where no outline is. */
const corner = ({ png }: Picture): number => decode(png).data[0]!

for (const name of ['scan.nii', 'scan.nii.gz']) await writeNifti(join(folder, name), { grid, voxels })

t.test('pictures of the wanted planes, with captions and words for those who cannot see', async t => {
  for (const name of ['scan.nii', 'scan.nii.gz']) {
    const notes: string[] = []
    const pictures = await all(
      picturesOf([chosen(join(folder, name), [3, 6])], contextOf({ note: text => notes.push(text) })),
    )
    t.equal(pictures.length, 2)
    t.same(
      pictures.map(corner),
      [-600, -300].map(hu => Math.round((255 * (hu + 1000)) / 1500)),
    )
    t.equal(pictures[0]!.caption, 'Dice 0.8. Planes 4 and 7 of 10.')
    t.equal(pictures[0]!.alt, 'Axial plane 4 of 10 of a/case: reference 84.0 cm², mask 84.0 cm²')
    t.same(notes, [])
  }
})

t.test('where both masks are empty, the middle plane', async t => {
  const [picture] = await all(picturesOf([chosen(join(folder, 'scan.nii.gz'), [])], contextOf()))
  t.match(picture!.alt, 'plane 6 of 10')
  t.match(picture!.alt, 'reference nothing, mask nothing')
})

t.test('of many planes the fullest, in their order', async t => {
  const some = chosen(undefined, [2, 3, 4, 5])
  const empty = { from: new Uint32Array(0), to: new Uint32Array(0), value: new Uint8Array(0) }
  const planes = (await some.slices.read()).planes.map((plane, i) => (i === 1 ? { ...plane, reference: empty } : plane))
  const pictures = await all(picturesOf([{ ...some, slices: keptAs({ grid, planes }) }], contextOf()))
  t.match(pictures[0]!.caption, 'Planes 3, 5 and 6 of 10')
})

t.test('a scan that cannot be had gives a picture without it, which says so', async t => {
  const moved = { shape: grid.shape, affine: grid.affine.with(3, 900) }
  const trials = [
    [chosen(undefined, [3]), 'the data set lists none'],
    [chosen(join(folder, 'nowhere.nii'), [3]), 'it could not be read'],
    [chosen(join(folder, 'broken.nii.gz'), [3]), 'it could not be read'],
    [chosen(join(folder, 'scan.nii'), [3], moved), 'it lies elsewhere than the mask'],
  ] as const
  for (const [each, reason] of trials) {
    const [picture] = await all(picturesOf([each], contextOf()))
    t.match(picture!.caption, new RegExp(`^Dice 0.8. Plane 4 of 10, without the scan: (${reason})`))
    t.match(picture!.alt, 'outlines only')
    t.equal(corner(picture!), 24)
  }
})

t.test('a scan on another grid is shown as the stages saw it', async t => {
  // Every second voxel, from the second one on.
  const coarse: Grid = {
    shape: [15, 13, 4],
    affine: multiply(grid.affine, [2, 0, 0, 1, 0, 2, 0, 1, 0, 0, 2, 1, 0, 0, 0, 1]),
  }
  const [picture] = await all(picturesOf([chosen(join(folder, 'scan.nii.gz'), [1], coarse)], contextOf()))
  t.match(picture!.caption, /Plane 2 of 4\.$/)
  t.notMatch(picture!.alt, 'outlines only')
  t.not(corner(picture!), 24, 'the scan is there')
})

t.test('a scan that ends early fails nothing', async t => {
  const path = join(folder, 'short.nii.gz')
  const { readFileSync } = await import('node:fs')
  writeFileSync(path, readFileSync(join(folder, 'scan.nii.gz')).subarray(0, 200))
  const notes: string[] = []
  const [picture] = await all(picturesOf([chosen(path, [7])], contextOf({ note: text => notes.push(text) })))
  t.match(picture!.caption, 'without the scan')
  t.match(notes[0], /short\.nii\.gz/)
})

t.test('memory is claimed and given back; one that is too small costs the scan only', async t => {
  const ledger = openLedger(1000)
  const [picture] = await all(picturesOf([chosen(join(folder, 'scan.nii.gz'), [3])], contextOf({ ledger })))
  t.match(picture!.caption, 'too large for the memory')
  const large = openLedger(2 ** 28)
  await all(picturesOf([chosen(join(folder, 'scan.nii.gz'), [3])], contextOf({ ledger: large })))
  const claim = await large.claim('all of it', 2 ** 28)
  t.equal(claim.bytes, 2 ** 28)
  claim.release()
})

t.test('planes of one case are read at a time, under a claim', async t => {
  const ledger = openLedger(2 ** 28)
  const live: number[] = []
  const from = (each: Chosen): Chosen => ({
    ...each,
    slices: {
      grid,
      bytes: 2 ** 20,
      read() {
        live.push(ledger.report().liveBytes)
        return each.slices.read()
      },
    },
  })
  const cases = [chosen(undefined, [3]), chosen(join(folder, 'scan.nii'), [4])].map(from)
  const pictures = picturesOf(cases, contextOf({ ledger }))
  await pictures.next()
  t.same(live, [2 ** 20], 'those of the second are not read before they are wanted')
  t.equal((await all(pictures)).length, 1)
  t.ok(live[1]! > 2 ** 20 && live[1]! < 2 ** 21 + 2 ** 20, `${live[1]} bytes with the scan, and without the first case`)
  t.equal(ledger.report().liveBytes, 0)
})

t.test("the run's end stops it", async t => {
  const end = new AbortController()
  end.abort()
  const pictures = all(picturesOf([chosen(join(folder, 'scan.nii.gz'), [3])], contextOf({ signal: end.signal })))
  await t.rejects(pictures, { code: 'ERR_INTERRUPTED' })
})
