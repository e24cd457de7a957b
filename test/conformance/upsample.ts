import t from 'tap'
import { loadAddon } from '../../native/addon.ts'
import type { Shape5 } from '../reference/conv3d.ts'
import { upsample2, upsample2Gradient } from '../reference/upsample.ts'
import { conforms, skip, unwritten } from '../support/kernels.ts'
import { normals } from '../support/numbers.ts'

const shapes: readonly Shape5[] = [
  [1, 1, 1, 1, 1],
  [1, 1, 1, 4, 8],
  [2, 2, 3, 5, 8],
  [1, 3, 1, 2, 16],
  [3, 2, 2, 3, 17],
  [1, 2, 7, 1, 3],
  [1, 4, 4, 9, 24],
  [2, 1, 5, 3, 32],
  [1, 2, 2, 2, 48],
  [1, 3, 4, 5, 5],
  [1, 2, 3, 15, 7],
  [1, 5, 4, 3, 12],
]

t.test('up-sampling, plain and with a tensor added, and its gradient', { skip }, async t => {
  for (const shape of shapes) {
    const size = shape.reduce((a, b) => a * b, 1)
    const x = normals(size, 'x')
    const skipped = normals(8 * size, 'skip')
    const dy = normals(8 * size, 'dy')
    const { y, shape: outShape } = upsample2(x, shape)
    conforms(
      t,
      `(${shape.join(', ')})`,
      addon => {
        const [plain, added, dx] = [unwritten(8 * size), unwritten(8 * size), unwritten(size)]
        addon.upsampleForward(x, null, plain, shape)
        addon.upsampleForward(x, skipped, added, shape)
        addon.upsampleGradient(dy, dx, shape)
        return [plain, added, dx]
      },
      [
        { name: 'y', values: y, tolerance: 1e-6 },
        { name: 'y + skip', values: y.map((v, i) => v + skipped[i]!), tolerance: 1e-6 },
        { name: 'dx', values: upsample2Gradient(dy, outShape).dx, tolerance: 1e-6 },
      ],
    )
  }
})

t.test('a tensor of the wrong size is refused', { skip }, async t => {
  const addon = loadAddon()
  const [x, y] = [new Float32Array(8), new Float32Array(64)]
  t.throws(() => addon.upsampleForward(x, null, y.subarray(1), [1, 1, 1, 1, 8]), { message: /y has 63 elements/ })
  t.throws(() => addon.upsampleForward(x, x, y, [1, 1, 1, 1, 8]), { message: /skip has 8 elements/ })
  t.throws(() => addon.upsampleGradient(y, x, [1, 0, 1, 1, 8]), { message: /at least 1/ })
})
