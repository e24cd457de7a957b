/**
 * The convolution and its input gradient as one implicit matrix product, tiled in workgroup memory.
 *
 * A workgroup owns a box of output voxels and a block of output channels. Chunk by chunk of the input's channels it reads
 * the box's input with its halo, and slice by slice of taps the filter. Every thread accumulates a run of four or eight
 * voxels along W times four or eight channels in registers. For three taps in a row and one channel in, a run of eight
 * reads ten numbers, which serve all 24 pairs of tap and voxel, and six vectors of the filter, which all its voxels share,
 * for 192 multiplications with addition.
 *
 * The input gradient is the same with the filter turned round and its channels exchanged. With a stride, the voxels of dx
 * fall into classes by their place modulo the stride; each sees its own part of the taps. A workgroup works on one class.
 */

import type { Program } from '../../program.ts'
import { each, readChannels, stored, vector, writeChannels } from './access.ts'
import { conflictFree } from './banks.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { normCode } from './norm.ts'
import {
  filterAt,
  filterReader,
  placesOf,
  productBindings,
  productUniforms,
  reachOf,
  type ProductOptions,
} from './product.ts'

/** What a workgroup takes at once. */
export interface Tile {
  /** Voxels of the output (of one class) along D, H, W; W is a multiple of `run`. */
  readonly box: Triple
  /** Voxels of a thread, one after another along W. */
  readonly run: number
  /** Channels out of a workgroup, and of a thread: 4 or 8. */
  readonly channels: number
  readonly perThread: number
  /** Channels in, of which four are read at once where `channelsIn` is a multiple of four. */
  readonly chunk: number
  /** Planes of taps whose filter is in workgroup memory. */
  readonly slice: number
}

export interface Layout {
  readonly threads: number
  /** Input voxels of a box with its halo. */
  readonly halo: Triple
  /** A row is stored by w modulo `modulus`, so that neighbouring threads read neighbouring numbers. */
  readonly modulus: number
  readonly perModulus: number
  /** Numbers of a row and of a channel. */
  readonly pitch: number
  readonly plane: number
  readonly inputBytes: number
  readonly filterBytes: number
}

export function layoutOf(options: ProductOptions, { box, run, channels, perThread, chunk, slice }: Tile): Layout {
  const { taps, step } = reachOf(options)
  const halo = perAxis((n, s, k) => (n - 1) * s + k, box, step, taps)
  const modulus = run * step[2]
  const perModulus = Math.ceil(halo[2] / modulus)
  const perRow = box[2] / run
  const pitch = conflictFree(modulus * perModulus, perRow, channels / perThread)
  const plane = pitch * halo[0] * halo[1]
  return {
    threads: ((volumeOf(box) / run) * channels) / perThread,
    halo,
    modulus,
    perModulus,
    pitch,
    plane,
    inputBytes: plane * chunk * (options.half ? 2 : 4),
    filterBytes: slice * taps[1] * taps[2] * chunk * channels * 4,
  }
}

