/**
 * Adds what the workgroups found of a filter's gradient, in a fixed order: the parts of one sample, strand by strand, then
 * one sample after another.
 */

import type { TensorInfo } from '@tensorflow/tfjs'
import type { GpuBackend } from '../../backend.ts'
import { spread, type Program } from '../../program.ts'
import { sizeOf } from '../kernel.ts'

const valuesAtOnce = 32
const strands = 8

function program(scaled: boolean): Program {
  return {
    name: 'sum of partial sums',
    bindings: [
      { name: 'sums', type: 'array<f32>', access: 'read' },
      { name: 'total', type: 'array<f32>', access: 'read_write' },
      ...(scaled ? [{ name: 'scale', type: 'array<f32>', access: 'read' } as const] : []),
    ],
    uniforms: { size: 'u32', chunks: 'u32', samples: 'u32', firstSample: 'u32' },
    code: `
var<workgroup> found: array<f32, ${valuesAtOnce * strands}>;
@compute @workgroup_size(${valuesAtOnce * strands})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * ${valuesAtOnce}u + lane % ${valuesAtOnce}u;
  let strand = lane / ${valuesAtOnce}u;
  var all = 0f;
  if (u.firstSample > 0u && strand == 0u && i < u.size) { all = total[i]; }
  for (var n = 0u; n < u.samples; n++) {
    var sum = 0f;
    if (i < u.size) {
      for (var chunk = strand; chunk < u.chunks; chunk += ${strands}u) { sum += sums[(n * u.chunks + chunk) * u.size + i]; }
    }
    workgroupBarrier();
    found[lane] = sum;
    workgroupBarrier();
    if (strand == 0u) {
      for (var j = 1u; j < ${strands}u; j++) { sum += found[lane + j * ${valuesAtOnce}u]; }
      ${scaled ? 'sum *= scale[2u * (u.firstSample + n) + 1u];' : ''}
      if (n + u.firstSample > 0u) { all += sum; } else { all = sum; }
    }
  }
  if (strand == 0u && i < u.size) { total[i] = all; }
}`,
  }
}

export interface PartialSums {
  /** (samples, chunks, ...) in front of the shape of `total`. */
  readonly sums: TensorInfo
  readonly samples: number
  /** Those before it are in `total`. */
  readonly firstSample: number
  readonly chunks: number
  /** (N, 2): what each sample's sums were multiplied with, and its inverse. */
  readonly scale?: TensorInfo | undefined
}

/** `total` = ((g0 + g1) + g2) ... with the samples' sums g; from what is there on. */
export function addPartialSums(
  backend: GpuBackend,
  total: TensorInfo,
  { sums, samples, firstSample, chunks, scale }: PartialSums,
): void {
  const size = sizeOf(total.shape)
  const scaled = scale !== undefined
  backend.run(`sum of partial sums${scaled ? ', scaled' : ''}`, () => program(scaled), {
    buffers: { sums, total, ...(scaled && { scale }) },
    uniforms: { size, chunks, samples, firstSample },
    workgroups: spread(Math.ceil(size / valuesAtOnce)),
  })
}
