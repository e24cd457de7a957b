/**
 * The filter's gradient: for every tap, channel in and channel out the sum over all voxels of x times dy.
 *
 * A workgroup owns a run of boxes of one sample and a block of channels in and out. It reads a box of dy and of x with its
 * halo into workgroup memory. Every thread has one row of taps, four channels in and four or eight out, and keeps all their
 * sums in registers while it goes along the box's rows: at every voxel one new vector of x and one of dy serve, with three
 * taps, 48 multiplications with addition. Several threads, the strands, share a row of taps; each takes its runs of the box.
 *
 * The workgroups' sums go to memory, and a second kernel adds them in the order of samples and boxes: there are no atomics,
 * so that every run gives the same bits.
 */

import type { Program } from '../../program.ts'
import { channelsBinding, each, readChannels, stored, vector, type Lanes } from './access.ts'
import { eachBox, filterGradientUniforms, partOf } from './filter-gradient-parts.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { normBindings, normCode } from './norm.ts'

/** Everything that is compiled into the code. */
export interface FilterGradientOptions {
  readonly filter: Triple
  readonly stride: Triple
  readonly channelsIn: number
  readonly channelsOut: number
  readonly groups?: number | undefined
  readonly half: boolean
}

export interface FilterGradientTile {
  /** Voxels of dy; along W a multiple of `run`. */
  readonly box: Triple
  /** Voxels that a thread takes one after another. */
  readonly run: number
  /** Channels of a workgroup: in 1 or a multiple of 4, out a multiple of `perThread`. */
  readonly channelsIn: number
  readonly channelsOut: number
  /** Channels out of a thread: 4 or 8. */
  readonly perThread: number
  readonly strands: number
}

/** Channels in of a thread. */
export function lanesOf(channelsIn: number): Lanes {
  return channelsIn === 1 ? 1 : 4
}

export interface FilterGradientLayout {
  readonly halo: Triple
  /** Threads of one strand. */
  readonly perStrand: number
  readonly threads: number
  readonly bytes: number
}

export function filterGradientLayout(
  { filter, stride, half }: FilterGradientOptions,
  { box, channelsIn, channelsOut, perThread, strands }: FilterGradientTile,
): FilterGradientLayout {
  const halo = perAxis((n, s, k) => (n - 1) * s + k, box, stride, filter)
  const perStrand = (filter[0] * filter[1] * channelsIn * channelsOut) / (lanesOf(channelsIn) * perThread)
  const threads = perStrand * strands
  const bytes =
    (volumeOf(halo) * channelsIn + volumeOf(box) * channelsOut) * (half ? 2 : 4) + (strands > 1 ? threads * 16 : 0)
  return { halo, perStrand, threads, bytes }
}

