/** MONAI's random crops, flips, turns and shifts, replayed by the stages: the same centres, shapes and voxels. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { residentVolume } from '../../imaging/volume.ts'
import type { Grid, Sample, Shape3 } from '../../pipeline/stage.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'
import { readNpy, toVolume } from '../support/npy.ts'
import { maxDifference } from '../support/numbers.ts'
import { numpyChain, stagesOf } from '../support/random-chain.ts'
import { projectRoot, sharedPath } from '../support/shared.ts'
import { sampleWith } from '../support/stage.ts'

interface Recorded {
  seed: number
  /** What the Compose was, in words. */
  compose: string
  results: {
    run: number
    sample: number
    shape: number[]
    image_sum: number
    label_sum: number
    crop_center: number[]
    corner: number
    first_row: number[]
  }[]
}

for (const name of ['golden', join('golden', 'oblique')]) {
  const folder = sharedPath(name)
  t.test(`${name}: MONAI's chain, voxel for voxel`, folder ? {} : { skip: 'shared data not found' }, async t => {
    const index = JSON.parse(readFileSync(join(folder!, 'index.json'), 'utf8')) as { random_chain: Recorded }
    const { seed, compose, results } = index.random_chain
    const run = numpyChain(stagesOf(compose), seed)
    const image = toVolume(readNpy(join(folder!, 'prefix-image.npy')))
    const label = toVolume(readNpy(join(folder!, 'prefix-label.npy')))
    const grid = gridOf(image.shape)
    const sample = sampleWith({
      image: residentVolume(grid, image.voxels),
      label: residentVolume(grid, label.voxels),
    })
    const patches: Sample[] = []
    for (let epoch = 0; epoch <= results.at(-1)!.run; epoch++) patches.push(...(await run([{ ...sample, epoch }])))
    t.equal(patches.length, results.length, 'number of patches')
    let [voxels, sums] = [0, 0]
    for (const [i, patch] of patches.entries()) {
      const expected = results[i]!
      const where = `run ${expected.run}, sample ${expected.sample}`
      t.comment(`${where}: ${JSON.stringify(patch.draws)}`)
      t.equal(patch.patch, expected.sample)
      t.same((patch.draws['crop'] as { centre: Shape3 }).centre, expected.crop_center, `${where}: centre`)
      const { grid, resident } = patch.image!
      const [nx, ny] = grid.shape
      t.same([1, ...grid.shape], expected.shape, `${where}: shape`)
      t.equal(sum(patch.label!.resident!), expected.label_sum, `${where}: sum of the label`)
      const row = resident!.subarray((5 * ny + 5) * nx, (5 * ny + 5) * nx + Math.min(8, nx))
      voxels = Math.max(voxels, maxDifference([resident![0]!, ...row], [expected.corner, ...expected.first_row]))
      sums = Math.max(sums, Math.abs(sum(resident!) - expected.image_sum))
    }
    t.comment(`largest difference: of a voxel ${voxels}, of the sum of an image ${sums}`)
    t.equal(voxels, 0, 'voxels')
    t.ok(sums < 1e-8, 'sums, which torch adds in another order')
  })
}

interface Chain {
  name: string
  seed: number
  cases: [shape: Shape3, label: keyof typeof labels][]
  stages: { kind: string }[]
  epochs: number
  patches: [index: number, x: number, y: number, z: number, width: number, image: number, label: number][]
}

const { chains } = JSON.parse(readFileSync(join(projectRoot, 'fixtures/golden/random-chain.json'), 'utf8')) as {
  chains: Chain[]
}

/** As fixtures/make_random_chain.py makes them. */
const labels = {
  some: (x: number, y: number, z: number) => Number((5 * x + 3 * y + 7 * z) % 11 === 0),
  none: () => 0,
  all: () => 1,
  one: (x: number, y: number, z: number, { shape }: Grid) => Number(x === shape[0] - 1 && y === 0 && z === 1),
}

for (const { name, seed, cases, stages, epochs, patches } of chains) {
  t.test(`recorded chain, several cases and epochs: ${name}`, async t => {
    const run = numpyChain(stages, seed)
    const samples = cases.map(([shape, label], index): Sample => {
      const grid = gridOf(shape)
      return sampleWith(
        {
          image: volumeOf(grid, (x, y, z) => ((3 * x * x + 5 * x * y + 7 * y + 11 * z + 13 * x * z) % 30) / 30),
          label: volumeOf(grid, (x, y, z) => labels[label](x, y, z, grid)),
        },
        { id: `case${index}`, index },
      )
    })
    const found: Sample[] = []
    for (let epoch = 0; epoch < epochs; epoch++) found.push(...(await run(samples.map(s => ({ ...s, epoch })))))
    t.same(
      found.map(({ case: { index }, draws, image }) => [
        index,
        ...(draws['crop'] as { centre: Shape3 }).centre,
        image!.grid.shape[0],
      ]),
      patches.map(row => row.slice(0, 5)),
      'cases, centres and widths',
    )
    const difference = maxDifference(
      found.flatMap(({ image, label }) => [checksum(image!.resident!), checksum(label!.resident!)]),
      patches.flatMap(row => row.slice(5)),
    )
    t.comment(`largest difference of a checksum ${difference}`)
    t.equal(difference, 0, 'checksums')
  })
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Sum of voxel times position: any voxel out of place shows. */
function checksum(voxels: Float32Array): number {
  return voxels.reduce((total, value, i) => total + value * (i + 1), 0)
}
