/** WGSL by which the convolutions read and write channels: four at once where their number allows it. */

import type { Binding } from '../../program.ts'
import type { Triple } from './geometry.ts'

/** How many channels are read at once: a vector of four, or a number. */
export type Lanes = 1 | 4

export function vector(lanes: Lanes): string {
  return lanes === 1 ? 'f32' : 'vec4f'
}

/** The same in workgroup memory. */
export function stored(lanes: Lanes, half: boolean): string {
  return half ? (lanes === 1 ? 'f16' : 'vec4h') : vector(lanes)
}

/** Four channels of a voxel lie at one address where their number allows it. */
export function channelsBinding(name: string, channels: number, access: Binding['access'] = 'read'): Binding {
  return { name, type: channels % 4 === 0 ? 'array<vec4f>' : 'array<f32>', access }
}

/** `fn NAME(voxel: u32, c: u32)`: channels from `lanes` c on. Of four, those past the last are zeros; one must be there. */
export function readChannels(name: string, buffer: string, channels: number, lanes: Lanes = 4): string {
  if (lanes === 1) return `fn ${name}(voxel: u32, c: u32) -> f32 { return ${buffer}[voxel * ${channels}u + c]; }`
  if (channels % 4 === 0)
    return `fn ${name}(voxel: u32, c: u32) -> vec4f {
  if (c >= ${channels / 4}u) { return vec4f(); }
  return ${buffer}[voxel * ${channels / 4}u + c];
}`
  return `fn ${name}(voxel: u32, c: u32) -> vec4f {
  let at = voxel * ${channels}u + 4u * c;
  var value = vec4f();
${[0, 1, 2, 3].map(e => `  if (4u * c + ${e}u < ${channels}u) { value[${e}] = ${buffer}[at + ${e}u]; }`).join('\n')}
  return value;
}`
}

/** `fn NAME(voxel: u32, c: u32, value: vec4f)`: writes channels from 4 c on as far as there are such. */
export function writeChannels(name: string, buffer: string, channels: number): string {
  const body =
    channels % 4 === 0
      ? [`  if (c < ${channels / 4}u) { ${buffer}[voxel * ${channels / 4}u + c] = value; }`]
      : [0, 1, 2, 3].map(
          e =>
            `  if (4u * c + ${e}u < ${channels}u) { ${buffer}[voxel * ${channels}u + 4u * c + ${e}u] = value[${e}]; }`,
        )
  return [`fn ${name}(voxel: u32, c: u32, value: vec4f) {`, ...body, '}'].join('\n')
}

export function vec3u(values: Triple): string {
  return `vec3u(${values.map(n => `${n}u`).join(', ')})`
}

/** 0 to n - 1, for what is written out once for each. */
export function each(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i)
}
