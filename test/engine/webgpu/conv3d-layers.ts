/**
 * The published network's layers at their full size, in the tiles that a GPU gets, against the native kernels. It takes
 * lavapipe some minutes: only with CTFLOW_SWEEP=1.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import t from 'tap'
import { startBackend } from '../../../engine/backend.ts'
import { loadAddon } from '../../../native/addon.ts'
import { skipped } from '../../support/backends.ts'
import { cube, inputsOf, nameOf, resultOf, type ConvolutionCase } from '../../support/gpu-convolutions.ts'
import { relativeDistance } from '../../support/numbers.ts'
import { engineOptions } from '../../support/options.ts'
import { projectRoot } from '../../support/shared.ts'

/** Comes with Debian's mesa-vulkan-drivers; far faster than SwiftShader. */
const driver = '/usr/share/vulkan/icd.d/lvp_icd.json'

function whySkipped(): string | false {
  if (!process.env['CTFLOW_SWEEP']) return 'takes minutes: set CTFLOW_SWEEP=1'
  if (!existsSync(driver)) return 'lavapipe is not installed (Debian: mesa-vulkan-drivers)'
  if (!existsSync(join(projectRoot, 'build', 'ctflow.node'))) return 'the addon is not built'
  const why = skipped('webgpu')
  process.env['VK_DRIVER_FILES'] = driver
  return why
}

const skip = whySkipped()
const three = { batch: 1, kernel: cube(3), stride: cube(1), pad: 1 }
const down = { ...three, stride: cube(2) }
const one = { ...three, kernel: cube(1), pad: 0 }

for (const c of [
  { ...three, size: [4, 28, 28], ci: 64, co: 64, groups: 8 },
  { ...three, size: [28, 28, 4], ci: 64, co: 64, groups: 8 },
  { ...three, size: [56, 56, 8], ci: 32, co: 32, groups: 8 },
  { ...three, size: [112, 112, 16], ci: 16, co: 16, groups: 8 },
  { ...three, size: [224, 224, 32], ci: 8, co: 8, groups: 8 },
  { ...three, size: [224, 224, 32], ci: 1, co: 8 },
  { ...down, size: [224, 224, 32], ci: 8, co: 16 },
  { ...down, size: [112, 112, 16], ci: 16, co: 32 },
  { ...down, size: [56, 56, 8], ci: 32, co: 64 },
  { ...one, size: [28, 28, 4], ci: 64, co: 32 },
  { ...one, size: [112, 112, 16], ci: 16, co: 8 },
  { ...one, size: [224, 224, 32], ci: 8, co: 2, groups: 8 },
] satisfies ConvolutionCase[])
  void t.test(nameOf(c), { skip }, async t => {
    await startBackend(engineOptions({ backend: 'webgpu', adapter: 'llvmpipe' }))
    const { x, filter, dy, residual, norm, attrs } = inputsOf(c)
    const addon = loadAddon()
    const shape = [...x[1], ...filter[1].slice(0, 3), ...dy[1].slice(1), ...c.stride, c.pad, c.pad, c.pad]
    const close = (what: string, found: Float32Array, compute: (values: Float32Array) => void): void => {
      const expected = new Float32Array(found.length)
      compute(expected)
      const distance = relativeDistance(found, expected)
      t.ok(distance < 1e-5, `${what}: relative distance ${distance}`)
    }
    close('y', await resultOf('Conv3D', { x, filter }, attrs), y =>
      addon.conv3dForward(x[0], filter[0], y, shape, 'float32'),
    )
    const inputAttrs = { ...attrs, inputShape: [...x[1]] }
    close('dx', await resultOf('Conv3DBackpropInputV2', { dy, filter }, inputAttrs), dx =>
      addon.conv3dInputGradient(dy[0], filter[0], dx, shape, 'float32'),
    )
    const filterAttrs = { ...attrs, filterShape: [...filter[1]] }
    close('dfilter', await resultOf('Conv3DBackpropFilterV2', { x, dy }, filterAttrs), dfilter =>
      addon.conv3dFilterGradient(x[0], dy[0], dfilter, shape, 'float32'),
    )
    if ('groups' in c) {
      const [mean, rstd, gamma, beta] = ['mean', 'rstd', 'gamma', 'beta'].map(name => norm[name]![0])
      const perGroup = c.ci / c.groups
      const table = Float32Array.from({ length: 3 * c.ci }, (_, i) => {
        const [channel, group] = [i % c.ci, Math.floor((i % c.ci) / perGroup)]
        return [mean![group]!, gamma![channel]! * rstd![group]!, beta![channel]!][Math.floor(i / c.ci)]!
      })
      close('y behind a norm', await resultOf('NormReluConv3D', { x, filter, residual, ...norm }, attrs), y =>
        addon.conv3dForward(x[0], filter[0], y, shape, 'float32', table, residual[0]),
      )
      const behind = await resultOf('NormReluConv3DBackpropFilter', { x, dy, ...norm }, filterAttrs)
      close('dfilter behind a norm', behind, dfilter =>
        addon.conv3dFilterGradient(x[0], dy[0], dfilter, shape, 'float32', table),
      )
    }
    await tf.setBackend('cpu')
  })
