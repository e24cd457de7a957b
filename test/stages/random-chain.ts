/** MONAI's random crops, flips, turns and shifts, replayed by the stages: the same centres, shapes and voxels. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Sample } from '../../pipeline/flow.ts'
import type { Grid, Shape3 } from '../../pipeline/grid.ts'
import { gridOf, volumeOf } from '../support/nifti.ts'
import { maxDifference } from '../support/numbers.ts'
import { numpyChain } from '../support/random-chain.ts'
import { projectRoot } from '../support/shared.ts'
import { sampleWith } from '../support/stage.ts'

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

/** Sum of voxel times position: any voxel out of place shows. */
function checksum(voxels: Float32Array): number {
  return voxels.reduce((total, value, i) => total + value * (i + 1), 0)
}
