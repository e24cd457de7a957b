/**
 * Plain loops for what no tile holds, such as very large filters: a thread gathers one value of the output or of the
 * input's gradient, a workgroup one value of the filter's.
 */

import type { Program } from '../../program.ts'
import type { Geometry } from './geometry.ts'
import { leastOf, normBindings } from './norm.ts'

export interface GatherOptions {
  readonly norm: boolean
  readonly residual: boolean
  readonly half: boolean
}

/** Threads of a workgroup; for the filter's gradient they share one value. */
export const gatherThreads = 64

const sizes = {
  groups: 'u32',
  normGroups: 'u32',
  inD: 'u32',
  inH: 'u32',
  inW: 'u32',
  channelsIn: 'u32',
  filterD: 'u32',
  filterH: 'u32',
  filterW: 'u32',
  outD: 'u32',
  outH: 'u32',
  outW: 'u32',
  channelsOut: 'u32',
  strideD: 'i32',
  strideH: 'i32',
  strideW: 'i32',
  padD: 'i32',
  padH: 'i32',
  padW: 'i32',
} as const

/** The same for all gathering kernels; `groups` counts the workgroups. */
export function gatherUniforms(
  { input, output, filter, stride, pad, channelsIn, channelsOut }: Geometry,
  groups: number,
  normGroups = 1,
): Record<keyof typeof sizes, number> {
  return {
    groups,
    normGroups,
    inD: input[0],
    inH: input[1],
    inW: input[2],
    channelsIn,
    filterD: filter[0],
    filterH: filter[1],
    filterW: filter[2],
    outD: output[0],
    outH: output[1],
    outW: output[2],
    channelsOut,
    strideD: stride[0],
    strideH: stride[1],
    strideW: stride[2],
    padD: pad[0],
    padH: pad[1],
    padW: pad[2],
  }
}

/** Each thread one value of conv3d(x) + residual, where x may have a norm in front. */
export function gatheredForward({ norm, residual, half }: GatherOptions): Program {
  return {
    name: 'Conv3D, gathered',
    bindings: [
      ...floats('x', 'filters', 'y'),
      ...(norm ? normBindings : []),
      ...(residual ? floats('residual').map(binding => ({ ...binding, access: 'read' as const })) : []),
    ],
    uniforms: { ...sizes, size: 'u32' },
    code: `
${common(norm, half)}
@compute @workgroup_size(${gatherThreads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${gatherThreads}u + lane;
  if (i >= u.size) { return; }
  let co = i % u.channelsOut;
  let voxel = i / u.channelsOut;
  let row = voxel / u.outW;
  let n = row / u.outH / u.outD;
  let out = vec3i(vec3u(row / u.outH % u.outD, row % u.outH, voxel % u.outW));
  let first = out * stride() - pad();
  var sum = 0f;
  for (var kd = 0u; kd < u.filterD; kd++) {
    for (var kh = 0u; kh < u.filterH; kh++) {
      for (var kw = 0u; kw < u.filterW; kw++) {
        let at = first + vec3i(vec3u(kd, kh, kw));
        if (any(at < vec3i()) || any(at >= inputExtents())) { continue; }
        let begin = inputVoxel(n, at) * u.channelsIn;
        let tap = ((kd * u.filterH + kh) * u.filterW + kw) * u.channelsIn;
        for (var ci = 0u; ci < u.channelsIn; ci++) {
          sum += rounded(input(begin + ci, n, ci)) * rounded(filters[(tap + ci) * u.channelsOut + co]);
        }
      }
    }
  }
  y[i] = sum${residual ? ' + residual[i]' : ''};
}`,
  }
}

