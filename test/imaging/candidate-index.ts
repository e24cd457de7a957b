import t from 'tap'
import { annexOf } from '../../cache/annex-file.ts'
import { candidateIndexBytes, indexCandidates, openCandidates } from '../../imaging/candidate-index.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3, Volume } from '../../pipeline/grid.ts'
import { gridOf, inSlabs, volumeOf } from '../support/nifti.ts'

const options = { threshold: 0, classes: 2 }

/** Every candidate, in MONAI's numbering, by walking all voxels. */
function listed(label: Volume, image: Volume, threshold: number): Record<'foreground' | 'background', Shape3[]> {
  const [nx, ny, nz] = label.grid.shape
  const found: Record<'foreground' | 'background', Shape3[]> = { foreground: [], background: [] }
  for (let x = 0; x < nx; x++) {
    for (let y = 0; y < ny; y++) {
      for (let z = 0; z < nz; z++) {
        const at = (z * ny + y) * nx + x
        if (label.resident![at] !== 0) found.foreground.push([x, y, z])
        else if (image.resident![at]! > threshold) found.background.push([x, y, z])
      }
    }
  }
  return found
}

t.test('candidates are numbered with x slowest and z fastest', async t => {
  for (const shape of [
    [6, 5, 4],
    [1, 1, 1],
    [3, 7, 1],
    [1, 3, 9],
    [5, 1, 11],
  ] as const) {
    const random = rng(1, 0, shape[0], 'index')
    const label = volumeOf(gridOf(shape), () => Number(random.uniform() < 0.3))
    const image = volumeOf(gridOf(shape), () => random.uniform() - 0.5)
    const expected = listed(label, image, 0)
    const bytes = await indexCandidates(inSlabs(label), inSlabs(image), options)
    t.equal(bytes.length, candidateIndexBytes(shape))
    const candidates = await openCandidates(annexOf(bytes), shape)
    for (const kind of ['foreground', 'background'] as const) {
      t.equal(candidates[kind], expected[kind].length)
      const found = await Promise.all(expected[kind].map((_, k) => candidates.find(kind, k)))
      t.same(found, expected[kind], `${kind} of ${shape.join(' x ')}`)
      await t.rejects(candidates.find(kind, expected[kind].length), RangeError)
    }
  }
})

t.test('a place is found by reading one plane of bits', async t => {
  const shape: Shape3 = [64, 48, 16]
  const label = volumeOf(gridOf(shape), (x, y, z) => Number(x > 40 && y > 20 && z > 3 && z < 9))
  const annex = annexOf(await indexCandidates(label, label, options))
  let read = 0
  const counting = {
    bytes: annex.bytes,
    read: (offset: number, length: number) => ((read += length), annex.read(offset, length)),
  }
  const candidates = await openCandidates(counting, shape)
  read = 0
  await candidates.find('foreground', 100)
  t.equal(read, (48 * 16) / 8)
})

t.test('a label that holds no class, or an index of another shape, is refused', async t => {
  const grid = gridOf([4, 3, 2])
  const strange = volumeOf(grid, x => (x === 2 ? 7 : 0))
  await t.rejects(indexCandidates(strange, strange, options), { code: 'ERR_LABEL' })
  const bytes = await indexCandidates(
    volumeOf(grid, () => 1),
    strange,
    options,
  )
  await t.rejects(openCandidates(annexOf(bytes), [4, 3, 9]), { code: 'ERR_FILE' })
})
