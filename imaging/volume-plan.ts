/**
 * What volumes take in memory while they are pulled, told from their grids alone: for each way of making a volume from
 * another one (read, map, resample, reorient, pad, crop, invert) the plan of what it gives and holds. Each counts the slab
 * that it is given, which is part of the plan before it, and the one that it makes.
 */

import type { Grid, SpatialStep } from '../pipeline/grid.ts'
import type { VolumePlan } from '../pipeline/planned.ts'
import { indexMap } from './affine.ts'
import type { Box } from './foreground.ts'
import { axcodesOf, orientedGrid } from './orient.ts'
import { paddedGrid, type Padding, type PadMode } from './pad.ts'
import { isSameGrid, type Interpolation } from './resample.ts'
import { masksInFlight } from './sampled-mask.ts'
import type { ScanFile } from './scan-file.ts'
import { slabBytes, slabPlanes, voxelCount, wantedSlabBytes } from './volume.ts'

/** Bytes of a slab as this grid's volumes are cut; of smaller planes more may go into one. */
function slabOf(grid: Grid, isExact: boolean): number {
  const most = isExact ? 0 : Math.min(wantedSlabBytes, wholeBytes(grid))
  return Math.max(slabBytes(grid), most)
}

function planeBytes({ shape }: Grid): number {
  return shape[0] * shape[1] * 4
}

/** Float32 voxels of the whole volume. */
export function wholeBytes(grid: Grid): number {
  return voxelCount(grid) * 4
}

/** A file's volume: what its reader holds, the slab that it gives, and the one before, which whoever pulls may still hold. */
export function planRead({
  grid,
  pullingBytes,
  volume,
}: Pick<ScanFile, 'grid' | 'pullingBytes' | 'volume'>): VolumePlan {
  const slab = slabBytes(grid)
  return { grid, isExact: true, access: volume.region ? 'region' : 'slabs', pulling: pullingBytes + 2 * slab, slab }
}

/** As `mapVoxels`: slabs change in their own memory, views of what lives on elsewhere become new ones. */
export function planMap(plan: VolumePlan): VolumePlan {
  const isView = plan.pulling === 0
  return { ...plan, access: plan.access === 'region' ? 'region' : 'slabs', pulling: isView ? plan.slab : plan.pulling }
}

/** Bytes of `materialise` beside what is being pulled: none where the voxels are there. */
export function materialisedBytes({ access, grid }: VolumePlan): number {
  return access === 'resident' ? 0 : wholeBytes(grid)
}

/** Voxels in memory, shared by whoever reads them. */
export function planResident(grid: Grid, isExact = true): VolumePlan {
  return { grid, isExact, access: 'resident', pulling: 0, slab: slabOf(grid, isExact) }
}

/** Voxels in memory that are had as slabs, views. */
export function planStored(grid: Grid, isExact = true): VolumePlan {
  return { ...planResident(grid, isExact), access: 'slabs' }
}

/** Voxels made slab by slab by somebody who counts for himself, but for the slabs on their way: two made, one in use. */
export function planStream(grid: Grid, isExact = true): VolumePlan {
  const slab = slabOf(grid, isExact)
  return { grid, isExact, access: 'slabs', pulling: 3 * slab, slab }
}

/** As `resample`: some input planes, a blended one, a slab of the target. */
export function planResample(plan: VolumePlan, target: Grid, interpolation: Interpolation): VolumePlan {
  if (isSameGrid(plan.grid, target)) return plan
  const map = indexMap(target, plan.grid)
  const blended = interpolation === 'linear' ? 2 * planeBytes(plan.grid) : 0
  const slab = slabOf(target, plan.isExact)
  // Of what can be read by region only the planes that are needed are, where that saves some: as stored and as values.
  const isPicked = plan.access === 'region' && (map[10]! < 0 || map[10]! >= 2)
  const source = isPicked
    ? 3 * (planesOfReach(map, target, interpolation) + 1) * planeBytes(plan.grid)
    : plan.pulling + windowBytes(plan, map, target, interpolation)
  // The slab before is still held by whoever pulls while the next is made.
  const pulling = source + blended + 2 * slab
  return { grid: target, isExact: plan.isExact, access: 'slabs', pulling, slab }
}

/** Input slabs that are held beside the one that arrives, for so many planes of the target at a time. */
function windowBytes(
  plan: VolumePlan,
  map: readonly number[],
  target: Grid,
  interpolation: Interpolation,
  outputs = 1,
): number {
  const isView = plan.pulling === 0
  if (isView) return 0
  if (map[10]! < 0) return wholeBytes(plan.grid)
  const further = Math.ceil(Math.abs(map[10]!) * (outputs - 1))
  const planes = Math.min(plan.grid.shape[2], planesOfReach(map, target, interpolation) + further)
  const perSlab = Math.max(1, Math.floor(plan.slab / planeBytes(plan.grid)))
  return Math.min(Math.ceil((planes - 1) / perSlab) * plan.slab, wholeBytes(plan.grid))
}

