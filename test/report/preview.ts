import { decode } from 'fast-png'
import t from 'tap'
import { maskOf, maskVoxels, type OwnedMask } from '../../imaging/mask.ts'
import { orient } from '../../imaging/orient.ts'
import { materialise, residentVolume } from '../../imaging/volume.ts'
import type { Grid, Shape3, Volume } from '../../pipeline/grid.ts'
import { middleOf, outlineColours, preview, previewBytes } from '../../report/preview.ts'
import { sharedPath } from '../support/shared.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'

const window = [-1000, 1000] as const
const pause = async (): Promise<void> => {}
const red = outlineColours[0]!
const gap = 4

interface Picture {
  readonly width: number
  readonly height: number
  at(x: number, y: number): number[]
}

async function pictureOf(scan: Volume, mask: OwnedMask, place = middleOf(scan.grid)): Promise<Picture> {
  const { width, height, data, channels } = decode(await preview(scan, mask, place, { window }, pause))
  if (channels !== 3) throw new Error(`${channels} channels`)
  return { width, height, at: (x, y) => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)] }
}

const nothing = ({ shape }: Grid): OwnedMask => maskOf(shape, new Uint8Array(shape[0] * shape[1] * shape[2]))
const grey = (hu: number): number[] => Array.from({ length: 3 }, () => Math.round(((hu + 1000) / 2000) * 255))

/** RAS+, 21 x 17 x 9 voxels of 1 x 1 x 2 mm; bright in the octant to the right, in front, at the head. */
const grid = gridOf([21, 17, 9], [1, 1, 2], [-50, 20, -300])
const scan = volumeOf(grid, (x, y, z) => (x > 10 && y > 8 && z > 4 ? 800 : -200))

t.test('right is left, front is up or left, the head is up, and pixels are square', async t => {
  const { width, height, at } = await pictureOf(scan, nothing(grid), [11, 9, 5])
  t.equal(width, 21 + gap + 21 + gap + 17)
  t.equal(height, 18)
  const [light, dark] = [grey(800), grey(-200)]
  t.same(at(0, 0), light, 'axial: right and front')
  t.same(at(9, 7), light)
  t.same(at(10, 0), dark, 'left')
  t.same(at(0, 8), dark, 'back')
  t.same(at(0, 17), [0, 0, 0], 'below a view there is nothing')
  t.same(at(22, 5), [0, 0, 0], 'nor between two of them')
  t.same(at(25, 0), light, 'coronal: right and head')
  t.same(at(34, 6), light)
  t.same(at(35, 0), dark, 'left')
  t.same(at(25, 10), dark, 'feet')
  t.same(at(50, 0), light, 'sagittal: front and head')
  t.same(at(57, 6), light)
  t.same(at(58, 0), dark, 'back')
  t.same(at(50, 10), dark, 'feet')
})

t.test('the picture is the same whichever way the axes of the file run', async t => {
  const lesion = Uint8Array.from({ length: 21 * 17 * 9 }, (_, at) => {
    const [x, y, z] = [at % 21, Math.floor(at / 21) % 17, Math.floor(at / (21 * 17))]
    return Math.abs(x - 15) + Math.abs(y - 4) + Math.abs(z - 6) <= 2 ? 1 : 0
  })
  const wanted = await preview(scan, maskOf(grid.shape, lesion), [15, 4, 6], { window }, pause)
  let count = 0
  for (const order of ['012', '021', '102', '120', '201', '210']) {
    for (let signs = 0; signs < 8; signs++) {
      const codes = [...order].map(axis => ['LR', 'PA', 'IS'][Number(axis)]![(signs >> Number(axis)) & 1]).join('')
      const turned = orient(scan, codes).volume
      const voxels = await materialise(orient(residentVolume(grid, Float32Array.from(lesion)), codes).volume)
      const turnedMask = maskOf(turned.grid.shape, Uint8Array.from(voxels))
      const first = voxels.reduce((sum, value, at) => (value ? [...sum, at] : sum), [] as number[])
      const [nx, ny] = turned.grid.shape
      const mean = (of: (at: number) => number): number => first.reduce((sum, at) => sum + of(at), 0) / first.length
      const place = [mean(at => at % nx), mean(at => Math.floor(at / nx) % ny), mean(at => Math.floor(at / (nx * ny)))]
      const made = await preview(turned, turnedMask, place as never, { window }, pause)
      const [a, b] = [decode(wanted), decode(made)]
      t.ok(Buffer.compare(Buffer.from(a.data.buffer), Buffer.from(b.data.buffer)) === 0, codes)
      count++
    }
  }
  t.equal(count, 48)
})

