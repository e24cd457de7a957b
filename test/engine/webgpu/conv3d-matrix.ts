/**
 * Convolutions on matrix units against float64 on the same rounded numbers. No adapter here has such units, so that they are
 * emulated on SwiftShader: tiles, borders, norms, scales and sums are those of the real ones.
 */

import * as tf from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import type { GpuBackend } from '../../../engine/backends/webgpu/backend.ts'
import { emulatedUnit, type MatrixUnit } from '../../../engine/backends/webgpu/kernels/conv3d/matrix-unit.ts'
import { skipped, withBackend } from '../../support/backends.ts'
import {
  compareBatch,
  compareConvolution,
  cube,
  inputsOf,
  nameOf,
  resultOf,
  type ConvolutionCase,
} from '../../support/gpu-convolutions.ts'

const skip = skipped('webgpu')
/** Behind a norm in float32 some numbers are rounded to the next of float16 as that in float64 would not. */
const tolerance = 1e-4
const network = { kernel: cube(3), stride: cube(1), pad: 1 }

/** By their shapes: those that NVIDIA's, Apple's and Intel's adapters list. */
const units = {
  '16 x 16 x 16': emulatedUnit(16, 16, 16, 'f32'),
  '8 x 8 x 8': emulatedUnit(8, 8, 8, 'f32'),
  '8 x 16 x 16': emulatedUnit(8, 16, 16, 'f32', 16),
}
const backends = new Map<MatrixUnit, GpuBackend>()

/** On the device of the float32 backend, which is there again afterwards. */
function onUnit(name: keyof typeof units, title: string, work: (t: Test) => Promise<void>): void {
  const unit = units[name]
  void t.test(`${name}: ${title}`, { skip }, t =>
    withBackend('webgpu', async () => {
      const plain = tf.backend() as GpuBackend
      // It can be loaded only once a backend has been started.
      const { GpuBackend } = await import('../../../engine/backends/webgpu/backend.ts')
      const own = backends.get(unit) ?? new GpuBackend(plain.device, { precision: 'float16-matrix', matrixUnit: unit })
      backends.set(unit, own)
      await use(own)
      try {
        await work(t)
      } finally {
        await use(plain)
      }
    }),
  )
}

async function use(backend: GpuBackend): Promise<void> {
  tf.engine().registry['webgpu'] = backend
  await tf.setBackend('webgpu')
}

/** Several boxes along every axis, several chunks and blocks of channels, on every unit. */
const sweep = (Object.keys(units) as (keyof typeof units)[]).flatMap(unit =>
  (
    [
      { ...network, batch: 2, size: [5, 10, 33], ci: 8, co: 8, groups: 8 },
      { ...network, batch: 1, size: [9, 17, 9], ci: 24, co: 40, groups: 8 },
      { ...network, batch: 1, size: [14, 14, 4], ci: 64, co: 64, groups: 8 },
      { ...network, batch: 1, size: [12, 10, 34], ci: 8, co: 16, stride: cube(2) },
      { ...network, batch: 1, size: [14, 14, 8], ci: 32, co: 64, stride: cube(2) },
      { batch: 2, size: [5, 6, 9], ci: 3, co: 9, kernel: [3, 1, 3], stride: [1, 2, 3], pad: 1, groups: 3 },
      { batch: 1, size: [5, 6, 7], ci: 6, co: 2, kernel: cube(2), stride: cube(1), pad: 0, groups: 2 },
    ] satisfies ConvolutionCase[]
  ).map(c => [unit, c] as const),
)

const cases: readonly (readonly [keyof typeof units, ConvolutionCase])[] = [
  ['16 x 16 x 16', { ...network, batch: 1, size: [3, 5, 6], ci: 8, co: 8, groups: 8 }],
  ['16 x 16 x 16', { ...network, batch: 1, size: [5, 4, 6], ci: 5, co: 3, stride: cube(2) }],
  ['8 x 8 x 8', { ...network, batch: 1, size: [3, 5, 4], ci: 16, co: 12, stride: cube(2) }],
  ['8 x 16 x 16', { ...network, batch: 1, size: [2, 3, 5], ci: 24, co: 20, groups: 4 }],
  ['16 x 16 x 16', { batch: 1, size: [4, 3, 7], ci: 4, co: 6, kernel: [1, 3, 2], stride: [2, 1, 3], pad: 1 }],
  ...(process.env['CTFLOW_SWEEP'] ? sweep : []),
]
for (const [unit, c] of cases)
  onUnit(unit, nameOf(c), t => compareConvolution(t, c, { tolerance, half: true, gradientScale: 1e-8 }))

onUnit('16 x 16 x 16', 'a batch has the bits of its samples, filter gradients of their sums in order', t =>
  compareBatch(t, { ...network, batch: 2, size: [2, 3, 5], ci: 8, co: 8, groups: 8 }),
)

onUnit('16 x 16 x 16', 'a gradient of zeros gives zeros, one with NaN shows it', async t => {
  const { x, filter, dy, attrs } = inputsOf({ ...network, batch: 1, size: [2, 3, 4], ci: 8, co: 8 })
  const zeros = [new Float32Array(dy[0].length), dy[1]] as const
  const inputAttrs = { ...attrs, inputShape: [...x[1]] }
  t.ok((await resultOf('Conv3DBackpropInputV2', { dy: zeros, filter }, inputAttrs)).every(value => value === 0))
  const broken = [dy[0].with(5, NaN), dy[1]] as const
  t.ok((await resultOf('Conv3DBackpropInputV2', { dy: broken, filter }, inputAttrs)).some(Number.isNaN))
})