/** Input planes that one output plane touches, with the ones to spare that the sampler of turned grids takes. */
function planesOfReach(map: readonly number[], { shape }: Grid, interpolation: Interpolation): number {
  const offDiagonal = [0, 1, 2].flatMap(row =>
    [0, 1, 2].filter(axis => axis !== row).map(axis => Math.abs(map[row * 4 + axis]!) * (shape[axis]! - 1)),
  )
  if (offDiagonal.every(moved => moved < 1e-9)) return interpolation === 'linear' ? 2 : 1
  const tilt = Math.abs(map[8]!) * (shape[0] - 1) + Math.abs(map[9]!) * (shape[1] - 1)
  return Math.ceil(tilt) + 4
}

/** As `orient`: nothing where the axes run so already. */
export function planOrient(plan: VolumePlan, axcodes: string): VolumePlan {
  return axcodesOf(plan.grid.affine) === axcodes ? plan : planReorient(plan, orientedGrid(plan.grid, axcodes))
}

/** As `reorient`: slab by slab where z stays z, else the volume and its turned copy. */
function planReorient(plan: VolumePlan, to: Grid): VolumePlan {
  const map = indexMap(to, plan.grid)
  const isTurned = (axis: number): boolean => Math.abs(map[axis * 5]!) < 0.5 || map[axis * 5]! < 0
  if (![0, 1, 2].some(isTurned)) return plan
  const base = { grid: to, isExact: plan.isExact, access: 'slabs' as const }
  if (!isTurned(2)) return { ...base, pulling: plan.pulling + plan.slab, slab: plan.slab }
  const whole = wholeBytes(to)
  return { ...base, pulling: Math.max(plan.pulling, whole) + materialisedBytes(plan), slab: slabOf(to, plan.isExact) }
}

/** As `pad`: slab by slab for `constant`, else the whole result. */
export function planPad(plan: VolumePlan, padding: Padding, mode: PadMode): VolumePlan {
  const isNothing = [...padding.before, ...padding.after].every(n => n === 0)
  // What only voxels can tell may be smaller, and then it is padded.
  if (isNothing && plan.isExact) return plan
  const grid = paddedGrid(plan.grid, padding)
  const planes = Math.max(slabPlanes(grid), Math.floor(plan.slab / planeBytes(plan.grid)))
  const slab = Math.min(planes, grid.shape[2]) * planeBytes(grid)
  const made = mode === 'constant' ? slab : wholeBytes(grid) + (mode === 'minimum' ? planeBytes(grid) : 0)
  return {
    grid,
    isExact: plan.isExact,
    access: 'slabs',
    pulling: plan.pulling + made,
    slab: mode === 'constant' ? slab : slabOf(grid, plan.isExact),
  }
}

/** As `crop` to a box. Where the voxels are in memory the box is copied: `materialised` of the result. */
export function planCrop(plan: VolumePlan, box: Box, grid: Grid): VolumePlan {
  if (plan.isExact && box.shape.every((n, axis) => n === plan.grid.shape[axis])) return plan
  if (plan.access === 'resident') return planResident(grid, plan.isExact)
  const planes = Math.max(1, Math.floor(plan.slab / planeBytes(plan.grid)))
  const slab = Math.min(planes, grid.shape[2]) * planeBytes(grid)
  const access = plan.access === 'region' ? 'region' : 'slabs'
  return { grid, isExact: plan.isExact, access, pulling: plan.pulling + slab, slab }
}

/** As `invert`: the steps' ways back, last to first. */
export function planInvert(steps: readonly SpatialStep[], map: VolumePlan, interpolation: Interpolation): VolumePlan {
  return steps.toReversed().reduce((plan, step) => undo(step, plan, interpolation), map)
}

/** Most bytes of `sampledMask`. */
export function planSampledMask(steps: readonly SpatialStep[], margin: VolumePlan): number {
  const plan = planInvert(steps.slice(1), margin, 'linear')
  const target = steps[0]!.from
  const [nx, ny] = target.shape
  const planes = slabPlanes(target)
  const map = indexMap(target, plan.grid)
  const source = plan.pulling + windowBytes(plan, map, target, 'linear', masksInFlight * planes)
  // Which blocks of input rows are above 0, an eighth of a row's bytes at most but for narrow ones; blended rows, runs.
  const reached = Math.ceil(Math.abs(map[10]!) * planes) + 3
  const rows = 8 * plan.grid.shape[1] * reached + 32 * (plan.grid.shape[0] + nx)
  return source + masksInFlight * (planes * nx * ny + nx * ny + rows)
}

function undo(step: SpatialStep, plan: VolumePlan, interpolation: Interpolation): VolumePlan {
  switch (step.kind) {
    case 'orient':
      return planReorient(plan, step.from)
    case 'resample':
      return planResample(plan, step.from, interpolation)
    case 'crop': {
      const after = step.from.shape.map((n, axis) => n - step.start[axis]! - step.to.shape[axis]!)
      return planPad(
        { ...plan, isExact: false },
        { before: step.start, after: [after[0]!, after[1]!, after[2]!] },
        'constant',
      )
    }
    case 'pad':
      return planCrop(plan, { start: step.before, shape: step.from.shape }, step.from)
  }
}