t.test('a lesion has an outline of one pixel, inside, in the colour of its class', async t => {
  const voxels = new Uint8Array(21 * 17 * 9)
  const box = (value: number, low: Shape3, high: Shape3): void => {
    for (let z = low[2]; z <= high[2]; z++)
      for (let y = low[1]; y <= high[1]; y++)
        for (let x = low[0]; x <= high[0]; x++) voxels[(z * 17 + y) * 21 + x] = value
  }
  box(1, [3, 4, 2], [9, 10, 6])
  box(2, [15, 4, 4], [15, 4, 4])
  const { at } = await pictureOf(scan, maskOf(grid.shape, voxels), [6, 4, 4])
  // Axial: x runs to the left from 20 to 0, y to the back from 16 to 0.
  const pixel = (x: number, y: number): number[] => at(20 - x, 16 - y)
  for (let x = 3; x <= 9; x++) {
    for (let y = 4; y <= 10; y++) {
      const isEdge = x === 3 || x === 9 || y === 4 || y === 10
      t.same(pixel(x, y), isEdge ? red : grey(-200), `${x}, ${y}`)
    }
  }
  t.same(pixel(2, 4), grey(-200), 'nothing outside')
  t.same(pixel(15, 4), outlineColours[1], 'a voxel of class 2')
  // Coronal, plane y = 4, two pixels for each plane: the edge is one pixel all the same.
  const row = (v: number): number[] => at(25 + 20 - 6, v)
  t.same(row(2 * (8 - 6)), red)
  t.same(row(2 * (8 - 6) + 1), grey(-200))
  t.same(row(2 * (8 - 2) + 1), red)
  t.same(row(2 * (8 - 2) + 2), grey(-200))
})

/** Of row v of twelve over three planes, from the head: 3000, 3000 - 3000 / 8, and so on. */
function hu(v: number): number {
  const z = Math.min(2, Math.max(0, (11 - v + 0.5) / 4 - 0.5))
  return (z <= 1 ? -2000 + 2000 * z : 3000 * (z - 1)) + 1
}

t.test('greys between voxels are linear, and end at those of the window', async t => {
  const ramp = volumeOf(gridOf([2, 1, 3], [1, 1, 4]), (x, _y, z) => [-2000, 0, 3000][z]! + x)
  const { at, width, height } = await pictureOf(ramp, nothing(ramp.grid), [0, 0, 0])
  t.same([width, height], [2 + gap + 2 + gap + 1, 12])
  const column = Array.from({ length: 12 }, (_, v) => at(2 + gap, v)[0])
  // The right one of two columns is at the left.
  t.same(
    column,
    Array.from({ length: 12 }, (_, v) => Math.round((255 * (Math.min(1000, Math.max(-1000, hu(v))) + 1000)) / 2000)),
  )
})

t.test('volumes of one voxel, one plane and one column have pictures, and NaN is black', async t => {
  for (const shape of [
    [1, 1, 1],
    [9, 8, 1],
    [1, 9, 30],
    [40, 1, 1],
  ] as Shape3[]) {
    const volume = volumeOf(gridOf(shape, [0.7, 0.7, 5]), () => NaN)
    const mask = maskOf(shape, new Uint8Array(shape[0] * shape[1] * shape[2]).fill(1))
    const { at, width, height } = await pictureOf(volume, mask, [0, 0, 0])
    t.ok(width > 0 && height > 0, `${shape.join(' x ')}: ${width} x ${height}`)
    t.same(at(0, 0), red)
    t.same((await pictureOf(volume, nothing(volume.grid))).at(0, 0), [0, 0, 0])
  }
})

t.test('a lesion of one voxel is seen where pixels are larger than voxels', async t => {
  const long: Grid = gridOf([1600, 2, 2])
  const volume = volumeOf(long, () => 0)
  for (const x of [800, 801, 802, 803]) {
    const voxels = new Uint8Array(6400)
    voxels[x] = 1
    const { at, width } = await pictureOf(volume, maskOf(long.shape, voxels), [x, 0, 0])
    t.ok(width < 1600)
    const reds = Array.from({ length: 768 }, (_, u) => at(u, 0)).filter(pixel => pixel[1] === red[1])
    t.equal(reds.length, 1, `at ${x}`)
  }
})

t.test('a real scan has a picture whose bytes are bounded', { skip: !sharedPath('data', 'ct') }, async t => {
  const image = await openNifti(sharedPath('data', 'ct', 'lidc-0314_crop_ct.nii.gz')!)
  const label = await openNifti(sharedPath('data', 'ct', 'lidc-0314_crop_lesion.nii.gz')!)
  const mask = maskOf(
    image.grid.shape,
    Uint8Array.from(await materialise(label.volume), value => (value > 0 ? 1 : 0)),
  )
  t.ok(maskVoxels(mask).includes(1))
  const bytes = await preview(image.volume, mask, middleOf(image.grid), { window: [-1350, 150] }, pause)
  const { width, height, text } = decode(bytes)
  t.ok(previewBytes(image.grid) > 2 * 3 * width * height)
  t.match(text, { Disclaimer: /Not a medical device/ })
})