export function tiledProgram(options: ProductOptions, tile: Tile): Program {
  const { gradient, filter, stride, channelsIn, channelsOut, groups, residual, half } = options
  const { box, run, channels, perThread, chunk, slice } = tile
  const { taps, step } = reachOf(options)
  const layout = layoutOf(options, tile)
  const lanes = channelsIn % 4 === 0 ? 4 : 1
  const kept = stored(1, half)
  const vectors = perThread / 4 // of channels out, of a thread
  const threadsAcross = channels / perThread
  // Neighbouring threads read neighbouring channels where all of them have the same number of vectors to read.
  const perVoxel = lanes === 4 ? chunk / lanes : 1
  const chunks = Math.ceil(channelsIn / chunk)
  const blocks = Math.ceil(channelsOut / channels)
  const perRow = box[2] / run
  const slices = Math.ceil(taps[0] / slice)
  const filterVectors = slice * taps[1] * taps[2] * chunk * (channels / 4)

  const products = each(taps[2]).map(kx => {
    const lines = each(vectors).flatMap(j => [
      `w = weights[f + ${kx * chunk * (channels / 4) + j * threadsAcross}u];`,
      ...each(run).map(v => `a${v}_${j} += x${v * step[2] + kx} * w;`),
    ])
    // Only some classes have the first taps.
    const always = !gradient || kx >= taps[2] - Math.floor(filter[2] / stride[2])
    return always ? lines : [`if (${kx}u >= skip.z) {`, ...lines, '}']
  })
  const span = (run - 1) * step[2] + taps[2]

  return {
    name: `${gradient ? 'Conv3DInputGradient' : 'Conv3D'} ${filter.join('x')}/${stride.join('x')} ${channelsIn}-${channelsOut} in boxes of ${box.join('x')}`,
    bindings: productBindings(options, gradient && half),
    uniforms: productUniforms,
    ...(half && { enable: ['f16'] }),
    code: `
var<workgroup> tile: array<${kept}, ${layout.plane * chunk}>;
var<workgroup> weights: array<vec4f, ${filterVectors}>;

${readChannels('readX', 'x', channelsIn, lanes)}
${writeChannels('writeY', 'y', channelsOut)}
${residual ? readChannels('readResidual', 'residual', channelsOut) : ''}
${groups === undefined ? '' : normCode(channelsIn, groups, lanes)}
${filterReader(options)}

@compute @workgroup_size(${layout.threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
${placesOf(options, box, blocks)}
  let extents = vec3i(vec3u(u.inD, u.inH, u.inW));
  let across = lane % ${threadsAcross}u;
  let along = lane / ${threadsAcross}u;
  let at = vec3u(along / ${perRow * box[1]}u, along / ${perRow}u % ${box[1]}u, along % ${perRow}u);
${each(run)
  .flatMap(v => each(vectors).map(j => `  var a${v}_${j} = vec4f();`))
  .join('\n')}

  for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
    workgroupBarrier();
    for (var c = ${perVoxel === 1 ? '0u' : `lane % ${perVoxel}u`}; c < ${chunk / lanes}u; c += ${perVoxel}u) {
      let channel = chunk * ${chunk / lanes}u + c;
${groups === undefined ? '' : '      let norm = normOf(n, channel);'}
      for (var i = lane / ${perVoxel}u; i < ${volumeOf(layout.halo)}u; i += ${layout.threads / perVoxel}u) {
        let w = i % ${layout.halo[2]}u;
        let row = i / ${layout.halo[2]}u;
        let place = origin + vec3i(vec3u(row / ${layout.halo[1]}u, row % ${layout.halo[1]}u, w));
        var value = ${vector(lanes)}();
        if (all(place >= vec3i()) && all(place < extents)${channelsIn % chunk === 0 ? '' : ` && channel < ${channelsIn / lanes}u`}) {
          let voxel = ((n * u.inD + u32(place.x)) * u.inH + u32(place.y)) * u.inW + u32(place.z);
          value = ${groups === undefined ? 'readX(voxel, channel)' : 'normed(readX(voxel, channel), norm)'}${gradient && half ? ' * scale[2u * n]' : ''};
        }
        let t = c * ${layout.plane * lanes}u + row * ${layout.pitch}u + w % ${layout.modulus}u * ${layout.perModulus}u + w / ${layout.modulus}u;
${each(lanes)
  .map(e => `        tile[t + ${e * layout.plane}u] = ${kept}(value${lanes === 1 ? '' : `[${e}]`});`)
  .join('\n')}
      }
    }
    for (var slice = 0u; slice < ${slices}u; slice++) {
      if (slice > 0u) { workgroupBarrier(); }
      for (var i = lane; i < ${filterVectors}u; i += ${layout.threads}u) {
        let out = block * ${channels / 4}u + i % ${threadsAcross}u * ${vectors}u + i / ${threadsAcross}u % ${vectors}u;
        let in = i / ${channels / 4}u % ${chunk}u + chunk * ${chunk}u;
        let tap = i / ${(channels / 4) * chunk}u;
        let k = vec3u(tap / ${taps[1] * taps[2]}u + slice * ${slice}u, tap / ${taps[2]}u % ${taps[1]}u, tap % ${taps[2]}u);
        var value = vec4f();
        if (in < ${channelsIn}u${slices * slice > taps[0] ? ` && k.x < ${taps[0]}u` : ''}) {
          value = ${filterAt(options)};
        }
${half ? '        // Compilers drop a conversion to f16 and back.\n' : ''}        weights[i] = ${half ? 'quantizeToF16(value)' : 'value'};
      }
      workgroupBarrier();
      for (var kz = max(skip.x, slice * ${slice}u); kz < min(${taps[0]}u, (slice + 1u) * ${slice}u); kz++) {
        for (var ky = skip.y; ky < ${taps[1]}u; ky++) {
          for (var c = 0u; c < ${chunk}u; c++) {
            let t = c * ${layout.plane}u + ((at.x * ${step[0]}u + kz) * ${layout.halo[1]}u + at.y * ${step[1]}u + ky) * ${layout.pitch}u + at.z;
            let f = (((kz - slice * ${slice}u) * ${taps[1]}u + ky) * ${taps[2] * chunk}u + c) * ${channels / 4}u + across;
${each(span)
  .map(
    i =>
      `            let x${i} = f32(tile[t + ${(i % layout.modulus) * layout.perModulus + Math.floor(i / layout.modulus)}u]);`,
  )
  .join('\n')}
            var w: vec4f;
${products
  .flat()
  .map(line => `            ${line}`)
  .join('\n')}
          }
        }
      }
    }
  }

  let out = first + at * vec3u(1u, 1u, ${run}u);
  let outExtents = vec3u(u.outD, u.outH, u.outW);
${each(run)
  .map(
    v => `  {
    let place = ${gradient ? `(out + vec3u(0u, 0u, ${v}u)) * stride + place` : `out + vec3u(0u, 0u, ${v}u)`};
    if (all(place < outExtents)) {
      let voxel = ((n * u.outD + place.x) * u.outH + place.y) * u.outW + place.z;
      let c = block * ${channels / 4}u + across * ${vectors}u;
${each(vectors)
  .map(
    j =>
      `      writeY(voxel, c + ${j}u, a${v}_${j}${gradient && half ? ' * scale[2u * n + 1u]' : ''}${residual ? ` + readResidual(voxel, c + ${j}u)` : ''});`,
  )
  .join('\n')}
    }
  }`,
  )
  .join('\n')}
}`,
  }
}
