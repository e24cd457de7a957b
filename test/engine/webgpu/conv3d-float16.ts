/**
 * Convolutions with half-precision products against float64 on the same rounded numbers. Runs on lavapipe, which has
 * `shader-f16`, where SwiftShader has not. A process sees the drivers of one list: hence a file of its own.
 */

import { existsSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import t, { type Test } from 'tap'
import { startBackend } from '../../../engine/backend.ts'
import type { GpuBackend } from '../../../engine/backends/webgpu/backend.ts'
import { emulatedUnit } from '../../../engine/backends/webgpu/kernels/conv3d/matrix-unit.ts'
import { skipped } from '../../support/backends.ts'
import {
  compareConvolution,
  cube,
  inputsOf,
  nameOf,
  resultOf,
  type ConvolutionCase,
} from '../../support/gpu-convolutions.ts'
import { engineOptions } from '../../support/options.ts'

/** Comes with Debian's mesa-vulkan-drivers. */
const driver = '/usr/share/vulkan/icd.d/lvp_icd.json'

function whySkipped(): string | false {
  if (!existsSync(driver)) return 'lavapipe is not installed (Debian: mesa-vulkan-drivers)'
  const why = skipped('webgpu')
  process.env['VK_DRIVER_FILES'] = driver
  // Its compiler takes half as long for four lanes as for eight, and that is most of the time here.
  process.env['LP_NATIVE_VECTOR_WIDTH'] = '128'
  return why
}

const skip = whySkipped()
let started: Promise<unknown> | undefined

function onGpu(name: string, work: (t: Test) => Promise<void>): void {
  void t.test(name, { skip }, async t => {
    started ??= startBackend(engineOptions({ backend: 'webgpu', adapter: 'llvmpipe', precision: 'float16' }))
    await started
    await tf.setBackend('webgpu')
    await work(t)
  })
}

const network = { kernel: cube(3), stride: cube(1), pad: 1 }

/** A layer of the published network, in the tiles that a GPU gets. */
const layer: ConvolutionCase = { ...network, batch: 1, size: [28, 28, 4], ci: 64, co: 64, groups: 8 }

/** Gradients as small as those of a mean over millions of voxels: half precision has no number below 6e-8. */
for (const [c, gradientScale] of [
  [{ ...network, batch: 2, size: [4, 5, 9], ci: 8, co: 4, groups: 4 }, 1e-8],
  [{ ...network, batch: 1, size: [5, 4, 6], ci: 5, co: 3, stride: cube(2) }, 1],
  ...(process.env['CTFLOW_SWEEP'] ? [[layer, 1e-8] as const] : []),
] satisfies (readonly [ConvolutionCase, number])[])
  onGpu(`${nameOf(c)}, gradients of ${gradientScale}`, t =>
    compareConvolution(t, c, { tolerance: 1e-5, half: true, gradientScale }),
  )

for (const c of [
  { batch: 1, size: [3, 4, 6], ci: 8, co: 2, kernel: cube(1), stride: cube(1), pad: 0 },
  { ...network, batch: 1, size: [3, 4, 6], ci: 1, co: 8 },
] satisfies ConvolutionCase[])
  onGpu(`float32 all the same: ${nameOf(c)}`, t => compareConvolution(t, c, { tolerance: 1e-6, half: false }))

onGpu('a very large filter', t =>
  compareConvolution(
    t,
    { batch: 2, size: [3, 4, 5], ci: 3, co: 2, kernel: cube(11), stride: cube(1), pad: 5, groups: 3 },
    { tolerance: 1e-5, half: true, gradientScale: 1e-8 },
  ),
)

onGpu('a gradient of zeros gives zeros, one with NaN shows it', async t => {
  const { x, filter, dy, attrs } = inputsOf({ ...network, batch: 1, size: [2, 3, 4], ci: 8, co: 8 })
  const zeros = [new Float32Array(dy[0].length), dy[1]] as const
  const inputAttrs = { ...attrs, inputShape: [...x[1]] }
  t.ok((await resultOf('Conv3DBackpropInputV2', { dy: zeros, filter }, inputAttrs)).every(value => value === 0))
  const broken = [dy[0].with(5, NaN), dy[1]] as const
  t.ok((await resultOf('Conv3DBackpropInputV2', { dy: broken, filter }, inputAttrs)).some(Number.isNaN))
})

/** With operands in workgroup memory as float16, so that tiles are those that a GPU gets; conv3d-matrix.ts has the small cases. */
if (process.env['CTFLOW_SWEEP'])
  for (const c of [
    { ...layer, size: [14, 14, 4] },
    { ...layer, size: [12, 10, 34], ci: 8, co: 16, stride: cube(2), groups: undefined },
  ] satisfies ConvolutionCase[])
    onGpu(`on emulated matrix units: ${nameOf(c)}`, async t => {
      const plain = tf.backend() as GpuBackend
      const { GpuBackend } = await import('../../../engine/backends/webgpu/backend.ts')
      const unit = emulatedUnit(16, 16, 16, 'f16')
      tf.engine().registry['webgpu'] = new GpuBackend(plain.device, { precision: 'float16-matrix', matrixUnit: unit })
      await tf.setBackend('webgpu')
      try {
        await compareConvolution(t, c, { tolerance: 1e-4, half: true, gradientScale: 1e-8 })
      } finally {
        tf.engine().registry['webgpu'] = plain
        await tf.setBackend('webgpu')
      }
    })
