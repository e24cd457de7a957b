import { decode } from 'fast-png'
import t from 'tap'
import { maskOf } from '../../imaging/mask.ts'
import type { PlaneRuns } from '../../pipeline/flow.ts'
import type { Grid } from '../../pipeline/grid.ts'
import { sliceColours, slicePicture } from '../../report/slice-picture.ts'
import { gridOf } from '../support/nifti.ts'

/** Runs of a plane of a grid. */
const runsOf = ({ shape: [nx, ny] }: Grid, isSet: (x: number, y: number) => boolean): PlaneRuns =>
  maskOf(
    [nx, ny, 1],
    Uint8Array.from({ length: nx * ny }, (_, at) => Number(isSet(at % nx, Math.floor(at / nx)))),
  ).runs(0)

const planeOf = ({ shape: [nx, ny] }: Grid, value: (x: number, y: number) => number): Float32Array =>
  Float32Array.from({ length: nx * ny }, (_, at) => value(at % nx, Math.floor(at / nx)))

const nowhere = (): boolean => false

function pixelsOf(picture: ReturnType<typeof slicePicture>): {
  width: number
  height: number
  at: (u: number, v: number) => number[]
} {
  const { width, height, data } = decode(picture.png)
  t.same([width, height], [picture.width, picture.height])
  return { width, height, at: (u, v) => [...data.subarray(3 * (v * width + u), 3 * (v * width + u) + 3)] }
}

const count = ({ width, height, at }: ReturnType<typeof pixelsOf>, colour: readonly number[]): number => {
  let found = 0
  for (let v = 0; v < height; v++) for (let u = 0; u < width; u++) if (String(at(u, v)) === String(colour)) found++
  return found
}

t.test('pixels are square in mm, the right is left, in front is up; a window is applied', t => {
  // RAS+: bright where the patient's right front is.
  const grid = gridOf([40, 30, 5], [2, 4, 3])
  const picture = slicePicture({
    grid: { ...grid, affine: grid.affine },
    z: 2,
    plane: planeOf(grid, (x, y) => (x >= 20 && y >= 15 ? 500 : -1000)),
    reference: runsOf(grid, nowhere),
    prediction: runsOf(grid, nowhere),
  })
  const pixels = pixelsOf(picture)
  t.same([pixels.width, pixels.height], [256, 384], '80 x 120 mm')
  t.same(pixels.at(5, 5), [255, 255, 255])
  t.same(pixels.at(250, 5), [0, 0, 0])
  t.same(pixels.at(5, 380), [0, 0, 0])
  t.equal(picture.view, 'axial')
  t.end()
})

const slope = (x: number, y: number): number => x * 20 + y * 7 - 900

const isLesion = (x: number, y: number): boolean => x > 5 && x < 14 && y > 20 && y < 26

t.test('the picture is the same whichever way the axes run', t => {
  const grid = gridOf([40, 30, 5], [2, 3, 3])
  const [nx, ny] = grid.shape
  const flipped: Grid = {
    shape: grid.shape,
    affine: [-2, 0, 0, 2 * (nx - 1), 0, -3, 0, 3 * (ny - 1), 0, 0, 3, 0, 0, 0, 0, 1],
  }
  const make = (grid: Grid, place: (x: number, y: number) => [number, number]): Uint8Array =>
    slicePicture({
      grid,
      z: 1,
      plane: planeOf(grid, (x, y) => slope(...place(x, y))),
      reference: runsOf(grid, (x, y) => isLesion(...place(x, y))),
      prediction: runsOf(grid, (x, y) => isLesion(...place(x + 1, y))),
    }).png
  t.same(
    decode(make(grid, (x, y) => [x, y])).data,
    decode(
      slicePicture({
        grid: flipped,
        z: 1,
        plane: planeOf(flipped, (x, y) => slope(nx - 1 - x, ny - 1 - y)),
        reference: runsOf(flipped, (x, y) => isLesion(nx - 1 - x, ny - 1 - y)),
        prediction: runsOf(flipped, (x, y) => isLesion(nx - x, ny - 1 - y)),
      }).png,
    ).data,
  )
  t.end()
})

const isRound = (x: number, y: number): boolean => Math.hypot(x - 60, y - 140) < 20

t.test('the reference is solid, the mask dashed, and both are seen where they agree', t => {
  const grid = gridOf([200, 200, 5], [1, 1, 3])
  const [reference, prediction] = [runsOf(grid, isRound), runsOf(grid, isRound)]
  const none = runsOf(grid, nowhere)
  const counts = (reference: PlaneRuns, prediction: PlaneRuns): [number, number] => {
    const pixels = pixelsOf(slicePicture({ grid, z: 0, reference, prediction }))
    return [count(pixels, sliceColours.reference), count(pixels, sliceColours.prediction)]
  }
  const [solid, noDashes] = counts(reference, none)
  const [noSolid, dashed] = counts(none, prediction)
  t.same([noDashes, noSolid], [0, 0])
  t.ok(dashed > 0.5 * solid && dashed < 0.75 * solid, `${dashed} of ${solid}`)
  const [under, over] = counts(reference, prediction)
  t.equal(over, dashed)
  t.equal(under + over, solid)
  t.end()
})

t.test('the field is cut out around the lesions, inside the plane, and never tiny', t => {
  const grid = gridOf([400, 400, 5], [1, 1, 3])
  const corner = runsOf(grid, (x, y) => x < 3 && y < 3)
  // The ground is all that is not outline: the picture shows 140 mm, so a voxel has 384 / 140 pixels.
  const pixels = pixelsOf(slicePicture({ grid, z: 0, reference: corner, prediction: runsOf(grid, nowhere) }))
  t.same([pixels.width, pixels.height], [384, 384])
  // Low x and y are the patient's left and back: at the lower right.
  t.same(pixels.at(375, 383), sliceColours.reference)
  t.same(pixels.at(5, 5), [24, 24, 24])
  const wide = runsOf(grid, (_x, y) => y === 200)
  const all = slicePicture({ grid, z: 0, reference: wide, prediction: corner })
  t.equal(all.width, 384)
  t.end()
})

t.test('voxels that are no numbers are black', t => {
  const grid = gridOf([8, 8, 1])
  const nowhereRuns = runsOf(grid, nowhere)
  const pixels = pixelsOf(
    slicePicture({ grid, z: 0, plane: planeOf(grid, () => NaN), reference: nowhereRuns, prediction: nowhereRuns }),
  )
  t.same(pixels.at(100, 100), [0, 0, 0])
  t.end()
})
