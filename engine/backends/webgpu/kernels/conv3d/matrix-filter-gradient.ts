/**
 * The filter's gradient on matrix units: for every row of taps a matrix of taps and channels in by channels out, summed over
 * positions.
 *
 * A workgroup owns a run of boxes of one sample and a block of channels in and out. Left operands are columns of the staged
 * input (matrix-stage.ts), right ones rows of dy in the same flattened positions, with zeros at those that are no voxels out.
 * Each subgroup keeps the sums of its matrices in registers over all boxes; what it finds goes to memory, where
 * partial-sums.ts adds it in a fixed order.
 */

import type { Program } from '../../program.ts'
import { channelsBinding, each, readChannels, vec3u } from './access.ts'
import { cutIntoChunks, type FilterGradientPlan } from './filter-gradient-tiles.ts'
import type { FilterGradientOptions } from './filter-gradient.ts'
import { eachBox, filterGradientUniforms, partOf } from './filter-gradient-parts.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import {
  fillStage,
  findRun,
  lanesOfStage,
  stageFunctions,
  stageLayout,
  tapOffset,
  type StageLayout,
} from './matrix-stage.ts'
import {
  matrixProductsPerCycle,
  mostMatrixSums,
  mostSubgroups,
  perMatrixVector,
  subgroupCounts,
} from './matrix-tiles.ts'
import { matrixWgsl, operandBytes, sumsPerThread, type MatrixUnit } from './matrix-unit.ts'
import { normBindings } from './norm.ts'
import {
  bytesPerCycle,
  lanesPerCycle,
  mostWorkgroupBytes,
  perInputVector,
  upTo,
  useOf,
  type DeviceLimits,
} from './tiles.ts'

export type MatrixFilterGradientOptions = Omit<FilterGradientOptions, 'half'>

export interface MatrixFilterGradientTile {
  /** Voxels of dy. */
  readonly box: Triple
  /** Channels of a workgroup: in a multiple of 8, out one of the unit's columns. */
  readonly channelsIn: number
  readonly channelsOut: number
  readonly subgroups: number
}

interface Layout {
  readonly stage: StageLayout
  readonly threads: number
  /** Subgroups that divide the channels out. */
  readonly across: number
  /** Matrices of all rows of taps, and those of a subgroup. */
  readonly matrices: number
  readonly own: number
  /** Positions of dy. */
  readonly positions: number
  readonly bytes: number
}

function layoutOf(
  { filter, stride }: MatrixFilterGradientOptions,
  { box, channelsIn, channelsOut, subgroups }: MatrixFilterGradientTile,
  unit: MatrixUnit,
): Layout {
  const stage = stageLayout({ box, step: stride, taps: filter, channels: channelsIn }, unit.k, unit.m)
  const across = channelsOut / unit.n
  const matrices = filter[0] * filter[1] * stage.pieces
  const positions = box[0] * stage.perPlane * unit.k
  return {
    stage,
    threads: subgroups * unit.subgroup,
    across,
    matrices,
    own: Math.ceil(matrices / Math.floor(subgroups / across)),
    positions,
    bytes:
      (stage.positions * stage.pitch + positions * channelsOut) * operandBytes(unit) + subgroups * unit.m * unit.n * 4,
  }
}

