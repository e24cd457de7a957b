/** From files of every order of axes to masks on disk: the lesion's mask lies on the lesion, in millimetres. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { apply, multiply } from '../../imaging/affine.ts'
import { openNifti } from '../../imaging/nifti-read.ts'
import { writeNifti } from '../../imaging/nifti-write.ts'
import { orientedGrid } from '../../imaging/orient.ts'
import { materialise } from '../../imaging/volume.ts'
import { compose, drain } from '../../pipeline/compose.ts'
import { validateDefinition } from '../../pipeline/definition.ts'
import type { Engine } from '../../pipeline/engine.ts'
import type { Prediction } from '../../pipeline/flow.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import { sampleOf } from '../../pipeline/tasks/task.ts'
import { contextOf } from '../support/stage.ts'

/** The lesion: an ellipsoid, mm in RAS+. */
const centre = [12, -20, 31] as const
const radii = [9, 13, 17] as const

const [s, c] = [Math.sin(0.15), Math.cos(0.15)]
const turn = multiply(
  [c, -s, 0, -22, s, c, 0, -60, 0, 0, 1, 0, 0, 0, 0, 1],
  [1, 0, 0, 0, 0, c, -s, 0, 0, s, c, 0, 0, 0, 0, 1],
)
const grids: Readonly<Record<string, Grid>> = {
  straight: { shape: [34, 30, 20], affine: [2, 0, 0, -20, 0, 3, 0, -65, 0, 0, 4, -5, 0, 0, 0, 1] },
  oblique: { shape: [34, 30, 20], affine: multiply(turn, [2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1]) },
}

const axcodes = ['LR', 'PA', 'IS'].flatMap((a, i, pairs) =>
  pairs.flatMap((b, j) =>
    pairs.flatMap((d, k) =>
      new Set([i, j, k]).size < 3 ? [] : [...a].flatMap(x => [...b].flatMap(y => [...d].map(z => x + y + z))),
    ),
  ),
)

function isLesion(grid: Grid, place: Shape3): boolean {
  const world = apply(grid.affine, ...place)
  return world.reduce((sum, value, axis) => sum + ((value - centre[axis]!) / radii[axis]!) ** 2, 0) < 1
}

/** HU of air around soft tissue that holds the lesion; (z, y, x). */
function scanOn(grid: Grid): Int16Array {
  const [nx, ny, nz] = grid.shape
  return Int16Array.from({ length: nx * ny * nz }, (_, i) => {
    const place: Shape3 = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
    const isAir = place.some((n, axis) => n < 1 || n > grid.shape[axis]! - 3)
    return isAir ? -1000 : isLesion(grid, place) ? 400 : -200
  })
}

/** Lesion is what is above the middle of [-1000, 500] and a bit. */
const engine = {
  info: { classes: 2 },
  async infer(voxels: Float32Array, _count: number, _shape: Shape3, to: Float32Array) {
    for (let i = 0; i < voxels.length; i++) to[2 * i + 1] = 20 * (voxels[i]! - 0.73)
    for (let i = 0; i < voxels.length; i++) to[2 * i] = 0
    return to
  },
} as unknown as Engine

async function maskOf(folder: string, image: string, stages: readonly object[]): Promise<string> {
  const definition = validateDefinition(
    {
      task: 'infer',
      dataset: { directory: folder },
      network: { kind: 'segresnet', weights: 'none' },
      stages: [{ kind: 'load', keys: ['image'] }, ...stages, { kind: 'save' }],
      output: folder,
    },
    folder,
  )
  const flow = compose(definition.stages, contextOf({ engine: () => engine, folder })).at(-1)!
  const done: Prediction[] = []
  await drain([sampleOf({ id: 'case', index: 0, image }, 0)], flow, {
    item: item => void done.push(item as Prediction),
    caseFailed: error => {
      throw error
    },
  })
  return join(
    folder,
    done[0]!.files.find(file => file.startsWith('masks') && file.endsWith('.nii.gz'))!,
  )
}

async function dice(mask: string): Promise<number> {
  const { volume } = await openNifti(mask)
  const { grid } = volume
  const [nx, ny] = grid.shape
  const voxels = await materialise(volume)
  let [both, found, expected] = [0, 0, 0]
  voxels.forEach((value, i) => {
    const lesion = isLesion(grid, [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))])
    both += value === 1 && lesion ? 1 : 0
    found += value
    expected += lesion ? 1 : 0
  })
  return (2 * both) / (found + expected)
}

