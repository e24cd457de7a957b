/** MONAI's random crops, flips and turns, replayed with numpy's generator: the same centres, shapes and voxels. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cropVoxels } from '../../imaging/crop.ts'
import { flip, rotate90 } from '../../imaging/flip-rotate.ts'
import { candidatesOf, cropStart, drawCentres } from '../../imaging/sample-centres.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { readNpy, toVolume } from '../support/npy.ts'
import { NumpyRandom } from '../../pipeline/numpy-random.ts'
import { sharedPath } from '../support/shared.ts'

interface Result {
  shape: number[]
  image_sum: number
  label_sum: number
  crop_center: number[]
  corner: number
  first_row: number[]
}

interface Patch {
  shape: Shape3
  image: Float32Array
  label: Float32Array
}

const size: Shape3 = [48, 40, 16]

t.test("numpy's generator", async t => {
  const random = new NumpyRandom(1)
  t.same([random.uniform(), random.uniform()], [0.417022004702574, 0.7203244934421581], 'RandomState(1).rand()')
})

for (const name of ['golden', join('golden', 'oblique')]) {
  const folder = sharedPath(name)
  t.test(
    `${name}: crops, flips, turns and shifts as recorded`,
    folder ? {} : { skip: 'shared data not found' },
    async t => {
      const index = JSON.parse(readFileSync(join(folder!, 'index.json'), 'utf8')) as {
        random_chain: { seed: number; results: Result[] }
      }
      const { shape, voxels: image } = toVolume(readNpy(join(folder!, 'prefix-image.npy')))
      const { voxels: label } = toVolume(readNpy(join(folder!, 'prefix-label.npy')))
      const candidates = candidatesOf(label, image, shape)
      // Compose seeds its members one after the other.
      const compose = new NumpyRandom(index.random_chain.seed)
      const [cropping, flipX, flipY, flipZ, turning, shifting] = Array.from(
        { length: 6 },
        () => new NumpyRandom(compose.integer(2 ** 32)),
      ) as [NumpyRandom, NumpyRandom, NumpyRandom, NumpyRandom, NumpyRandom, NumpyRandom]
      const { results } = index.random_chain
      for (let run = 0; run < results.length / 2; run++) {
        const centres = drawCentres(candidates, shape, { size, samples: 2, pos: 1, neg: 1 }, cropping)
        for (const [sample, centre] of centres.entries()) {
          const expected = results[run * 2 + sample]!
          t.same(centre, expected.crop_center, `run ${run}, sample ${sample}: centre`)
          const box = { start: cropStart(centre, size), shape: size }
          let patch: Patch = { shape: size, image: cropVoxels(image, shape, box), label: cropVoxels(label, shape, box) }
          for (const [axis, random] of [flipX, flipY, flipZ].entries()) {
            if (random.uniform() < 0.5) patch = both(patch, voxels => flip(voxels, patch.shape, axis))
          }
          const turns = turning.integer(3) + 1
          if (turning.uniform() < 0.5) {
            const turned = both(patch, voxels => rotate90(voxels, patch.shape, turns))
            const [x, y, z] = patch.shape
            patch = { ...turned, shape: turns % 2 === 0 ? [x, y, z] : [y, x, z] }
          }
          t.same([1, ...patch.shape], expected.shape, 'shape')
          t.equal(sum(patch.label), expected.label_sum, 'label')
          // The shift's own draws are not ours to imitate: what it added is the same everywhere.
          const shift = expected.corner - patch.image[0]!
          t.ok(Math.abs(shift) <= 0.1, `shift ${shift}`)
          const row = expected.first_row.map(
            (_, x) => patch.image[(5 * patch.shape[1] + 5) * patch.shape[0] + x]! + shift,
          )
          t.ok(
            row.every((value, x) => Math.abs(value - expected.first_row[x]!) < 1e-6),
            'a row of the image',
          )
          t.ok(Math.abs(sum(patch.image) + shift * patch.image.length - expected.image_sum) < 1e-2, 'sum of the image')
        }
      }
      t.ok(shifting.uniform() < 1)
    },
  )
}

function both(patch: Patch, work: (voxels: Float32Array) => Float32Array): Patch {
  return { ...patch, image: work(patch.image), label: work(patch.label) }
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0)
}
