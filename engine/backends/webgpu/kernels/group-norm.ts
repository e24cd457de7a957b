/**
 * Group norm with ReLU, and its gradient. Statistics are found in two steps: chunks of voxels give each channel's mean and
 * sum of squared deviations, which Chan, Golub and LeVeque's formula ("Updating Formulae and a Pairwise Algorithm for
 * Computing Sample Variances", 1979) merges. Means are relative to the sample's first voxel, so that no digit is lost to
 * values far from zero.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { Program } from '../program.ts'
import { spread } from '../program.ts'
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
import { checkFloats } from './dtypes.ts'
import { elementGroups, elementMain, each, lanes, taskMain, tree } from './entry.ts'
import { check, checkShape, checkVolumes, kernel, sizeOf, type Call } from './kernel.ts'

/** (samples, voxels, channels), and the groups of channels. */
interface Shape {
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

function checkInputs(name: string, x: TensorInfo, gamma: TensorInfo, beta: TensorInfo, groups: number): Shape {
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

/**
 * {dy, x, gamma, beta, mean, rstd, residual?} -> [dx + residual, dgamma, dbeta]; with `inPlace`, dx takes dy's memory if nobody
 * else holds it. A sample's part of dgamma and dbeta is summed up by itself, and the parts are added in order: one call with
 * several samples has the bits of one call each, added in order.
 */
export const groupNormReluGrad = kernel('GroupNormReluGrad', ({ inputs, backend, attrs }) => {
  const name = 'GroupNormReluGrad'
  const { dy, x, gamma, beta, mean, rstd, residual } = inputs as Record<string, TensorInfo> & {
    readonly [input in 'dy' | 'x' | 'gamma' | 'beta' | 'mean' | 'rstd']: TensorInfo
  }
  const shape = checkInputs(name, x, gamma, beta, attrs['groups'] as number)
  const { samples, voxels, channels, groups } = shape
  checkShape(name, 'dy', dy, x.shape)
  checkShape(name, 'mean', mean, [samples, groups])
  checkShape(name, 'rstd', rstd, [samples, groups])
  if (residual) checkShape(name, 'residual', residual, x.shape)
  checkFloats([dy, mean, rstd, residual])
  const relu = attrs['relu'] as boolean
  const plan = planChannels(voxels, channels)
  const key = `${chunkKey(plan)} ${groups} ${relu}`

  const partial = backend.output([samples, plan.chunks, 2, channels])
  backend.run(`${name} sums ${key}`, () => gradientSums(plan, shape, relu), {
    buffers: { dy, x, gamma, beta, mean, rstd, partial },
    uniforms: chunkValues(plan, samples, voxels),
    workgroups: chunkGroups(plan, samples),
  })
  const [dgamma, dbeta] = [backend.output([channels]), backend.output([channels])]
  const table = backend.output([samples, tableRows, channels])
  backend.run(`${name} merge ${channels} ${groups}`, () => gradientMerge(shape), {
    buffers: { partial, gamma, beta, mean, rstd, dgamma, dbeta, table },
    uniforms: { tasks: groups, samples, chunks: plan.chunks, count: (voxels * channels) / groups },
    workgroups: spread(groups),
  })
  // A buffer that is written cannot be bound as another input too.
  const isShared = dy.dataId === x.dataId || dy.dataId === residual?.dataId
  const dx = attrs['inPlace'] && !isShared ? backend.overwriting(dy) : backend.output(x.shape)
  const inPlace = dx.dataId === dy.dataId
  const size = sizeOf(x.shape) / plan.width
  backend.run(
    `${name} dx ${key} ${inPlace} ${residual !== undefined}`,
    () => gradientOfX(plan, relu, inPlace, residual !== undefined),
    {
      buffers: { x, table, dx, ...(!inPlace && { dy }), ...(residual && { residual }) },
      uniforms: { size, rows: voxels },
      workgroups: elementGroups(size),
    },
  )
  for (const { dataId } of [partial, table]) backend.disposeData(dataId)
  return [dx, dgamma, dbeta]
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
function ofGroup(name: string, { width }: ChannelPlan, { channels, groups }: Shape): string {
  const perGroup = channels / groups
  const one = (k: number): string => `${name}[n * ${groups}u + (unit * ${width}u + ${k}u) / ${perGroup}u]`
  return width === 1 ? one(0) : `vec4f(${each(4, one, ', ')})`
}

const [asUnits, asFloats] = [
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

/** What the ReLU let through of `slope`; `away` is x - mean. */
function passed(type: string, relu: boolean, slope: string): string {
  return relu ? `select(${type}(0.0), ${slope}, away * scale + shift > ${type}(0.0))` : slope
}

/** partial (N, chunks, 2, C): sums of u, which is dy where the ReLU let it through, and of u times the normalised x. */
function gradientSums(plan: ChannelPlan, shape: Shape, relu: boolean): Program {
  const type = unitType(plan)
  return {
    name: 'GroupNormReluGrad sums',
    bindings: [
      asUnits(plan, 'dy'),
      asUnits(plan, 'x'),
      asUnits(plan, 'gamma'),
      asUnits(plan, 'beta'),
      asFloats('mean'),
      asFloats('rstd'),
      { ...asUnits(plan, 'partial'), access: 'read_write' },
    ],
    uniforms: chunkUniforms,
    code: `
var<workgroup> slots: array<array<f32, ${lanes}>, ${2 * plan.width}>;
${chunkMain(plan, {
  accumulate: `
  var sum = ${type}(0.0);
  var product = ${type}(0.0);
  if (works) {
    let inverse = ${ofGroup('rstd', plan, shape)};
    let middle = ${ofGroup('mean', plan, shape)};
    let scale = gamma[unit] * inverse;
    let shift = beta[unit];
    ${rowLoop(
      plan,
      `
      let away = x[at] - middle;
      let slope = ${passed(type, relu, 'dy[at]')};
      sum += slope;
      product += slope * (away * inverse);`,
    )}
  }`,
  share: `
  ${toSlots(plan, 'slots', 0, 'sum')}
  ${toSlots(plan, 'slots', 1, 'product')}`,
  merge: addSlots(2 * plan.width),
  write: `
    partial[part * ${2 * plan.units}u + unit] = ${fromSlots(plan, 'slots', 0)};
    partial[part * ${2 * plan.units}u + ${plan.units}u + unit] = ${fromSlots(plan, 'slots', 1)};`,
})}`,
  }
}

/** Of `table` (N, 5, C): mean, rstd gamma, beta, rstd m1, rstd^2 m2; see `gradientOfX`. */
const tableRows = 5

/** Adds up `count` slots that lie `stride` apart, each with those beside it. */
function summed(count: number, stride: number): string {
  return tree(count, `if (lane < step * ${stride}u) { slots[lane] += slots[lane + step * ${stride}u]; }`)
}

/** A workgroup for each group of channels. Lanes lie along channels and chunks. */
function gradientMerge({ channels, groups }: Shape): Program {
  const perGroup = channels / groups
  const across = Math.min(lanes, 2 ** Math.ceil(Math.log2(perGroup)))
  const along = lanes / across
  return {
    name: 'GroupNormReluGrad merge',
    bindings: [
      ...['partial', 'gamma', 'beta', 'mean', 'rstd'].map(asFloats),
      ...['dgamma', 'dbeta', 'table'].map(name => ({ ...asFloats(name), access: 'read_write' }) as const),
    ],
    uniforms: { tasks: 'u32', samples: 'u32', chunks: 'u32', count: 'f32' },
    code: `
var<workgroup> slots: array<vec2f, ${lanes}>;
${taskMain(`
  let firstChannel = task * ${perGroup}u;
  let k = lane % ${across}u;
  for (var n = 0u; n < u.samples; n++) {
    var weighted = vec2f(0.0);
    for (var c = 0u; c < ${perGroup}u; c += ${across}u) {
      let channel = firstChannel + c + k;
      let works = c + k < ${perGroup}u;
      var sums = vec2f(0.0);
      if (works) {
        for (var chunk = lane / ${across}u; chunk < u.chunks; chunk += ${along}u) {
          let at = (n * u.chunks + chunk) * ${2 * channels}u + channel;
          sums += vec2f(partial[at], partial[at + ${channels}u]);
        }
      }
      slots[lane] = sums;
      ${summed(along, across)}
      if (lane < ${across}u && works) {
        let own = slots[lane];
        // The samples' parts are added in order, by the same lane.
        if (n == 0u) {
          dbeta[channel] = own.x;
          dgamma[channel] = own.y;
        } else {
          dbeta[channel] += own.x;
          dgamma[channel] += own.y;
        }
        weighted += gamma[channel] * own;
      }
      workgroupBarrier();
    }
    slots[lane] = weighted;
    ${summed(across, 1)}
    workgroupBarrier();
    let means = slots[0] / u.count;
    let middle = mean[n * ${groups}u + task];
    let inverse = rstd[n * ${groups}u + task];
    for (var c = lane; c < ${perGroup}u; c += ${lanes}u) {
      let channel = firstChannel + c;
      let at = n * ${tableRows * channels}u + channel;
      table[at] = middle;
      table[at + ${channels}u] = gamma[channel] * inverse;
      table[at + ${2 * channels}u] = beta[channel];
      table[at + ${3 * channels}u] = inverse * means.x;
      table[at + ${4 * channels}u] = inverse * inverse * means.y;
    }
    workgroupBarrier();
  }`)}`,
  }
}

/** dx = rstd (gamma u - m1 - xh m2), m1 and m2 the group's means of gamma u and gamma u xh, and the residual. */
function gradientOfX(plan: ChannelPlan, relu: boolean, inPlace: boolean, hasResidual: boolean): Program {
  const row = (k: number): string => `table[at + ${k * plan.units}u]`
  return {
    name: 'GroupNormReluGrad dx',
    bindings: [
      ...['x', 'table', ...(inPlace ? [] : ['dy']), ...(hasResidual ? ['residual'] : [])].map(name =>
        asUnits(plan, name),
      ),
      { ...asUnits(plan, 'dx'), access: 'read_write' },
    ],
    uniforms: { size: 'u32', rows: 'u32' },
    code: elementMain(`
  let at = i / ${plan.units}u / u.rows * ${tableRows * plan.units}u + i % ${plan.units}u;
  let away = x[i] - ${row(0)};
  let scale = ${row(1)};
  let shift = ${row(2)};
  let slope = ${passed(unitType(plan), relu, inPlace ? 'dx[i]' : 'dy[i]')};
  dx[i] = scale * slope - ${row(3)} - away * ${row(4)}${hasResidual ? ' + residual[i]' : ''};`),
  }
}
