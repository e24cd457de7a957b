/**
 * What the kernels of the convolution and its input gradient share, whatever multiplies: the options that are compiled in, which
 * voxels and channels a workgroup has, and the filter as the product reads it.
 */

import type { Binding } from '../../program.ts'
import { channelsBinding, readChannels, vec3u } from './access.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { normBindings } from './norm.ts'

/** Everything that is compiled into the code. */
export interface ProductOptions {
  readonly gradient: boolean
  /** Of the convolution, not of the product. */
  readonly filter: Triple
  readonly stride: Triple
  /** Of the product: for the gradient, dy's and dx's. */
  readonly channelsIn: number
  readonly channelsOut: number
  readonly groups?: number | undefined
  readonly residual: boolean
  readonly half: boolean
}

/** Taps along each axis that one class can have, and how far apart two neighbours out read. */
export function reachOf({ gradient, filter, stride }: Pick<ProductOptions, 'gradient' | 'filter' | 'stride'>): {
  taps: Triple
  step: Triple
} {
  return gradient
    ? { taps: perAxis((k, s) => Math.ceil(k / s), filter, stride), step: [1, 1, 1] }
    : { taps: filter, step: stride }
}

/** x, the filter, y, the norm, what is added; with `scaled`, what dy is scaled by (scale.ts). */
export function productBindings(
  { gradient, channelsIn, channelsOut, groups, residual }: Omit<ProductOptions, 'half'>,
  scaled: boolean,
): Binding[] {
  return [
    channelsBinding('x', channelsIn),
    gradient ? { name: 'filters', type: 'array<f32>', access: 'read' } : channelsBinding('filters', channelsOut),
    channelsBinding('y', channelsOut, 'read_write'),
    ...(groups === undefined ? [] : normBindings),
    ...(residual ? [channelsBinding('residual', channelsOut)] : []),
    ...(scaled ? [{ name: 'scale', type: 'array<f32>', access: 'read' } as const] : []),
  ]
}

export const productUniforms = {
  groups: 'u32',
  tilesD: 'u32',
  tilesH: 'u32',
  tilesW: 'u32',
  inD: 'u32',
  inH: 'u32',
  inW: 'u32',
  outD: 'u32',
  outH: 'u32',
  outW: 'u32',
  padD: 'u32',
  padH: 'u32',
  padW: 'u32',
} as const

/** The workgroup's `block` of channels, sample `n`, `first` voxel out and `origin` in; taps before `skip` are none of its class. */
export function placesOf(
  { gradient, filter, stride }: Pick<ProductOptions, 'gradient' | 'filter' | 'stride'>,
  box: Triple,
  blocks: number,
): string {
  const { taps } = reachOf({ gradient, filter, stride })
  const classes = gradient ? volumeOf(stride) : 1
  return `  var index = group.x + group.y * groups.x;
  if (index >= u.groups) { return; }
  let block = index % ${blocks}u;
  index /= ${blocks}u;
  let parity = index % ${classes}u;
  index /= ${classes}u;
  let tileW = index % u.tilesW;
  index /= u.tilesW;
  let tileH = index % u.tilesH;
  index /= u.tilesH;
  let tileD = index % u.tilesD;
  let n = index / u.tilesD;
  let first = vec3u(tileD, tileH, tileW) * ${vec3u(box)};
  let pad = vec3u(u.padD, u.padH, u.padW);
${
  gradient
    ? `
  // dx at s q + place is the sum over j of dy at q + base - j times the tap rest + s j.
  let stride = ${vec3u(stride)};
  let place = vec3u(parity / ${stride[1] * stride[2]}u, parity / ${stride[2]}u % ${stride[1]}u, parity % ${stride[2]}u);
  let rest = (place + pad) % stride;
  let base = (place + pad) / stride;
  let taps = (max(${vec3u(filter)}, rest) - rest + stride - 1u) / stride;
  let skip = ${vec3u(taps)} - taps;
  let origin = vec3i(first + base) - vec3i(${vec3u(perAxis(n => n - 1, taps))});`
    : `
  let skip = vec3u();
  let origin = vec3i(first * ${vec3u(stride)}) - vec3i(pad);`
}`
}

/** `fn readFilter` or, for the gradient, `fn readFlipped`, which `filterAt` calls. */
export function filterReader({
  gradient,
  filter,
  channelsIn,
  channelsOut,
}: Pick<ProductOptions, 'gradient' | 'filter' | 'channelsIn' | 'channelsOut'>): string {
  return gradient ? flippedFilter(filter, channelsIn, channelsOut) : readChannels('readFilter', 'filters', channelsOut)
}

/** Four channels `out` of the filter at tap `k` and channel `in` of the product. */
export function filterAt(options: Pick<ProductOptions, 'gradient' | 'filter' | 'stride' | 'channelsIn'>): string {
  const { gradient, filter, channelsIn } = options
  const { taps } = reachOf(options)
  return gradient
    ? `readFlipped(rest + stride * (${vec3u(perAxis(n => n - 1, taps))} - k), in, out)`
    : `vec4f(readFilter(((k.x * ${filter[1]}u + k.y) * ${filter[2]}u + k.z) * ${channelsIn}u + in, out))`
}

/** `fn readFlipped(k, in, out)`: four channels of dx, of the taps that one channel of dy reached; zeros past the filter. */
function flippedFilter(filter: Triple, channelsIn: number, channelsOut: number): string {
  const parts = [0, 1, 2, 3].map(
    e =>
      `  if (4u * out + ${e}u < ${channelsOut}u) { value[${e}] = filters[(tap * ${channelsOut}u + 4u * out + ${e}u) * ${channelsIn}u + in]; }`,
  )
  return `fn readFlipped(k: vec3u, in: u32, out: u32) -> vec4f {
  var value = vec4f();
  if (any(k >= ${vec3u(filter)})) { return value; }
  let tap = (k.x * ${filter[1]}u + k.y) * ${filter[2]}u + k.z;
${parts.join('\n')}
  return value;
}`
}
