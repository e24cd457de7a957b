/**
 * The webgpu backend's convolutions and their gradients against float64, on SwiftShader: the network's forms and a part of
 * a long list of others, all of it with CTFLOW_SWEEP=1.
 */

import t, { type Test } from 'tap'
import { skipped, withBackend } from '../../support/backends.ts'
import {
  callsOf,
  compareBatch,
  compareConvolution,
  cube,
  fits,
  inputsOf,
  nameOf,
  resultOf,
  runKernel,
  sameBits,
  type ConvolutionCase,
  type KernelInputs,
  type Triple,
} from '../../support/gpu-convolutions.ts'

const skip = skipped('webgpu')

/** Kernel, stride, padding: those of the network first. */
const forms: readonly (readonly [Triple, Triple, number])[] = [
  [cube(3), cube(1), 1],
  [cube(3), cube(2), 1],
  [cube(1), cube(1), 0],
  [cube(3), cube(1), 0],
  [cube(5), cube(1), 2],
  [cube(1), cube(2), 0],
  [cube(2), cube(2), 0],
  [cube(3), cube(3), 1],
  [[1, 3, 2], [1, 2, 1], 1],
  [[3, 1, 5], [1, 1, 2], 2],
]

/** Numbers that are no multiple of four, and those of the network; some with a norm in front. */
const channels: readonly (readonly [ci: number, co: number, groups?: number])[] = [
  [8, 8, 8],
  [1, 8],
  [16, 8],
  [8, 16, 4],
  [2, 1],
  [3, 5, 3],
  [9, 12],
  [24, 7, 8],
  [1, 3],
  [33, 4, 11],
  [64, 33],
]

const extents = [7, 5, 1, 3, 2, 17, 30]

const sweep: ConvolutionCase[] = channels.flatMap(([ci, co, groups], i) =>
  forms.map(([kernel, stride, pad], j) => ({
    batch: 1 + ((i + j) % 2),
    size: [extents[(i + j) % 5]!, extents[(i + 2 * j + 1) % 6]!, extents[(3 * i + j) % 7]!] as const,
    ci,
    co,
    kernel,
    stride,
    pad,
    groups,
  })),
)

const chosen = process.env['CTFLOW_SWEEP'] ? sweep : sweep.filter((_, i) => i % 9 === 0)

for (const c of chosen.filter(fits)) onGpu(nameOf(c), t => compareConvolution(t, c, { tolerance: 1e-5, half: false }))

/** More than one box along every axis, more than one chunk of channels and block of them. */
for (const c of [
  { batch: 1, size: [5, 10, 33], ci: 8, co: 8, kernel: cube(3), stride: cube(1), pad: 1, groups: 8 },
  { batch: 1, size: [5, 6, 10], ci: 24, co: 20, kernel: cube(3), stride: cube(1), pad: 1, groups: 8 },
  { batch: 1, size: [12, 10, 34], ci: 8, co: 16, kernel: cube(3), stride: cube(2), pad: 1 },
  { batch: 1, size: [7, 9, 30], ci: 1, co: 8, kernel: cube(3), stride: cube(1), pad: 1 },
  { batch: 2, size: [6, 15, 7], ci: 32, co: 16, kernel: cube(1), stride: cube(1), pad: 0, groups: 8 },
] satisfies ConvolutionCase[])
  onGpu(`several boxes: ${nameOf(c)}`, t => compareConvolution(t, c, { tolerance: 1e-5, half: false }))

/** No tile holds these: workgroup memory is too small for the halo, or a workgroup has too few threads for the taps. */
for (const c of [
  { batch: 2, size: [3, 4, 5], ci: 3, co: 2, kernel: cube(11), stride: cube(1), pad: 5, groups: 3 },
  { batch: 1, size: [9, 3, 20], ci: 3, co: 4, kernel: [17, 17, 1], stride: [2, 1, 3], pad: 8 },
] satisfies ConvolutionCase[])
  onGpu(`a very large filter: ${nameOf(c)}`, t => compareConvolution(t, c, { tolerance: 1e-5, half: false }))

for (const pad of ['same', 'valid'])
  onGpu(`pads by name: ${pad}`, async t => {
    const { x, filter } = inputsOf({
      batch: 1,
      size: [4, 5, 6],
      ci: 2,
      co: 3,
      kernel: cube(3),
      stride: cube(1),
      pad: 1,
    })
    const numbers = await resultOf('Conv3D', { x, filter }, { strides: [1, 1, 1], pad: pad === 'same' ? 1 : 0 })
    t.same(await resultOf('Conv3D', { x, filter }, { strides: [1, 1, 1], pad }), numbers)
  })

/** Of each kernel one case with several chunks and boxes. */
const repeated: ConvolutionCase = {
  batch: 3,
  size: [4, 7, 9],
  ci: 16,
  co: 8,
  kernel: cube(3),
  stride: cube(1),
  pad: 1,
  groups: 8,
}

onGpu('two runs give the same bits', async t => {
  for (const { name, inputs, attrs } of callsOf(repeated)) {
    const first = await resultOf(name, inputs, attrs)
    t.ok(sameBits(first, await resultOf(name, inputs, attrs)), name)
  }
})

onGpu('a batch has the bits of its samples, filter gradients of their sums in order', t => compareBatch(t, repeated))

onGpu('what does not fit is refused', async t => {
  const { x, filter, dy, norm, attrs } = inputsOf({ ...repeated, batch: 1, size: [6, 9, 20] })
  const refused = (name: string, inputs: KernelInputs, own: Record<string, unknown>, message: RegExp): void => {
    t.throws(() => runKernel(name, inputs, own), { code: 'ERR_ENGINE', message })
  }
  refused(
    'Conv3D',
    { x, filter },
    { ...attrs, dilations: 2 },
    /Conv3D: the webgpu backend has no dilation but 1, found 2/,
  )
  refused(
    'Conv3D',
    { x: dy, filter },
    attrs,
    /Conv3D: expected as many channels in both, found .* 20 x 8 and .* 16 x 8/,
  )
  refused('Conv3D', { x, filter }, { strides: 1, pad: -3 }, /expected at least one voxel and channel in and out/)
  const inputShape = [1, 6, 9, 19, 16]
  refused(
    'Conv3DBackpropInputV2',
    { dy, filter },
    { ...attrs, inputShape },
    /expected dy of shape \(1, 6, 9, 19, 8\), found \(1, 6, 9, 20, 8\)/,
  )
  const filterShape = [...filter[1]]
  refused('Conv3DBackpropFilterV2', { x, dy: x }, { ...attrs, filterShape }, /expected dy of shape/)
  refused('NormReluConv3D', { x, filter, ...norm, residual: x }, attrs, /expected residual of shape/)
  const five = [Float32Array.of(1, 2, 3, 4, 5), [1, 5]] as const
  refused('NormReluConv3D', { x, filter, ...norm, mean: five }, attrs, /groups that divide the 16 channels, found 5/)
  refused(
    'NormReluConv3DBackpropFilter',
    { x, dy, ...norm, gamma: five },
    { ...attrs, filterShape },
    /expected gamma of shape \(16\), found \(1, 5\)/,
  )
})

function onGpu(name: string, work: (t: Test) => Promise<void>): void {
  void t.test(name, { skip }, t => withBackend('webgpu', () => work(t)))
}