export function matrixFilterGradientProgram(
  options: MatrixFilterGradientOptions,
  tile: MatrixFilterGradientTile,
  unit: MatrixUnit,
): Program {
  const { filter, stride, groups } = options
  const { box, channelsIn, channelsOut, subgroups } = tile
  const layout = layoutOf(options, tile, unit)
  const { stage, threads, across, own } = layout
  const { m: M, n: N, k: K } = unit
  const matrix = matrixWgsl(unit, { left: 'tile', right: 'tileDy', sums: 'found', leftMajor: 'col_major' })
  const blocksIn = Math.ceil(options.channelsIn / channelsIn)
  const blocksOut = Math.ceil(options.channelsOut / channelsOut)
  const vectorsOut = channelsOut / 4
  const fill = { layout: stage, step: stride, threads, channelsIn: options.channelsIn, groups, scaled: false }

  return {
    name: `Conv3DFilterGradient ${filter.join('x')}/${stride.join('x')} ${options.channelsIn}-${options.channelsOut} in boxes of ${box.join('x')} on matrices of ${M}x${N}x${K}`,
    bindings: [
      channelsBinding('x', options.channelsIn),
      channelsBinding('dy', options.channelsOut),
      { name: 'sums', type: 'array<f32>', access: 'read_write' },
      ...(groups === undefined ? [] : normBindings),
      { name: 'scale', type: 'array<f32>', access: 'read' },
    ],
    uniforms: filterGradientUniforms,
    enable: matrix.enable,
    code: `
var<workgroup> tile: array<${matrix.kept}, ${stage.positions * stage.pitch}>;
var<workgroup> tileDy: array<${matrix.kept}, ${layout.positions * channelsOut}>;
var<workgroup> found: array<f32, ${subgroups * M * N}>;
${matrix.declarations}

${stageFunctions(fill)}
${readChannels('readDy', 'dy', options.channelsOut)}

struct Place { tapRow: u32, remainder: u32, piece: u32 }
fn placeOf(index: u32) -> Place {
  var remainder = 0u;
  var piece = index % ${stage.pieces}u;
  ${findRun(stage.runs)}
  return Place(index / ${stage.pieces}u, remainder, piece);
}
fn beginOf(index: u32) -> u32 {
  let place = placeOf(index);
  let kz = place.tapRow / ${filter[1]}u;
  let ky = place.tapRow % ${filter[1]}u;
  return ${tapOffset(stage, stride, 'place.remainder')} + place.piece * ${stage.perPiece}u;
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32${matrix.parameter}) {
${matrix.begin}
${partOf(blocksIn, blocksOut)}  let extents = vec3i(vec3u(u.inD, u.inH, u.inW));
  let outExtents = vec3u(u.outD, u.outH, u.outW);
  let works = subgroup < ${Math.ceil(layout.matrices / own) * across}u;
  let column = subgroup % ${across}u * ${N}u;
${each(own)
  .map(
    i =>
      `  let begin${i} = beginOf(min(subgroup / ${across}u * ${own}u + ${i}u, ${layout.matrices - 1}u));
  var a${i}: Sums;`,
  )
  .join('\n')}

${eachBox(box, stride)}    workgroupBarrier();
${fillStage(fill, 'blockIn', matrix)}
    for (var i = lane; i < ${layout.positions * vectorsOut}u; i += ${threads}u) {
      let c = i % ${vectorsOut}u;
      let position = i / ${vectorsOut}u % ${stage.perPlane * K}u;
      let at = vec3u(i / ${stage.perPlane * K * vectorsOut}u, position / ${stage.extents[2]}u, position % ${stage.extents[2]}u);
      let place = first + at;
      var value = vec4f();
      if (all(at < ${vec3u(box)}) && all(place < outExtents)) {
        let voxel = ((n * u.outD + place.x) * u.outH + place.y) * u.outW + place.z;
        value = vec4f(readDy(voxel, blockOut * ${vectorsOut}u + c)) * scale[2u * n];
      }
${each(4)
  .map(e => `      tileDy[4u * i + ${e}u] = ${matrix.rounded(`value[${e}]`)};`)
  .join('\n')}
    }
    workgroupBarrier();
    if (works) {
      for (var i = 0u; i < ${box[0] * stage.perPlane}u; i++) {
        let t = (i / ${stage.perPlane}u * ${stage.extents[1] * stage.extents[2]}u + i % ${stage.perPlane}u * ${K}u) * ${stage.pitch}u;
        let right = ${matrix.loadRight(`i * ${K * channelsOut}u + column`, channelsOut)};
${each(own)
  .map(
    i => `        {
          let left = ${matrix.loadLeft(`begin${i} + t`, stage.pitch)};
          ${matrix.multiply('left', 'right', `a${i}`)}
        }`,
  )
  .join('\n')}
      }
    }
  }

${each(own)
  .map(
    own => `  workgroupBarrier();
  if (works) { ${matrix.store(`subgroup * ${M * N}u`, `a${own}`)} }
  workgroupBarrier();
  for (var i = lane; i < ${subgroups * M * N}u; i += ${threads}u) {
    let owner = i / ${M * N}u;
    let index = owner / ${across}u * ${layout.own}u + ${own}u;
    let place = placeOf(index);
    let number = place.piece * ${M}u + i / ${N}u % ${M}u;
    let kx = number / ${channelsIn}u * ${stride[2]}u + place.remainder;
    let in = blockIn * ${channelsIn}u + number % ${channelsIn}u;
    let out = blockOut * ${channelsOut}u + owner % ${across}u * ${N}u + i % ${N}u;
    if (index < ${layout.matrices}u && kx < ${filter[2]}u && in < ${options.channelsIn}u && out < ${options.channelsOut}u) {
      sums[(((part * ${filter[0] * filter[1]}u + place.tapRow) * ${filter[2]}u + kx) * ${options.channelsIn}u + in) * ${options.channelsOut}u + out] = found[i];
    }
  }`,
  )
  .join('\n')}
}`,
  }
}

