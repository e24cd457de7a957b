/** The gradient of group norm with ReLU: sums per channel, what they say of each group, then dx. */

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
import { elementGroups, elementMain, lanes, taskMain, tree } from './entry.ts'
import { asFloats, asUnits, checkInputs, ofGroup, type Shape } from './group-norm.ts'
import { checkShape, kernel, sizeOf } from './kernel.ts'

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
