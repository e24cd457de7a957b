/** The convolutions of the network, forward and both gradients. */

import type { Addon } from '../../native/addon.ts'
import type { Shape3 } from '../../pipeline/grid.ts'
import { noise, type KernelCase, type KernelCall, type Memory } from './kernel-trial.ts'
import { flopsOf, nameOf, shareNeeded, voxelsOf, type Convolution } from './layers.ts'

/** What plain loops do in a moment. */
const checkedFlops = 1e8

interface Arrays {
  readonly x: Float32Array
  readonly filter: Float32Array
  readonly dy: Float32Array
  readonly to: Float32Array
  /** Mean, scale and shift of the input's channels, and what is added to the output: what a residual block applies. */
  readonly norm: Float32Array
  readonly residual: Float32Array
}

interface Operation {
  readonly name: string
  readonly needed: (convolution: Convolution) => boolean
  readonly result: 'x' | 'filter' | 'dy'
  readonly run: (addon: Addon, arrays: Arrays, shape: readonly number[]) => void
}

const operations: readonly Operation[] = [
  {
    name: 'conv3d-forward',
    needed: () => true,
    result: 'dy',
    run: (addon, { x, filter, to }, shape) => addon.conv3dForward(x, filter, to, shape),
  },
  {
    name: 'conv3d-input-gradient',
    needed: ({ first }) => !first,
    result: 'x',
    run: (addon, { dy, filter, to }, shape) => addon.conv3dInputGradient(dy, filter, to, shape),
  },
  {
    name: 'conv3d-filter-gradient',
    needed: () => true,
    result: 'filter',
    run: (addon, { x, dy, to }, shape) => addon.conv3dFilterGradient(x, dy, to, shape),
  },
  {
    name: 'norm-conv3d-residual-forward',
    needed: ofBlock,
    result: 'dy',
    run: (addon, { x, filter, to, norm, residual }, shape) =>
      addon.conv3dForward(x, filter, to, shape, 'float32', norm, residual),
  },
  {
    name: 'norm-conv3d-filter-gradient',
    needed: ofBlock,
    result: 'filter',
    run: (addon, { x, dy, to, norm }, shape) => addon.conv3dFilterGradient(x, dy, to, shape, 'float32', norm),
  },
]

/** Whether residual blocks have such a convolution. */
function ofBlock({ ci, co, kernel, stride }: Convolution): boolean {
  return ci === co && kernel === 3 && stride === 1
}

export function convolutionCases(convolution: Convolution): KernelCase[] {
  return operations
    .filter(({ needed }) => needed(convolution))
    .map(operation => ({
      name: `${operation.name}/${nameOf(convolution)}/float32`,
      unit: 'GFLOP/s',
      amount: flopsOf(convolution) / 1e9,
      necessary: shareNeeded(convolution),
      peak: 'float32',
      // Sums of up to millions of products, in another order.
      tolerance: 1e-4,
      timed: memory => callOf(operation, convolution, memory),
      checked: () => callOf(operation, cropped(convolution)),
    }))
}

const cube = (n: number): number[] => [n, n, n]

/** On memory of its own where it is given none. */
function callOf({ run, result }: Operation, convolution: Convolution, memory?: Memory): KernelCall {
  const { input, output, ci, co, kernel, stride } = convolution
  const sizes = { x: voxelsOf(input) * ci, filter: kernel ** 3 * ci * co, dy: voxelsOf(output) * co }
  const slots = { x: 'a', filter: 'filter', dy: 'b' }
  const take = (slot: 'x' | 'filter' | 'dy'): Float32Array => {
    // What is computed is not read.
    if (slot === result) return new Float32Array(0)
    return memory ? memory.input(slots[slot], sizes[slot]) : noise(sizes[slot])
  }
  const to = memory ? memory.output('to', sizes[result]) : new Float32Array(sizes[result])
  const added = sizes.dy
  const residual = memory ? memory.input('residual', added) : noise(added)
  const arrays = { x: take('x'), filter: take('filter'), dy: take('dy'), to, norm: noise(3 * ci), residual }
  const pad = (kernel - 1) / 2
  const shape = [1, ...input, ci, ...cube(kernel), ...output, co, ...cube(stride), ...cube(pad)]
  return { run: addon => run(addon, arrays, shape), outputs: [to] }
}

/** Rows as long as they are, since code paths depend on that, and fewer of them: as many as `flops` allow. */
export function cropped(convolution: Convolution, flops = checkedFlops): Convolution {
  const { stride } = convolution
  let [depth, height, width] = convolution.output
  const small = (): Convolution => ({
    ...convolution,
    output: [depth, height, width],
    input: [depth, height, width].map(extent => extent * stride) as unknown as Shape3,
  })
  while (flopsOf(small()) > flops && (depth > 3 || height > 3)) {
    if (height > depth) height = Math.max(3, Math.ceil(height / 2))
    else depth = Math.max(3, Math.ceil(depth / 2))
  }
  return small()
}
