/** Weights that the windows' places tell give the bits of weights that are summed up. */

import t from 'tap'
import { coverageOf, windowRows } from '../../imaging/windows.ts'
import { addWindow, finishPlanes, mapsOf, windowSums, type Means } from '../../native/windows.ts'
import { rng } from '../../pipeline/random.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { viewsOf } from '../../stages/slide-plan.ts'
import { skip } from '../support/kernels.ts'

t.test('windows that are not weighted, of any classes, views and places', { skip }, async t => {
  const problems: string[] = []
  for (let i = 0; i < 60; i++) {
    const draw = rng(i, 0, 0, 'windows')
    const shape: Shape3 = [1 + draw.integer(30), 1 + draw.integer(12), 1 + draw.integer(9)]
    const window = shape.map(n => 1 + draw.integer(n)) as unknown as Shape3
    const classes = 1 + draw.integer(4)
    const means: Means = (['logits', 'probabilities', classes === 2 ? 'margin' : 'logits'] as const)[draw.integer(3)]!
    const overlap = [0, 0.6, 0.9][draw.integer(3)]!
    const views = viewsOf(([[], ['x'], ['y', 'z']] as const)[draw.integer(3)]!)
    const ring = { nx: shape[0], ny: shape[1], depth: shape[2] }
    const summed = windowSums(ring, classes)
    const told = windowSums(ring, classes, coverageOf(shape, window, overlap, views.length))
    const size = window[0] * window[1] * window[2]
    const ones = new Float32Array(size).fill(1)
    for (const start of windowRows(shape, window, overlap).flatMap(({ starts }) => starts))
      for (const flips of views) {
        const logits = Float32Array.from({ length: size * classes }, () => 20 * draw.uniform() - 10)
        await addWindow(summed, { start, window, flips }, logits, ones)
        await addWindow(told, { start, window, flips }, logits)
      }
    const planes = 1 + draw.integer(shape[2])
    const z = draw.integer(shape[2] - planes + 1)
    const [a, b] = [summed, told].map(() => new Float32Array(shape[0] * shape[1] * planes * mapsOf(means, classes)))
    const areFinite = [await finishPlanes(summed, z, planes, a!, means), await finishPlanes(told, z, planes, b!, means)]
    const isSame = Buffer.compare(Buffer.from(a!.buffer), Buffer.from(b!.buffer)) === 0
    const isCleared = Buffer.compare(Buffer.from(summed.sums.buffer), Buffer.from(told.sums.buffer)) === 0
    if (!areFinite.every(Boolean) || !isSame || !isCleared) problems.push(`case ${i}: ${shape.join('x')}, ${means}`)
  }
  t.same(problems, [])
})
