/**
 * A power of two that brings a gradient into half precision's range: gradients of a mean over millions of voxels are far
 * below its least number, 6e-8. Found from the largest magnitude of each sample, so that it is the same in every run; multiplying with it
 * and with its inverse is exact.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../../backend.ts'
import type { Program } from '../../program.ts'
import { sizeOf } from '../kernel.ts'

const threads = 256
const mostGroups = 256

// As unsigned numbers the bits of magnitudes are ordered as the magnitudes are, and NaN is above them all.
const largest = (result: string): string => `
var<workgroup> found: array<u32, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  var largest = 0u;
  let n = group.y;
  for (var i = group.x * ${threads}u + lane; i < u.size; i += groups.x * ${threads}u) {
    largest = max(largest, values[n * u.size + i] & 0x7fffffffu);
  }
  found[lane] = largest;
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { found[lane] = max(found[lane], found[lane + half]); }
  }
  if (lane > 0u) { return; }
${result}
}`

const parts: Program = {
  name: 'largest magnitudes of parts',
  bindings: [
    { name: 'values', type: 'array<u32>', access: 'read' },
    { name: 'most', type: 'array<u32>', access: 'read_write' },
  ],
  uniforms: { size: 'u32' },
  code: largest('  most[n * groups.x + group.x] = found[0];'),
}

// The largest lands between 2^14 and 2^15: half precision ends at 65504.
const whole: Program = {
  name: 'scale of a gradient',
  bindings: [
    { name: 'values', type: 'array<u32>', access: 'read' },
    { name: 'scale', type: 'array<f32>', access: 'read_write' },
  ],
  uniforms: { size: 'u32' },
  code: largest(`
  let exponent = clamp(14 - (i32(found[0] >> 23u) - 127), -126, 126);
  let up = select(exponent, 0, found[0] == 0u);
  scale[2u * n] = bitcast<f32>(u32(127 + up) << 23u);
  scale[2u * n + 1u] = bitcast<f32>(u32(127 - up) << 23u);`),
}

/** (N, 2): scale and 1 / scale of each sample of `values`; the caller disposes of it. */
export function scaleOf(backend: GpuBackend, values: TensorInfo): TensorInfo {
  const batch = values.shape[0]!
  const size = sizeOf(values.shape) / batch
  const groups = Math.min(mostGroups, Math.ceil(size / threads))
  const most = backend.output([batch, groups])
  const scale = backend.output([batch, 2])
  backend.run(parts.name, () => parts, {
    buffers: { values, most },
    uniforms: { size },
    workgroups: [groups, batch, 1],
  })
  backend.run(whole.name, () => whole, {
    buffers: { values: most, scale },
    uniforms: { size: groups },
    workgroups: [1, batch, 1],
  })
  backend.disposeData(most.dataId)
  return scale
}
