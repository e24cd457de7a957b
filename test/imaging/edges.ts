import t from 'tap'
import { edges, unionBox } from '../../imaging/edges.ts'
import type { Shape3 } from '../../pipeline/stage.ts'
import { edgePoints } from '../reference/surface.ts'
import { awkwardPairs, maskWhere } from '../support/masks.ts'

const shape: Shape3 = [6, 5, 4]
const block = maskWhere(shape, (x, y, z) => x >= 1 && x <= 4 && y >= 1 && y <= 3 && z <= 2)

t.test('the box holds every mask, and there is none around nothing', async t => {
  const corner = maskWhere(shape, (x, y, z) => x === 5 && y === 0 && z === 3)
  t.same(unionBox([block], shape, 1), { start: [1, 1, 0], shape: [4, 3, 3] })
  t.same(unionBox([corner, block], shape, 1), { start: [1, 0, 0], shape: [5, 4, 4] })
  t.same(unionBox([corner, new Uint8Array(120)], shape, 1), { start: [5, 0, 3], shape: [1, 1, 1] })
  t.equal(unionBox([new Uint8Array(120), new Float32Array(120)], shape, 1), undefined)
  t.equal(unionBox([block], shape, 2), undefined, 'another class')
})

t.test('a block of 4 x 3 x 3 voxels has two inside, and its border with the image is edge', async t => {
  const box = unionBox([block], shape, 1)!
  const surface = edges(block, shape, box, 1)
  t.equal(surface.length, 36)
  const inner = [...surface.keys()].filter(i => surface[i] === 0)
  t.same(inner, [(1 * 3 + 1) * 4 + 1, (1 * 3 + 1) * 4 + 2])
})

t.test('a diagonal neighbour does not make an edge', async t => {
  const whole = { start: [0, 0, 0], shape: [3, 3, 3] } as const
  const mask = maskWhere([3, 3, 3], (x, y, z) => !(x === 0 && y === 0 && z === 1))
  t.equal(edges(mask, [3, 3, 3], whole, 1)[13], 0, 'the centre')
})

t.test('edges are those of the definition, in masks of any kind', async t => {
  for (const { name, shape, prediction } of awkwardPairs()) {
    const box = unionBox([prediction], shape, 1)!
    const found = [...edges(Float32Array.from(prediction), shape, box, 1).entries()].filter(([, edge]) => edge === 1)
    const points = found.map(([i]) => [
      box.start[0] + (i % box.shape[0]),
      box.start[1] + (Math.floor(i / box.shape[0]) % box.shape[1]),
      box.start[2] + Math.floor(i / (box.shape[0] * box.shape[1])),
    ])
    t.same(points, edgePoints(prediction, shape, 1), name)
  }
})