/** Each thread one value of dx; \`x\` of the code is dy. */
export function gatheredInputGradient(half: boolean): Program {
  return {
    name: 'Conv3DInputGradient, gathered',
    bindings: [...floats('x', 'filters', 'y'), ...(half ? floats('scale') : [])],
    uniforms: { ...sizes, size: 'u32' },
    code: `
${common(false, half)}
@compute @workgroup_size(${gatherThreads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${gatherThreads}u + lane;
  if (i >= u.size) { return; }
  let ci = i % u.channelsIn;
  let voxel = i / u.channelsIn;
  let row = voxel / u.inW;
  let n = row / u.inH / u.inD;
  let last = vec3i(vec3u(row / u.inH % u.inD, row % u.inH, voxel % u.inW)) + pad();
  let extents = vec3i(vec3u(u.outD, u.outH, u.outW));
  var sum = 0f;
  for (var kd = 0u; kd < u.filterD; kd++) {
    for (var kh = 0u; kh < u.filterH; kh++) {
      for (var kw = 0u; kw < u.filterW; kw++) {
        let stepped = last - vec3i(vec3u(kd, kh, kw));
        let at = stepped / stride();
        if (any(stepped < vec3i()) || any(at * stride() != stepped) || any(at >= extents)) { continue; }
        let begin = (((n * u.outD + u32(at.x)) * u.outH + u32(at.y)) * u.outW + u32(at.z)) * u.channelsOut;
        let tap = (((kd * u.filterH + kh) * u.filterW + kw) * u.channelsIn + ci) * u.channelsOut;
        for (var co = 0u; co < u.channelsOut; co++) {
          sum += rounded(x[begin + co]${half ? ' * scale[2u * n]' : ''}) * rounded(filters[tap + co]);
        }
      }
    }
  }
  y[i] = sum${half ? ' * scale[2u * n + 1u]' : ''};
}`,
  }
}

/** Each workgroup one value of the filter's gradient of one sample: (samples, kd, kh, kw, Ci, Co) in \`sums\`. */
export function gatheredFilterGradient({ norm, half }: Pick<GatherOptions, 'norm' | 'half'>): Program {
  return {
    name: 'Conv3DFilterGradient, gathered',
    bindings: [...floats('x', 'dy', 'sums'), ...(norm ? normBindings : []), ...(half ? floats('scale') : [])],
    uniforms: { ...sizes, firstSample: 'u32' },
    code: `
var<workgroup> parts: array<f32, ${gatherThreads}>;
${common(norm, half)}
@compute @workgroup_size(${gatherThreads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = group.x + group.y * groups.x;
  if (i >= u.groups) { return; }
  let co = i % u.channelsOut;
  let ci = i / u.channelsOut % u.channelsIn;
  let tap = i / u.channelsOut / u.channelsIn;
  let plane = tap / u.filterW / u.filterH;
  let k = vec3i(vec3u(plane % u.filterD, tap / u.filterW % u.filterH, tap % u.filterW));
  let n = plane / u.filterD + u.firstSample;
  let voxels = u.outD * u.outH * u.outW;
  var sum = 0f;
  for (var voxel = lane; voxel < voxels; voxel += ${gatherThreads}u) {
    let out = vec3i(vec3u(voxel / u.outW / u.outH, voxel / u.outW % u.outH, voxel % u.outW));
    let at = out * stride() - pad() + k;
    if (any(at < vec3i()) || any(at >= inputExtents())) { continue; }
    sum += rounded(input(inputVoxel(n, at) * u.channelsIn + ci, n, ci)) * rounded(dy[(n * voxels + voxel) * u.channelsOut + co]${half ? ' * scale[2u * n]' : ''});
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    for (var j = 1u; j < ${gatherThreads}u; j++) { sum += parts[j]; }
    sums[i] = sum;
  }
}`,
  }
}

/** The last of them is written. */
function floats(...names: string[]): Program['bindings'] {
  return names.map(name => ({
    name,
    type: 'array<f32>',
    access: name === 'y' || name === 'sums' ? 'read_write' : 'read',
  }))
}

function common(norm: boolean, half: boolean): string {
  return `${norm ? leastOf : ''}
fn stride() -> vec3i { return vec3i(u.strideD, u.strideH, u.strideW); }
fn pad() -> vec3i { return vec3i(u.padD, u.padH, u.padW); }
fn inputExtents() -> vec3i { return vec3i(vec3u(u.inD, u.inH, u.inW)); }
fn inputVoxel(n: u32, at: vec3i) -> u32 { return ((n * u.inD + u32(at.x)) * u.inH + u32(at.y)) * u.inW + u32(at.z); }
${half ? '// Compilers drop a conversion to f16 and back.\n' : ''}fn rounded(value: f32) -> f32 { return ${half ? 'quantizeToF16(value)' : 'value'}; }
fn input(i: u32, n: u32, channel: u32) -> f32 {
${
  norm
    ? `  let group = n * u.normGroups + channel / (u.channelsIn / u.normGroups);
  let least = leastOf(mean[group], rstd[group], gamma[channel], beta[channel]);
  return max((x[i] - mean[group]) * (gamma[channel] * rstd[group]) + beta[channel], least);`
    : '  return x[i];'
}
}`
}
