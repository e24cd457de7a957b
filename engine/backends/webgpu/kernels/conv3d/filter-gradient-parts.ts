/** What the kernels of the filter's gradient share, whatever multiplies: which part of the sums a workgroup has. */

import type { Program } from '../../program.ts'
import { vec3u } from './access.ts'
import type { Triple } from './geometry.ts'

export const filterGradientUniforms = {
  groups: 'u32',
  firstSample: 'u32',
  chunks: 'u32',
  boxesPerChunk: 'u32',
  boxesD: 'u32',
  boxesH: 'u32',
  boxesW: 'u32',
  inD: 'u32',
  inH: 'u32',
  inW: 'u32',
  outD: 'u32',
  outH: 'u32',
  outW: 'u32',
  padD: 'u32',
  padH: 'u32',
  padW: 'u32',
} as const satisfies Program['uniforms']

/** The workgroup's `blockIn` and `blockOut` of channels, `chunk` of boxes of sample `n`, and its `part` of all that are summed. */
export function partOf(blocksIn: number, blocksOut: number): string {
  return `  var index = group.x + group.y * groups.x;
  if (index >= u.groups) { return; }
  let blockOut = index % ${blocksOut}u;
  index /= ${blocksOut}u;
  let blockIn = index % ${blocksIn}u;
  index /= ${blocksIn}u;
  let part = index; // of all samples at hand
  let chunk = index % u.chunks;
  let n = index / u.chunks + u.firstSample;
`
}

/** Opens the loop over the chunk's boxes: `first` voxel of dy and `origin` in x. */
export function eachBox(box: Triple, stride: Triple): string {
  return `  let end = min((chunk + 1u) * u.boxesPerChunk, u.boxesD * u.boxesH * u.boxesW);
  for (var box = chunk * u.boxesPerChunk; box < end; box++) {
    let first = vec3u(box / u.boxesW / u.boxesH, box / u.boxesW % u.boxesH, box % u.boxesW) * ${vec3u(box)};
    let origin = vec3i(first * ${vec3u(stride)}) - vec3i(vec3u(u.padD, u.padH, u.padW));
`
}
