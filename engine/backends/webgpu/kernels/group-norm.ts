/**
 * Group norm with ReLU; its gradient is group-norm-gradient.ts. Statistics are found in two steps: chunks of voxels give each channel's mean and
 * sum of squared deviations, which Chan, Golub and LeVeque's formula ("Updating Formulae and a Pairwise Algorithm for
 * Computing Sample Variances", 1979) merges. Means are relative to the sample's first voxel, so that no digit is lost to
 * values far from zero.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Program } from '../program.ts'
import { spread } from '../program.ts'
import {
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
import { checkFloats } from './dtypes.ts'
import { elementGroups, elementMain, written, lanes, taskMain, tree } from './entry.ts'
import { check, checkShape, checkVolumes, kernel, sizeOf, type Call } from './kernel.ts'

/** (samples, voxels, channels), and the groups of channels. */
export interface Shape {
  readonly samples: number
  readonly voxels: number
  readonly channels: number
  readonly groups: number
}

function checkGroups(name: string, x: TensorInfo, groups: number): Shape {
  checkVolumes(name, 'x', x)
  checkFloats([x])
  const channels = x.shape.at(-1)!
  const divides = Number.isInteger(groups) && groups > 0 && channels % groups === 0
  check(divides, name, `expected groups that divide the ${channels} channels, found ${groups}`)
  return { samples: x.shape[0]!, voxels: sizeOf(x.shape.slice(1, -1)), channels, groups }
}

export function checkInputs(name: string, x: TensorInfo, gamma: TensorInfo, beta: TensorInfo, groups: number): Shape {
  const shape = checkGroups(name, x, groups)
  checkShape(name, 'gamma', gamma, [shape.channels])
  checkShape(name, 'beta', beta, [shape.channels])
  checkFloats([gamma, beta])
  return shape
}

/** {x} -> [mean (N, groups), rstd (N, groups)] */
export const groupNormStatistics = kernel('GroupNormStatistics', call => {
  const shape = checkGroups('GroupNormStatistics', call.inputs['x']!, call.attrs['groups'] as number)
  return statistics(call, shape)
})

/** {x, gamma, beta} -> [y, mean (N, groups), rstd (N, groups)] */
export const groupNormRelu = kernel('GroupNormRelu', call => {
  const { inputs, backend, attrs } = call
  const [x, gamma, beta] = [inputs['x']!, inputs['gamma']!, inputs['beta']!]
  const shape = checkInputs('GroupNormRelu', x, gamma, beta, attrs['groups'] as number)
  const { voxels, channels, groups } = shape
  const [mean, rstd] = statistics(call, shape)
  const plan = planChannels(voxels, channels)
  const relu = attrs['relu'] as boolean
  const y = backend.output(x.shape)
  const size = sizeOf(x.shape) / plan.width
  backend.run(`GroupNormRelu ${chunkKey(plan)} ${groups} ${relu}`, () => applying(plan, shape, relu), {
    buffers: { x, mean, rstd, gamma, beta, y },
    uniforms: { size, rows: voxels },
    workgroups: elementGroups(size),
  })
  return [y, mean, rstd]
})

function statistics({ inputs: { x }, backend, attrs }: Call, shape: Shape): [mean: TensorInfo, rstd: TensorInfo] {
  const { samples, voxels, channels, groups } = shape
  const plan = planChannels(voxels, channels)
  const partial = backend.output([samples, plan.chunks, 2, channels])
  backend.run(`GroupNormStatistics ${chunkKey(plan)}`, () => chunkMoments(plan), {
    buffers: { x: x!, partial },
    uniforms: chunkValues(plan, samples, voxels),
    workgroups: chunkGroups(plan, samples),
  })
  const [mean, rstd] = [backend.output([samples, groups]), backend.output([samples, groups])]
  backend.run(`GroupNormStatistics merge ${channels} ${groups}`, () => mergedMoments(shape), {
    buffers: { x: x!, partial, mean, rstd },
    uniforms: {
      tasks: samples * groups,
      rows: voxels,
      rowsPerChunk: plan.rowsPerChunk,
      chunks: plan.chunks,
      epsilon: attrs['epsilon'] as number,
    },
    workgroups: spread(samples * groups),
  })
  backend.disposeData(partial.dataId)
  return [mean, rstd]
}

/** What lanes found: the count, mean and sum of squared deviations of `width` sets each. */
function momentsOf(width: number): string {
  return `
var<workgroup> counts: array<f32, ${lanes}>;
var<workgroup> means: array<array<f32, ${lanes}>, ${width}>;
var<workgroup> deviations: array<array<f32, ${lanes}>, ${width}>;
// Makes set k of a lane the union of it and another, of which there is something; the count stays as it is.
fn unite(lane: u32, k: u32, count: f32, mean: f32, squares: f32) {
  let own = counts[lane];
  let share = count / (own + count);
  let away = mean - means[k][lane];
  means[k][lane] += away * share;
  deviations[k][lane] += squares + away * away * (own * share);
}
fn uniteLanes(lane: u32, other: u32) {
  let count = counts[other];
  if (count > 0.0) {
    for (var k = 0u; k < ${width}u; k++) { unite(lane, k, count, means[k][other], deviations[k][other]); }
    counts[lane] += count;
  }
}`
}

