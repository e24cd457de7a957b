/**
 * The convolution and its input gradient on matrix units.
 *
 * A workgroup owns a box of output voxels and a block of output channels, each of its subgroups some matrices of voxels by
 * channels, whose sums stay in registers over all taps. Rows of the left operands are positions of the staged input
 * (matrix-stage.ts), its columns taps and channels; the right operands are the filter, slice by slice of its taps' rows.
 *
 * For the gradient the filter is turned round; voxels of dx fall into classes by the stride, as in tiled.ts.
 */

import type { Program } from '../../program.ts'
import { each, readChannels, vec3u, writeChannels } from './access.ts'
import type { Triple } from './geometry.ts'
import { fillStage, stageFunctions, stageLayout, tapOffset, type StageLayout } from './matrix-stage.ts'
import { matrixWgsl, operandBytes, type MatrixUnit } from './matrix-unit.ts'
import {
  filterAt,
  filterReader,
  placesOf,
  productBindings,
  productUniforms,
  reachOf,
  type ProductOptions,
} from './product.ts'

export type MatrixOptions = Omit<ProductOptions, 'half'>

export interface MatrixTile {
  /** Voxels of the output (of one class) along D, H, W. */
  readonly box: Triple
  /** Channels out of a workgroup: a multiple of the unit's columns, past the last channel zeros. */
  readonly channels: number
  /** Channels in that are staged at once: a multiple of 8. */
  readonly chunk: number
  /** Rows of taps whose filter is in workgroup memory. */
  readonly slice: number
  readonly subgroups: number
  /** Subgroups that share the voxels and divide the channels. */
  readonly across: number
}

export interface MatrixLayout {
  readonly stage: StageLayout
  readonly threads: number
  /** Matrices of voxels of the box. */
  readonly rows: number
  /** Matrices of a subgroup: of voxels, and of channels. */
  readonly own: readonly [rows: number, columns: number]
  /** Rows of taps. */
  readonly tapRows: number
  /** Numbers of a slice of the filter. */
  readonly filterNumbers: number
  readonly bytes: number
}

export function matrixLayout(options: MatrixOptions, tile: MatrixTile, unit: MatrixUnit): MatrixLayout {
  const { taps, step } = reachOf(options)
  const { box, channels, chunk, slice, subgroups, across } = tile
  const stage = stageLayout({ box, step, taps, channels: chunk }, unit.m, unit.k)
  const rows = box[0] * stage.perPlane
  const filterNumbers = slice * stage.pieces * unit.k * channels
  return {
    stage,
    threads: subgroups * unit.subgroup,
    rows,
    own: [Math.ceil(rows / (subgroups / across)), channels / unit.n / across],
    tapRows: taps[0] * taps[1],
    filterNumbers,
    bytes: (stage.positions * stage.pitch + filterNumbers) * operandBytes(unit) + subgroups * unit.m * unit.n * 4,
  }
}

