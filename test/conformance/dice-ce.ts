import t, { type Test } from 'tap'
import { publishedLoss } from '../../model/loss.ts'
import { loadAddon } from '../../native/addon.ts'
import type { Shape5 } from '../reference/conv3d.ts'
import { diceCrossEntropy, type DiceCrossEntropyOptions } from '../reference/dice-ce.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { classes as drawClasses, normals } from '../support/numbers.ts'

const variations: readonly (readonly [name: string, options: Partial<DiceCrossEntropyOptions>])[] = [
  ['as published', {}],
  ['not squared', { squaredPred: false }],
  ['without background', { includeBackground: false }],
  ['jaccard', { jaccard: true }],
  ['jaccard, not squared', { jaccard: true, squaredPred: false }],
  ['over the batch', { batch: true }],
  ['over the batch, without background', { batch: true, includeBackground: false }],
  ['weighted', { lambdaDice: 0.3, lambdaCe: 2.5, smoothNr: 1, smoothDr: 0.5 }],
  ['cross-entropy alone', { lambdaDice: 0 }],
]

const shapes: readonly Shape5[] = [
  [1, 1, 1, 1, 2],
  [2, 2, 3, 5, 2],
  [3, 1, 3, 7, 3],
  [1, 3, 5, 17, 4],
  [2, 2, 2, 8, 5],
  [1, 1, 4, 9, 7],
  [1, 2, 3, 11, 8],
]

for (const [name, options] of variations) {
  t.test(`Dice + cross-entropy, ${name}`, { skip }, async t => {
    for (const shape of shapes) compare(t, shape, { ...publishedLoss, ...options }, 2)
  })
}

t.test('more voxels than a chunk', { skip }, async t => compare(t, [2, 9, 45, 47, 2], publishedLoss, 2))

t.test('logits as far apart as a trained network makes them', { skip }, async t =>
  compare(t, [1, 3, 4, 5, 3], publishedLoss, 30),
)

t.test('labels that are no class are counted', { skip }, async t => {
  const addon = loadAddon()
  const before = addon.isa()
  for (const isa of addon.isas()) {
    addon.setIsa(isa)
    const labels = Int32Array.of(0, 1, 2, -1, 1)
    const found = addon.diceCrossEntropy(
      new Float32Array(10),
      labels,
      new Float32Array(10),
      [1, 5, 2, 1, 1, 0, 0],
      1e-5,
      1e-5,
      1,
      1,
    )
    t.equal(found[3], 2, isa)
  }
  addon.setIsa(before)
})

t.test('one class, or more than fit, is refused', { skip }, async t => {
  const [logits, labels] = [new Float32Array(40), new Int32Array(1)]
  for (const classes of [1, 40]) {
    t.throws(() => loadAddon().diceCrossEntropy(logits, labels, logits, [1, 1, classes, 1, 1, 0, 0], 1e-5, 1e-5, 1, 1))
  }
})

function compare(t: Test, shape: Shape5, options: DiceCrossEntropyOptions, spread: number): void {
  const [n, d, h, w, classes] = shape
  const voxels = d * h * w
  const logits = normals(n * voxels * classes, 'logits', spread)
  const labels = Int32Array.from(drawClasses(n * voxels, classes, 'labels'))
  const flags = [options.squaredPred, options.includeBackground, options.jaccard, options.batch].map(Number)
  const expected = diceCrossEntropy(logits, labels, shape, options)
  conforms(
    t,
    `(${shape.join(', ')})`,
    addon => {
      const dlogits = unwritten(logits.length)
      const [loss, dice, crossEntropy] = addon.diceCrossEntropy(
        logits,
        labels,
        dlogits,
        [n, voxels, classes, ...flags],
        options.smoothNr,
        options.smoothDr,
        options.lambdaDice,
        options.lambdaCe,
      )
      return [Float32Array.of(loss), Float32Array.of(dice), Float32Array.of(crossEntropy), dlogits]
    },
    [
      { name: 'loss', values: [expected.loss], tolerance: 2e-6 },
      { name: 'dice', values: [expected.dice], tolerance: 1e-6 },
      { name: 'cross-entropy', values: [expected.crossEntropy], tolerance: 3e-6 },
      { name: 'dlogits', values: expected.dlogits, tolerance: 3e-6 },
    ],
  )
}