export function filterGradientProgram(options: FilterGradientOptions, tile: FilterGradientTile): Program {
  const { filter, stride, groups, half } = options
  const { box, run, channelsIn, channelsOut, perThread, strands } = tile
  const { halo, perStrand, threads } = filterGradientLayout(options, tile)
  const lanes = lanesOf(options.channelsIn)
  const [value, kept, keptOut] = [vector(lanes), stored(lanes, half), stored(4, half)]
  const [vectorsIn, vectorsOut, perThreadOut] = [channelsIn / lanes, channelsOut / 4, perThread / 4]
  const across = channelsOut / perThread
  const blocksIn = Math.ceil(options.channelsIn / channelsIn)
  const blocksOut = Math.ceil(options.channelsOut / channelsOut)
  const perRow = box[2] / run
  const units = volumeOf(box) / run
  const sums = each(filter[2]).flatMap(kx =>
    each(lanes).flatMap(e => each(perThreadOut).map(j => ({ kx, e, j, name: `a${kx}_${e}_${j}` }))),
  )
  const component = (e: number): string => (lanes === 1 ? '' : `[${e}]`)
  const aligned = options.channelsOut % 4 === 0
  // x along the row of taps; of one voxel to the next so many are new.
  const window = each(filter[2])
  const fresh = Math.min(stride[2], filter[2])

  return {
    name: `Conv3DFilterGradient ${filter.join('x')}/${stride.join('x')} ${options.channelsIn}-${options.channelsOut} in boxes of ${box.join('x')}`,
    bindings: [
      channelsBinding('x', options.channelsIn),
      channelsBinding('dy', options.channelsOut),
      channelsBinding('sums', options.channelsOut, 'read_write'),
      ...(groups === undefined ? [] : normBindings),
      ...(half ? [{ name: 'scale', type: 'array<f32>', access: 'read' } as const] : []),
    ],
    uniforms: filterGradientUniforms,
    ...(half && { enable: ['f16'] }),
    code: `
var<workgroup> tileX: array<${kept}, ${volumeOf(halo) * vectorsIn}>;
var<workgroup> tileDy: array<${keptOut}, ${volumeOf(box) * vectorsOut}>;
${strands > 1 ? `var<workgroup> strands: array<vec4f, ${threads}>;` : ''}

${readChannels('readX', 'x', options.channelsIn, lanes)}
${readChannels('readDy', 'dy', options.channelsOut)}
${groups === undefined ? '' : normCode(options.channelsIn, groups, lanes)}

fn write(row: u32, channelOut: u32, value: vec4f) {
${
  aligned
    ? `  sums[(row * ${options.channelsOut}u + channelOut) / 4u] = value;`
    : each(4)
        .map(
          e =>
            `  if (channelOut + ${e}u < ${options.channelsOut}u) { sums[row * ${options.channelsOut}u + channelOut + ${e}u] = value[${e}]; }`,
        )
        .join('\n')
}
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
${partOf(blocksIn, blocksOut)}
  let strand = lane / ${perStrand}u;
  let own = lane % ${perStrand}u;
  let out = own % ${across}u;
  let in = own / ${across}u % ${vectorsIn}u;
  let taps = own / ${across * vectorsIn}u;
  let k = vec2u(taps / ${filter[1]}u, taps % ${filter[1]}u);
  let extents = vec3i(vec3u(u.inD, u.inH, u.inW));
  let outExtents = vec3u(u.outD, u.outH, u.outW);
${groups === undefined ? '' : `  let norm = normOf(n, blockIn * ${vectorsIn}u + lane % ${vectorsIn}u);`}
${sums.map(({ name }) => `  var ${name} = vec4f();`).join('\n')}

${eachBox(box, stride)}    workgroupBarrier();
    {
      let c = lane % ${vectorsIn}u;
      let channel = blockIn * ${vectorsIn}u + c;
      for (var i = lane / ${vectorsIn}u; i < ${volumeOf(halo)}u; i += ${threads / vectorsIn}u) {
        let w = i % ${halo[2]}u;
        let row = i / ${halo[2]}u;
        let place = origin + vec3i(vec3u(row / ${halo[1]}u, row % ${halo[1]}u, w));
        var value = ${value}();
        if (all(place >= vec3i()) && all(place < extents)${options.channelsIn % channelsIn === 0 ? '' : ` && channel * ${lanes}u < ${options.channelsIn}u`}) {
          let voxel = ((n * u.inD + u32(place.x)) * u.inH + u32(place.y)) * u.inW + u32(place.z);
          value = ${groups === undefined ? 'readX(voxel, channel)' : 'normed(readX(voxel, channel), norm)'};
        }
        tileX[i * ${vectorsIn}u + c] = ${kept}(value);
      }
    }
    for (var i = lane; i < ${volumeOf(box) * vectorsOut}u; i += ${threads}u) {
      let c = i % ${vectorsOut}u;
      let w = i / ${vectorsOut}u % ${box[2]}u;
      let row = i / ${vectorsOut * box[2]}u;
      let place = first + vec3u(row / ${box[1]}u, row % ${box[1]}u, w);
      var value = vec4f();
      if (all(place < outExtents)) {
        let voxel = ((n * u.outD + place.x) * u.outH + place.y) * u.outW + place.z;
        value = vec4f(readDy(voxel, blockOut * ${vectorsOut}u + c))${half ? ' * scale[2u * n]' : ''};
      }
      tileDy[i] = ${keptOut}(value);
    }
    workgroupBarrier();
    for (var unit = strand; unit < ${units}u; unit += ${strands}u) {
      let row = unit / ${perRow}u;
      let at = vec3u(row / ${box[1]}u, row % ${box[1]}u, unit % ${perRow}u * ${run}u);
      let tx = (((at.x * ${stride[0]}u + k.x) * ${halo[1]}u + at.y * ${stride[1]}u + k.y) * ${halo[2]}u + at.z * ${stride[2]}u) * ${vectorsIn}u + in;
      let td = unit * ${run * vectorsOut}u + out * ${perThreadOut}u;
${window.map(i => `      var x${i} = ${value}();`).join('\n')}
${window
  .slice(fresh)
  .map(i => `      x${i} = ${value}(tileX[tx + ${(i - fresh) * vectorsIn}u]);`)
  .join('\n')}
      for (var w = 0u; w < ${run}u; w++) {
${window
  .slice(fresh)
  .map(i => `        x${i - fresh} = x${i};`)
  .join('\n')}
${window
  .slice(-fresh)
  .map(i => `        x${i} = ${value}(tileX[tx + w * ${stride[2] * vectorsIn}u + ${i * vectorsIn}u]);`)
  .join('\n')}
${each(perThreadOut)
  .map(j => `        let d${j} = vec4f(tileDy[td + w * ${vectorsOut}u + ${j}u]);`)
  .join('\n')}
${sums.map(({ kx, e, j, name }) => `        ${name} += x${kx}${component(e)} * d${j};`).join('\n')}
      }
    }
  }

  let rowOfTaps = part * ${volumeOf(filter)}u + taps * ${filter[2]}u;
  let channelIn = (blockIn * ${vectorsIn}u + in) * ${lanes}u;
  let channelOut = blockOut * ${channelsOut}u + out * ${perThread}u;
${sums
  .map(({ kx, e, j, name }) => {
    const write = `if (strand == 0u && channelIn + ${e}u < ${options.channelsIn}u && channelOut + ${4 * j}u < ${options.channelsOut}u) {
    write((rowOfTaps + ${kx}u) * ${options.channelsIn}u + channelIn + ${e}u, channelOut + ${4 * j}u, ${name});
  }`
    if (strands === 1) return `  ${write}`
    return `  workgroupBarrier();
  strands[lane] = ${name};
  workgroupBarrier();
  if (strand == 0u) { for (var i = lane + ${perStrand}u; i < ${threads}u; i += ${perStrand}u) { ${name} += strands[i]; } }
  ${write}`
  })
  .join('\n')}
}`,
  }
}
