/**
 * The programs of the networks' convolutions on the least device that WebGPU allows: 16 KiB of workgroup memory, 256
 * threads, 8 storage buffers. Dawn's null backend computes nothing, but it checks and compiles all WGSL.
 */

import t from 'tap'
import { geometryOf } from '../../../engine/backends/webgpu/kernels/conv3d/geometry.ts'
import type { MatrixUnit } from '../../../engine/backends/webgpu/kernels/conv3d/matrix-unit.ts'
import {
  planConvolution,
  planOfFilterGradient,
  type Planned,
} from '../../../engine/backends/webgpu/kernels/conv3d/plan.ts'
import { wgsl } from '../../../engine/backends/webgpu/program.ts'
import { skipped } from '../../support/backends.ts'

type Layer = readonly [extents: readonly number[], ci: number, co: number, kernel: number, stride: number]

/** One of each kind; patches along either axis, and one that no tile divides. */
const layers: Layer[] = [
  [
    [224, 224, 32],
    [112, 112, 16],
    [56, 56, 8],
    [28, 28, 4],
  ],
  [
    [32, 224, 224],
    [16, 112, 112],
    [8, 56, 56],
    [4, 28, 28],
  ],
  [
    [104, 88, 40],
    [52, 44, 20],
    [26, 22, 10],
    [13, 11, 5],
  ],
].flatMap(levels =>
  [8, 32].flatMap(filters =>
    levels.flatMap((extents, level): Layer[] => {
      const channels = filters * 2 ** level
      return [
        [extents, channels, channels, 3, 1],
        ...(level === 0
          ? ([
              [extents, 1, channels, 3, 1],
              [extents, channels, 2, 1, 1],
            ] as Layer[])
          : ([
              [levels[level - 1]!, channels / 2, channels, 3, 2],
              [extents, channels, channels / 2, 1, 1],
            ] as Layer[])),
      ]
    }),
  ),
)

/** Layers of the published network at its own patch. */
const oneNetwork = layers.length / 6

t.test(
  'every program of the published network, and of one four times as wide, holds the least limits',
  { skip: skipped('webgpu') },
  async t => {
    const { create, globals } = await import('webgpu')
    Object.assign(globalThis, globals)
    const instance = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis'])
    const adapter = await instance.requestAdapter()
    const requiredFeatures = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[]
    const device = await adapter!.requestDevice({ requiredFeatures })
    const least = {
      maxComputeWorkgroupStorageSize: 16_384,
      maxComputeInvocationsPerWorkgroup: 256,
      maxStorageBuffersPerShaderStage: 8,
    }
    for (const [limit, value] of Object.entries(least))
      t.equal(device.limits[limit as keyof typeof least], value, `the device has the least ${limit}`)

    t.match(await errorOf(device, tooLarge), /16400/, 'more is refused')

    const seen = new Set<string>()
    let onUnits = 0
    for (const layer of layers) {
      const [extents, ci, co, kernel, stride] = layer
      const some = layers.indexOf(layer) < oneNetwork ? precisions : precisions.slice(0, 3)
      for (const { half, unit } of kernel > 1 && ci > 1 ? some : precisions.slice(0, 1)) {
        const pad = (kernel - 1) / 2
        const geometry = geometryOf('test', [1, ...extents, ci], [kernel, kernel, kernel, ci, co], {
          strides: stride,
          pad,
        })
        const groups = stride === 1 && ci > 1 ? 8 : undefined
        const plans = {
          forward: planConvolution(
            geometry,
            false,
            { groups, residual: groups !== undefined, half, unit },
            device.limits,
          ),
          gradient: planConvolution(geometry, true, { residual: false, half, unit }, device.limits),
          filter: planOfFilterGradient(geometry, { groups, half, unit }, device.limits),
        }
        for (const [what, planned] of Object.entries(plans) as [string, Planned | undefined][]) {
          const name = `${what}, ${ci} to ${co} channels of ${extents.join(' x ')}, kernel ${kernel}, stride ${stride}${half ? ', half' : ''}${unit ? ` on ${unit.m} x ${unit.n} x ${unit.k}` : ''}`
          if (!planned) {
            t.fail(`${name}: no tile`)
            continue
          }
          if (seen.has(planned.key)) continue
          seen.add(planned.key)
          const program = planned.program()
          t.equal(await errorOf(device, unit ? inWholeSubgroups(wgsl(program)) : wgsl(program)), undefined, name)
          if (!unit) continue
          onUnits++
          t.ok(program.enable?.includes('chromium_experimental_subgroup_matrix'), `${name}: on matrices`)
        }
      }
    }
    t.ok(seen.size > 100)
    t.ok(onUnits > 50)
    device.destroy()
  },
)

/** Units as NVIDIA's adapters list them; then, for one network, Apple's and Intel's, and the largest subgroups. */
const precisions: readonly { readonly half: boolean; readonly unit?: MatrixUnit }[] = [
  { half: false },
  { half: true },
  { half: true, unit: { m: 16, n: 16, k: 16, subgroup: 32 } },
  { half: true, unit: { m: 16, n: 16, k: 16, subgroup: 128 } },
  { half: true, unit: { m: 8, n: 8, k: 8, subgroup: 32 } },
  { half: true, unit: { m: 8, n: 16, k: 16, subgroup: 32 } },
]

/** The null device says that its subgroups have up to 128 threads, and Dawn refuses workgroups of parts of them. */
function inWholeSubgroups(code: string): string {
  return code.replace(/@workgroup_size\((\d+)\)/, (_, threads) => `@workgroup_size(${Math.ceil(+threads / 128) * 128})`)
}

const tooLarge = `
var<workgroup> values: array<f32, 4100>;
@compute @workgroup_size(1)
fn main() { values[0] = 1; }`

async function errorOf(device: GPUDevice, code: string): Promise<string | undefined> {
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ code })
  device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } })
  return (await device.popErrorScope())?.message
}
