/** Sums over axes, in an order that depends on the shape only: chunks, then trees. */

import { util, type TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../backend.ts'
import type { Program } from '../program.ts'
import {
  addSlots,
  chunkGroups,
  chunkKey,
  chunkMain,
  chunkUniforms,
  chunkValues,
  fromSlots,
  planChannels,
  rowLoop,
  toSlots,
  unitType,
  type ChannelPlan,
} from './channels.ts'
import { transposed } from './copy.ts'
import { lanes } from './entry.ts'
import { sizeOf } from './kernel.ts'
import type { PartialKernel } from './partial.ts'

/** Rows that a lane adds up in one go. */
const mostPasses = 32

export const sum: PartialKernel = ({ inputs, backend, attrs }) => {
  const x = inputs['x']!
  if (x.dtype !== 'float32' || sizeOf(x.shape) === 0) return undefined
  const axes = util.parseAxisParam(attrs['axis'] as number | number[], x.shape).toSorted((a, b) => a - b)
  const kept = x.shape.map((_, axis) => axis).filter(axis => !axes.includes(axis))
  const shape = attrs['keepDims']
    ? x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
    : kept.map(axis => x.shape[axis]!)
  const rows = sizeOf(axes.map(axis => x.shape[axis]!))
  const channels = sizeOf(kept.map(axis => x.shape[axis]!))
  // Sums are taken over the first axes.
  const isLeading = axes.every((axis, i) => axis === i) || channels === 1
  const lines = isLeading ? x : transposed(backend, x, [...axes, ...kept])
  const total = channels === 1 ? wholeSum(backend, lines, rows) : rowSums(backend, lines, rows, channels)
  if (!isLeading) backend.disposeData(lines.dataId)
  return { ...total, shape }
}

/** Of all elements, read in vectors where there are many. */
function wholeSum(backend: GpuBackend, x: TensorInfo, size: number): TensorInfo {
  if (size % 4 !== 0 || size <= lanes * mostPasses) return rowSums(backend, x, size, 1)
  const plan = planChannels(size / 4, 4)
  const partial = chunkSums(backend, x, size / 4, 4, plan)
  const total = rowSums(backend, partial, plan.chunks * 4, 1)
  backend.disposeData(partial.dataId)
  return total
}

/** x seen as (rows, channels), summed over the rows. */
function rowSums(backend: GpuBackend, x: TensorInfo, rows: number, channels: number): TensorInfo {
  const whole = planChannels(rows, channels, mostPasses)
  const plan = whole.chunks === 1 ? whole : planChannels(rows, channels)
  const sums = chunkSums(backend, x, rows, channels, plan)
  if (plan.chunks === 1) return sums
  const total = rowSums(backend, sums, plan.chunks, channels)
  backend.disposeData(sums.dataId)
  return total
}

/** (chunks, channels). */
function chunkSums(backend: GpuBackend, x: TensorInfo, rows: number, channels: number, plan: ChannelPlan): TensorInfo {
  const sums = backend.output([plan.chunks, channels])
  backend.run(`Sum ${chunkKey(plan)}`, () => summing(plan), {
    buffers: { x, sums },
    uniforms: chunkValues(plan, 1, rows),
    workgroups: chunkGroups(plan, 1),
  })
  return sums
}

function summing(plan: ChannelPlan): Program {
  const type = unitType(plan)
  return {
    name: 'Sum',
    bindings: [
      { name: 'x', type: `array<${type}>`, access: 'read' },
      { name: 'sums', type: `array<${type}>`, access: 'read_write' },
    ],
    uniforms: chunkUniforms,
    code: `
var<workgroup> slots: array<array<f32, ${lanes}>, ${plan.width}>;
${chunkMain(plan, {
  accumulate: `
  var own = ${type}(0.0);
  ${rowLoop(plan, 'own += x[at];')}`,
  share: toSlots(plan, 'slots', 0, 'own'),
  merge: addSlots(plan.width),
  write: `sums[part * ${plan.units}u + unit] = ${fromSlots(plan, 'slots')};`,
})}`,
  }
}
