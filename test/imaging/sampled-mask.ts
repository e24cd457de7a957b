/** The mask that is made without a resampled margin is the one that is made of it. */

import t from 'tap'
import { croppedGrid } from '../../imaging/crop.ts'
import { classPlanes, invert } from '../../imaging/invert.ts'
import { maskOfPlanes, maskVoxels } from '../../imaging/mask.ts'
import { paddedGrid } from '../../imaging/pad.ts'
import { endsSeparably, sampledMask } from '../../imaging/sampled-mask.ts'
import { lazyVolume } from '../../imaging/volume.ts'
import { rng, type Rng } from '../../pipeline/random.ts'
import type { Grid, Shape3, SpatialStep, Volume } from '../../pipeline/grid.ts'
import { skip } from '../support/kernels.ts'
import { gridOf } from '../support/nifti.ts'

const pick = <T>(draw: Rng, list: readonly T[]): T => list[draw.integer(list.length)]!
const shapeUpTo = (draw: Rng, x: number, y: number, z: number): Shape3 => [
  1 + draw.integer(x),
  1 + draw.integer(y),
  1 + draw.integer(z),
]
const making = { pause: () => Promise.resolve() }

/** Background with blobs, values on both sides of 0, noise, or one sign only; zeros of both signs, what is next to nothing, and NaN. */
function marginOf(draw: Rng, [nx, ny, nz]: Shape3): Float32Array {
  const kind = pick(draw, ['blobs', 'blobs', 'noise', 'below', 'above', 'ugly'] as const)
  const centre = [nx, ny, nz].map(n => n * draw.uniform())
  const radius = 1 + 4 * draw.uniform()
  const ugly = [0, -0, 1e-45, -1e-45, 1e-38, NaN, Infinity, -Infinity, 1, -1]
  return Float32Array.from({ length: nx * ny * nz }, (_, i) => {
    const at = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
    if (kind === 'noise') return draw.uniform() - 0.5
    if (kind === 'below') return draw.integer(3) === 0 ? -0 : -draw.uniform()
    if (kind === 'above') return draw.uniform()
    if (kind === 'ugly') return pick(draw, ugly)
    // Steps of a half: interpolated, many a sum is 0.
    return Math.round(2 * (radius - Math.hypot(...at.map((n, axis) => n - centre[axis]!)))) / 2
  })
}

/** In slabs of any thickness. Whoever has released one finds foreground in it. */
function streaming(grid: Grid, voxels: Float32Array, draw: Rng): Volume & { ends: number } {
  const plane = grid.shape[0] * grid.shape[1]
  const pull = async function* () {
    for (let z = 0; z < grid.shape[2];) {
      const planes = Math.min(1 + draw.integer(4), grid.shape[2] - z)
      const slab = voxels.slice(z * plane, (z + planes) * plane)
      yield { z, planes, voxels: slab, release: () => void slab.fill(1) }
      z += planes
    }
    volume.ends++
  }
  const volume = { ...lazyVolume(grid, pull), ends: 0 }
  return volume
}

/** The resampled margin compared with 0, as it is where more than a mask is wanted. */
async function plainMask(steps: readonly SpatialStep[], margin: Volume): Promise<Uint8Array> {
  const map = invert(steps, margin, 'linear')
  return maskVoxels(await maskOfPlanes(map.grid.shape, classPlanes([map]), making))
}

/** From a scan's grid to one along its axes, either way round, then maybe a crop and padding; the last grid. */
function drawnSteps(draw: Rng, from: Grid, shape: Shape3): { steps: SpatialStep[]; grid: Grid } {
  const scale = from.shape.map((n, axis) => (n / shape[axis]!) * pick(draw, [1, 0.5, 0.4 + draw.uniform()]))
  const [dx, dy, dz] = scale.map(n => n * pick(draw, [1, 1, 1, -1]))
  const origin = from.shape.map(
    (n, axis) => ([dx, dy, dz][axis]! < 0 ? n - 1 : 0) + pick(draw, [0, 0.25, -1, draw.uniform()]),
  )
  const to = gridOf(shape, [dx!, dy!, dz!], origin)
  const steps: SpatialStep[] = [{ kind: 'resample', from, to }]
  let grid = to
  if (draw.integer(2) === 0) {
    const size = shape.map(n => 1 + draw.integer(n)) as unknown as Shape3
    const start = shape.map((n, axis) => draw.integer(n - size[axis]! + 1)) as unknown as Shape3
    const cut = croppedGrid(grid, { start, shape: size })
    steps.push({ kind: 'crop', from: grid, start, to: cut })
    grid = cut
  }
  if (draw.integer(2) === 0) {
    const before: Shape3 = [draw.integer(3), draw.integer(3), draw.integer(3)]
    const padded = paddedGrid(grid, { before, after: [draw.integer(3), 0, draw.integer(2)] })
    steps.push({ kind: 'pad', from: grid, before, to: padded })
    grid = padded
  }
  return { steps, grid }
}