const network = [
  { kind: 'resample', spacing: [2.5, 2.5, 3] },
  { kind: 'clip', min: -1000, max: 500 },
  { kind: 'crop-foreground' },
  { kind: 'infer', window: [16, 16, 8], overlap: 0.5, blend: 'gaussian' },
]

for (const [name, base] of Object.entries(grids)) {
  t.test(`${name}: all 48 orders of axes, with and without "orient"`, { timeout: 300_000 }, async t => {
    t.equal(axcodes.length, 48)
    let [worst, otherGeometry] = [1, 0]
    for (const code of axcodes) {
      const folder = t.testdir({})
      const grid = orientedGrid(base, code)
      const image = join(folder, 'scan.nii.gz')
      await writeNifti(image, { grid, voxels: scanOn(grid) })
      const header = gunzipSync(readFileSync(image)).subarray(0, 348)
      for (const stages of [
        network,
        [{ kind: 'orient', axcodes: 'RAS' }, ...network],
        [{ kind: 'orient', axcodes: 'LPS' }, ...network],
      ]) {
        const mask = await maskOf(folder, image, stages)
        worst = Math.min(worst, await dice(mask))
        const own = gunzipSync(readFileSync(mask)).subarray(0, 348)
        // dim, pixdim and units; codes, quaternions and rows.
        for (const [from, to] of [
          [40, 56],
          [76, 108],
          [252, 328],
        ] as const)
          if (!own.subarray(from, to).equals(header.subarray(from, to))) otherGeometry++
      }
    }
    t.ok(worst > 0.9, `the worst Dice is ${worst}`)
    t.equal(otherGeometry, 0, "every mask has the file's geometry, byte for byte")
  })
}

t.test('probabilities that cannot be written leave nothing', async t => {
  const folder = t.testdir({ probabilities: 'a file' })
  const image = join(folder, 'scan.nii.gz')
  await writeNifti(image, { grid: grids['straight']!, voxels: scanOn(grids['straight']!) })
  const stages = network.map(stage => ('window' in stage ? { ...stage, probabilities: 'probabilities' } : stage))
  await t.rejects(maskOf(folder, image, stages), { code: 'ERR_OUTPUT', message: /probabilities/ })
  t.same(readdirSync(folder).toSorted(), ['probabilities', 'scan.nii.gz'])
})

t.test('two stages with one folder are refused, and names of the run', async t => {
  for (const folder of ['manifest.jsonl', 'summary-1-of-4.json', 'superseded', 'best.safetensors']) {
    const own = network.map(stage => ('window' in stage ? { ...stage, probabilities: folder } : stage))
    await t.rejects(maskOf(t.testdir({}), 'none', own), { code: 'ERR_DEFINITION', message: /uses itself/ })
  }
  const twice = network.map(stage => ('window' in stage ? { ...stage, probabilities: 'masks' } : stage))
  await t.rejects(maskOf(t.testdir({}), 'none', twice), { code: 'ERR_DEFINITION', message: /save.*own, found "masks"/ })
})

t.test("probabilities: the scan's geometry, the mask where they are above a half, also when turned", async t => {
  for (const stages of [network, [{ kind: 'orient', axcodes: 'LPI' }, ...network]]) {
    const folder = t.testdir({})
    const grid = orientedGrid(grids['oblique']!, 'PIR')
    const image = join(folder, 'scan.nii.gz')
    await writeNifti(image, { grid, voxels: scanOn(grid) })
    const withFile = stages.map(stage =>
      'window' in stage ? { ...stage, probabilities: 'probabilities', tta: ['x', 'z'] } : stage,
    )
    const mask = (await openNifti(await maskOf(folder, image, withFile))).volume
    const probabilities = (await openNifti(join(folder, 'probabilities', 'case.nii.gz'))).volume
    t.same(probabilities.grid, mask.grid)
    const [shares, classes] = [await materialise(probabilities), await materialise(mask)]
    t.ok(shares.every(share => share >= 0 && share <= 1))
    t.ok(classes.some(value => value === 1))
    // Where a crop was filled up both classes sum up to less than 1.
    t.ok(classes.every((value, i) => (value === 1 ? shares[i]! > 0.05 : shares[i]! <= 0.5)))
    t.ok(classes.filter((value, i) => (value === 1) !== shares[i]! > 0.5).length < 0.01 * classes.length)
  }
})