export function matrixProgram(options: MatrixOptions, tile: MatrixTile, unit: MatrixUnit): Program {
  const { gradient, filter, stride, channelsIn, channelsOut, groups, residual } = options
  const { box, channels, chunk, slice, subgroups, across } = tile
  const { taps, step } = reachOf(options)
  const layout = matrixLayout(options, tile, unit)
  const { stage, threads } = layout
  const { m: M, n: N, k: K } = unit
  const matrix = matrixWgsl(unit, { left: 'tile', right: 'weights', sums: 'found', leftMajor: 'row_major' })
  const [ownRows, ownColumns] = layout.own
  const blocks = Math.ceil(channelsOut / channels)
  const slices = Math.ceil(layout.tapRows / slice)
  const filterRows = stage.pieces * K
  const plane = stage.extents[1] * stage.extents[2]
  const own = each(ownRows).flatMap(row => each(ownColumns).map(column => ({ row, column, sums: `a${row}_${column}` })))
  const fill = { layout: stage, step, threads, channelsIn, groups, scaled: gradient }

  return {
    name: `${gradient ? 'Conv3DInputGradient' : 'Conv3D'} ${filter.join('x')}/${stride.join('x')} ${channelsIn}-${channelsOut} in boxes of ${box.join('x')} on matrices of ${M}x${N}x${K}`,
    bindings: productBindings(options, gradient),
    uniforms: productUniforms,
    enable: matrix.enable,
    code: `
var<workgroup> tile: array<${matrix.kept}, ${stage.positions * stage.pitch}>;
var<workgroup> weights: array<${matrix.kept}, ${layout.filterNumbers}>;
var<workgroup> found: array<f32, ${subgroups * M * N}>;
${matrix.declarations}

${stageFunctions(fill)}
${writeChannels('writeY', 'y', channelsOut)}
${residual ? readChannels('readResidual', 'residual', channelsOut) : ''}
${filterReader(options)}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32${matrix.parameter}) {
${matrix.begin}
${placesOf(options, box, blocks)}
  let extents = vec3i(vec3u(u.inD, u.inH, u.inW));
  let works = subgroup < ${Math.ceil(layout.rows / ownRows) * across}u;
  let column = subgroup % ${across}u * ${ownColumns * N}u;
${each(ownRows)
  .map(
    row => `  let row${row} = min(subgroup / ${across}u * ${ownRows}u + ${row}u, ${layout.rows - 1}u);
  let begin${row} = (row${row} / ${stage.perPlane}u * ${plane}u + row${row} % ${stage.perPlane}u * ${M}u) * ${stage.pitch}u;`,
  )
  .join('\n')}
${own.map(({ sums }) => `  var ${sums}: Sums;`).join('\n')}

  for (var chunk = 0u; chunk < ${Math.ceil(channelsIn / chunk)}u; chunk++) {
    workgroupBarrier();
${fillStage(fill, 'chunk', matrix)}
    for (var slice = 0u; slice < ${slices}u; slice++) {
      if (slice > 0u) { workgroupBarrier(); }
      for (var i = lane; i < ${layout.filterNumbers / 4}u; i += ${threads}u) {
        let out = block * ${channels / 4}u + i % ${channels / 4}u;
        let flat = i / ${channels / 4}u % ${filterRows}u;
        let tapRow = i / ${(channels / 4) * filterRows}u + slice * ${slice}u;
        var remainder = 0u;
        var number = flat;
${stage.runs
  .slice(1)
  .map(
    ({ remainder, before }) =>
      `        if (flat >= ${before * K}u) { remainder = ${remainder}u; number = flat - ${before * K}u; }`,
  )
  .join('\n')}
        let in = number % ${chunk}u + chunk * ${chunk}u;
        let k = vec3u(tapRow / ${taps[1]}u, tapRow % ${taps[1]}u, number / ${chunk}u * ${step[2]}u + remainder);
        var value = vec4f();
        if (in < ${channelsIn}u && k.z < ${taps[2]}u) {
          value = ${filterAt(options)};
        }
${each(4)
  .map(e => `        weights[4u * i + ${e}u] = ${matrix.rounded(`value[${e}]`)};`)
  .join('\n')}
      }
      workgroupBarrier();
      if (works) {
        for (var tapRow = slice * ${slice}u; tapRow < min(${layout.tapRows}u, (slice + 1u) * ${slice}u); tapRow++) {
          let kz = tapRow / ${taps[1]}u;
          let ky = tapRow % ${taps[1]}u;
          if (kz < skip.x || ky < skip.y) { continue; }
          let f = (tapRow - slice * ${slice}u) * ${filterRows * channels}u + column;
${stage.runs
  .map(
    ({ remainder, pieces, before }) => `          {
            let t = ${tapOffset(stage, step, `${remainder}u`)};
${each(pieces)
  .map(
    piece => `            {
${each(ownColumns)
  .map(
    j =>
      `              let right${j} = ${matrix.loadRight(`f + ${(before + piece) * K * channels + j * N}u`, channels)};`,
  )
  .join('\n')}
${each(ownRows)
  .map(
    row => `              {
                let left = ${matrix.loadLeft(`begin${row} + t + ${piece * stage.perPiece}u`, stage.pitch)};
${each(ownColumns)
  .map(j => `                ${matrix.multiply('left', `right${j}`, `a${row}_${j}`)}`)
  .join('\n')}
              }`,
  )
  .join('\n')}
            }`,
  )
  .join('\n')}
          }`,
  )
  .join('\n')}
        }
      }
    }
  }

  let outExtents = vec3u(u.outD, u.outH, u.outW);
${own
  .map(
    ({ row, column, sums }) => `  workgroupBarrier();
  if (works) { ${matrix.store(`subgroup * ${M * N}u`, sums)} }
  workgroupBarrier();
  for (var i = lane; i < ${(subgroups * M * N) / 4}u; i += ${threads}u) {
    let owner = i / ${(M * N) / 4}u;
    let row = owner / ${across}u * ${ownRows}u + ${row}u;
    let position = row % ${stage.perPlane}u * ${M}u + i / ${N / 4}u % ${M}u;
    let at = vec3u(row / ${stage.perPlane}u, position / ${stage.extents[2]}u, position % ${stage.extents[2]}u);
    let out = ${gradient ? '(first + at) * stride + place' : 'first + at'};
    if (all(at < ${vec3u(box)}) && all(out < outExtents)) {
      let voxel = ((n * u.outD + out.x) * u.outH + out.y) * u.outW + out.z;
      let c = block * ${channels / 4}u + owner % ${across}u * ${(ownColumns * N) / 4}u + ${(column * N) / 4}u + i % ${N / 4}u;
      let value = vec4f(${each(4)
        .map(e => `found[4u * i + ${e}u]`)
        .join(', ')});
      writeY(voxel, c, value${gradient ? ' * scale[2u * n + 1u]' : ''}${residual ? ` + readResidual(voxel, c)` : ''});
    }
  }`,
  )
  .join('\n')}
}`,
  }
}