const widths = [4, 8, 16, 28, 32, 64]
const heights = [1, 2, 4, 7, 8, 14, 16]
const depths = [1, 2, 4]

/** `extents`: of dy. `undefined` where no tile holds the filter. */
export function planMatrixFilterGradient(
  options: MatrixFilterGradientOptions,
  extents: Triple,
  unit: MatrixUnit,
  limits: DeviceLimits,
): FilterGradientPlan<MatrixFilterGradientTile> | undefined {
  const bytes = Math.min(limits.maxComputeWorkgroupStorageSize, mostWorkgroupBytes)
  let best: MatrixFilterGradientTile | undefined
  let least = Infinity
  for (const tile of candidates(options, extents, unit, mostSubgroups(unit, limits))) {
    const layout = layoutOf(options, tile, unit)
    if (layout.bytes > bytes || layout.own * sumsPerThread(unit) > mostMatrixSums) continue
    if (layout.threads % (tile.channelsIn / lanesOfStage(options.channelsIn)) !== 0) continue
    const cost = cyclesOf(options, tile, layout, extents, unit)
    if (cost < least) [best, least] = [tile, cost]
  }
  if (!best) return undefined
  const boxes = perAxis((n, size) => Math.ceil(n / size), extents, best.box)
  const threads = best.subgroups * unit.subgroup * blocksOf(options, best)
  return { tile: best, boxes, ...cutIntoChunks(options, volumeOf(boxes), threads) }
}

function* candidates(
  options: MatrixFilterGradientOptions,
  extents: Triple,
  { n }: MatrixUnit,
  subgroupsAtMost: number,
): Generator<MatrixFilterGradientTile> {
  for (const width of upTo(widths, extents[2]))
    for (const height of upTo(heights, extents[1]))
      for (const depth of upTo(depths, extents[0]))
        for (const columns of upTo([1, 2, 4], Math.ceil(options.channelsOut / n)))
          for (const subgroups of subgroupCounts(subgroupsAtMost))
            if (subgroups % columns === 0)
              for (const channelsIn of upTo([8, 16], options.channelsIn))
                yield { box: [depth, height, width], channelsIn, channelsOut: columns * n, subgroups }
}

function blocksOf(options: MatrixFilterGradientOptions, tile: MatrixFilterGradientTile): number {
  return Math.ceil(options.channelsIn / tile.channelsIn) * Math.ceil(options.channelsOut / tile.channelsOut)
}

function cyclesOf(
  options: MatrixFilterGradientOptions,
  tile: MatrixFilterGradientTile,
  { stage, threads, own, positions, bytes }: Layout,
  extents: Triple,
  { m, n, k }: MatrixUnit,
): number {
  const turns = tile.subgroups * tile.box[0] * stage.perPlane
  const multiplying = (turns * own * m * n * k) / matrixProductsPerCycle
  const reading = (turns * 2 * k * (own * m + n)) / bytesPerCycle
  const filling =
    Math.ceil((stage.positions * tile.channelsIn) / lanesOfStage(options.channelsIn) / threads) * perInputVector +
    Math.ceil((positions * tile.channelsOut) / 4 / threads) * perMatrixVector
  const all = volumeOf(perAxis((size, box) => Math.ceil(size / box), extents, tile.box)) * blocksOf(options, tile)
  const { share, waitCycles } = useOf(all, threads, bytes)
  return (all * (Math.max(multiplying, reading) + (threads * filling) / lanesPerCycle + waitCycles)) / share
}