/** partial (N, chunks, 2, C): means, relative to the sample's first voxel, and sums of squared deviations. */
function chunkMoments(plan: ChannelPlan): Program {
  const type = unitType(plan)
  return {
    name: 'GroupNormStatistics',
    bindings: [
      { name: 'x', type: `array<${type}>`, access: 'read' },
      { name: 'partial', type: `array<${type}>`, access: 'read_write' },
    ],
    uniforms: chunkUniforms,
    code: `${momentsOf(plan.width)}
${chunkMain(plan, {
  // A lane's own first value keeps its squares small, whatever the sample's first voxel is.
  accumulate: `
  var count = 0.0;
  var middle = ${type}(0.0);
  var squares = ${type}(0.0);
  if (works && begin + row < end) {
    let base = x[n * u.rows * ${plan.units}u + unit];
    let first = x[(n * u.rows + begin + row) * ${plan.units}u + unit];
    var sum = ${type}(0.0);
    ${rowLoop(
      plan,
      `
      let away = x[at] - first;
      sum += away;
      squares += away * away;
      count += 1.0;`,
    )}
    let mean = sum / count;
    middle = (first - base) + mean;
    squares = max(squares - sum * mean, ${type}(0.0));
  }`,
  share: `
  counts[lane] = count;
  ${toSlots(plan, 'means', 0, 'middle')}
  ${toSlots(plan, 'deviations', 0, 'squares')}`,
  merge: 'uniteLanes(lane, other);',
  write: `
    partial[part * ${2 * plan.units}u + unit] = ${fromSlots(plan, 'means')};
    partial[part * ${2 * plan.units}u + ${plan.units}u + unit] = ${fromSlots(plan, 'deviations')};`,
})}`,
  }
}

/** A workgroup for each group of a sample. */
function mergedMoments({ channels, groups }: Shape): Program {
  const perGroup = channels / groups
  return {
    name: 'GroupNormStatistics merge',
    bindings: [
      { name: 'x', type: 'array<f32>', access: 'read' },
      { name: 'partial', type: 'array<f32>', access: 'read' },
      { name: 'mean', type: 'array<f32>', access: 'read_write' },
      { name: 'rstd', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: { tasks: 'u32', rows: 'u32', rowsPerChunk: 'u32', chunks: 'u32', epsilon: 'f32' },
    code: `${momentsOf(1)}
${taskMain(`
  let n = task / ${groups}u;
  let firstChannel = (task % ${groups}u) * ${perGroup}u;
  let bases = n * u.rows * ${channels}u + firstChannel;
  let base = x[bases];
  counts[lane] = 0.0;
  means[0][lane] = 0.0;
  deviations[0][lane] = 0.0;
  for (var k = lane; k < u.chunks * ${perGroup}u; k += ${lanes}u) {
    let chunk = k / ${perGroup}u;
    let c = k % ${perGroup}u;
    let at = (n * u.chunks + chunk) * ${2 * channels}u + firstChannel + c;
    let count = min(u.rowsPerChunk, u.rows - chunk * u.rowsPerChunk);
    unite(lane, 0u, f32(count), (x[bases + c] - base) + partial[at], partial[at + ${channels}u]);
    counts[lane] += f32(count);
  }
  ${tree(lanes, 'if (lane < step) { uniteLanes(lane, lane + step); }')}
  if (lane == 0u) {
    mean[task] = base + means[0][0];
    rstd[task] = 1.0 / sqrt(deviations[0][0] / counts[0] + u.epsilon);
  }`)}`,
  }
}

/** A unit of `mean` or `rstd` (N, groups) for the channels of `unit`. */
export function ofGroup(name: string, { width }: ChannelPlan, { channels, groups }: Shape): string {
  const perGroup = channels / groups
  const one = (k: number): string => `${name}[n * ${groups}u + (unit * ${width}u + ${k}u) / ${perGroup}u]`
  return width === 1 ? one(0) : `vec4f(${written(4, one, ', ')})`
}

export const [asUnits, asFloats] = [
  (plan: ChannelPlan, name: string) => ({ name, type: `array<${unitType(plan)}>`, access: 'read' }) as const,
  (name: string) => ({ name, type: 'array<f32>', access: 'read' }) as const,
]

function applying(plan: ChannelPlan, shape: Shape, relu: boolean): Program {
  const type = unitType(plan)
  return {
    name: 'GroupNormRelu',
    bindings: [
      asUnits(plan, 'x'),
      asFloats('mean'),
      asFloats('rstd'),
      asUnits(plan, 'gamma'),
      asUnits(plan, 'beta'),
      { ...asUnits(plan, 'y'), access: 'read_write' },
    ],
    uniforms: { size: 'u32', rows: 'u32' },
    code: elementMain(`
  let unit = i % ${plan.units}u;
  let n = i / ${plan.units}u / u.rows;
  let scale = gamma[unit] * ${ofGroup('rstd', plan, shape)};
  let value = (x[i] - ${ofGroup('mean', plan, shape)}) * scale + beta[unit];
  y[i] = ${relu ? `select(value, ${type}(0.0), value < ${type}(0.0))` : 'value'};`),
  }
}