async function differing(draw: Rng, from: Grid, shape: Shape3): Promise<number> {
  const { steps, grid } = drawnSteps(draw, from, shape)
  if (!endsSeparably(steps)) return 0
  const voxels = marginOf(draw, grid.shape)
  const margin = streaming(grid, voxels, draw)
  const mask = await maskOfPlanes(from.shape, sampledMask(steps, margin), making)
  const found = maskVoxels(mask)
  mask.close()
  const expected = await plainMask(steps, streaming(grid, voxels, draw))
  const count = found.reduce((sum, value, i) => sum + (value === expected[i] ? 0 : 1), 0)
  return margin.ends === 1 ? count : Infinity
}

t.test('any extents, scales, directions and margins: nothing, ties, noise, what is no number', { skip }, async t => {
  const problems: string[] = []
  for (let i = 0; i < 400; i++) {
    const draw = rng(i, 0, 0, 'sampled-mask')
    const from = gridOf(shapeUpTo(draw, 40, 30, 12))
    const count = await differing(draw, from, pick(draw, [shapeUpTo(draw, 40, 30, 12), [1, 1, 1], [64, 2, 3]]))
    if (count > 0) problems.push(`case ${i}: ${count} voxels`)
  }
  t.same(problems, [])
})

t.test('rows longer than there are bits, and more planes than are made at a time', { skip }, async t => {
  for (const [i, [from, shape]] of (
    [
      [
        [520, 500, 23],
        [1100, 20, 9],
      ],
      [
        [700, 400, 13],
        [513, 60, 13],
      ],
      [
        [1030, 300, 19],
        [90, 80, 40],
      ],
      [
        [600, 500, 30],
        [512, 512, 5],
      ],
    ] as [Shape3, Shape3][]
  ).entries())
    for (const seed of [0, 1, 2])
      t.equal(await differing(rng(seed, i, 0, 'large'), gridOf(from), shape), 0, `${from.join('x')}, ${seed}`)
})

t.test('whoever stops early closes what is pulled', { skip }, async t => {
  const grid = gridOf([512, 512, 4], [1, 1, 5])
  let isClosed = false
  const margin = lazyVolume(grid, async function* () {
    try {
      for (let z = 0; z < 4; z++) yield { z, planes: 1, voxels: new Float32Array(512 * 512).fill(-1) }
    } finally {
      isClosed = true
    }
  })
  const steps: SpatialStep[] = [{ kind: 'resample', from: gridOf([512, 512, 20]), to: grid }]
  for await (const { bytes, isPacked } of sampledMask(steps, margin)) {
    t.same([bytes.length, isPacked], [0, false])
    break
  }
  t.ok(isClosed)
})

t.test('a margin that fails, fails the mask', { skip }, async t => {
  const grid = gridOf([512, 512, 4], [1, 1, 5])
  const margin = lazyVolume(grid, async function* () {
    yield { z: 0, planes: 3, voxels: new Float32Array(3 * 512 * 512) }
    throw new Error('the network has failed')
  })
  const steps: SpatialStep[] = [{ kind: 'resample', from: gridOf([512, 512, 20]), to: grid }]
  await t.rejects(maskOfPlanes([512, 512, 20], sampledMask(steps, margin), making), /network has failed/)
})

t.test('only a resampling along the axes that comes last is left out', async t => {
  const from = gridOf([4, 4, 4])
  const to = gridOf([4, 4, 2], [1, 1, 2])
  const oblique: Grid = { shape: [4, 4, 2], affine: [0.9, 0.1, 0, 0, -0.1, 0.9, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1] }
  const crop: SpatialStep = {
    kind: 'crop',
    from,
    start: [0, 0, 0],
    to: croppedGrid(from, { start: [0, 0, 0], shape: [2, 2, 2] }),
  }
  t.ok(endsSeparably([{ kind: 'resample', from, to }, crop]))
  t.notOk(endsSeparably([]))
  t.notOk(endsSeparably([crop, { kind: 'resample', from, to }]))
  t.notOk(endsSeparably([{ kind: 'resample', from, to: oblique }]))
  t.notOk(endsSeparably([{ kind: 'resample', from, to: from }]), 'the margin itself')
})
