import t from 'tap'
import { multiply } from '../../imaging/affine.ts'
import { maskOf, maskVoxels } from '../../imaging/mask.ts'
import { orientedGrid, reorient } from '../../imaging/orient.ts'
import { turningBytes, turnMask } from '../../imaging/turn-mask.ts'
import { materialise, residentVolume } from '../../imaging/volume.ts'
import type { Grid } from '../../pipeline/grid.ts'
import { rng } from '../../pipeline/random.ts'

const pause = async (): Promise<void> => {}

/** All 48 ways in which three letters can name the axes. */
const axcodes = ['LR', 'PA', 'IS'].flatMap((a, i, pairs) =>
  pairs.flatMap((b, j) =>
    pairs.flatMap((c, k) =>
      new Set([i, j, k]).size < 3 ? [] : [...a].flatMap(x => [...b].flatMap(y => [...c].map(z => x + y + z))),
    ),
  ),
)

t.test('a mask turns as a volume does, from and to every order of axes', async t => {
  t.equal(axcodes.length, 48)
  const [s, c] = [Math.sin(0.2), Math.cos(0.2)]
  const oblique = multiply(
    [c, -s, 0, 5, s, c, 0, -7, 0, 0, 1, 3, 0, 0, 0, 1],
    [0.7, 0, 0, 0, 0, 0.8, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1],
  )
  const grid: Grid = { shape: [5, 4, 3], affine: oblique }
  const random = rng(1, 0, 0, 'turn')
  const voxels = Uint8Array.from({ length: 60 }, () => Math.floor(random.uniform() * 3))
  let differing = 0
  for (const code of axcodes) {
    const to = orientedGrid(grid, code)
    const expected = await materialise(reorient(residentVolume(grid, Float32Array.from(voxels)), to))
    const turned = await turnMask(maskOf(grid.shape, voxels), grid, to, { pause })
    if (maskVoxels(turned).some((value, i) => value !== expected[i])) differing++
    const back = await turnMask(turned, to, grid, { pause })
    if (maskVoxels(back).some((value, i) => value !== voxels[i])) differing++
    t.ok(turningBytes(grid, to) <= 60 + 20)
  }
  t.equal(differing, 0)
})
