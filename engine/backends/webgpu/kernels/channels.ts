/**
 * Sums per channel over the rows of (samples, rows, C): a workgroup takes a chunk of rows, its lanes lie along the channels,
 * so that they read what is adjacent. How rows are cut depends on their number and C only: neither device nor batch changes
 * a bit of a sum.
 */

import { spread } from '../program.ts'
import { written, lanes, taskMain, tree } from './entry.ts'

export interface ChannelPlan {
  /** Channels that one lane reads at once; together they are a unit. */
  readonly width: 1 | 4
  readonly units: number
  /** Neighbouring units that a workgroup takes, and the number of such tiles. */
  readonly unitsPerTile: number
  readonly tiles: number
  /** Rows that a workgroup reads at once. */
  readonly rowsAtOnce: number
  readonly rowsPerChunk: number
  readonly chunks: number
}

/** A lane adds up 32 numbers one after the other at most, and 8 unless that leaves few workgroups; trees do the rest. */
const [fewestPasses, mostPasses] = [8, 32]

/** As many workgroups as keep a large GPU busy. */
const chunksWanted = 512

/** `passes` rows per lane, where given. */
export function planChannels(rows: number, channels: number, passes?: number): ChannelPlan {
  const width = channels % 4 === 0 ? 4 : 1
  const units = channels / width
  const unitsPerTile = Math.min(units, lanes)
  const rowsAtOnce = Math.floor(lanes / unitsPerTile)
  const fitting = Math.ceil(rows / (rowsAtOnce * chunksWanted))
  const rowsPerChunk = rowsAtOnce * (passes ?? Math.min(mostPasses, Math.max(fewestPasses, fitting)))
  return {
    width,
    units,
    unitsPerTile,
    tiles: Math.ceil(units / unitsPerTile),
    rowsAtOnce,
    rowsPerChunk,
    chunks: Math.ceil(rows / rowsPerChunk),
  }
}

/** WGSL's type of a unit. */
export function unitType({ width }: Pick<ChannelPlan, 'width'>): 'f32' | 'vec4f' {
  return width === 4 ? 'vec4f' : 'f32'
}

/** What a program by `chunkMain` is compiled for, for its key. */
export function chunkKey({ width, units }: ChannelPlan): string {
  return `${width}x${units}`
}

/**
 * Workgroup memory holds units by channel, `array<array<f32, lanes>, width>` for each that a lane has, so that neighbouring
 * lanes meet different banks. Code that puts a lane's unit there, after `which` others.
 */
export function toSlots({ width }: ChannelPlan, slots: string, which: number, value: string): string {
  return written(width, k => `${slots}[${which * width + k}][lane] = ${width === 1 ? value : `${value}[${k}]`};`)
}

/** An expression for the lane's unit. */
export function fromSlots({ width }: ChannelPlan, slots: string, which = 0): string {
  const one = (k: number): string => `${slots}[${which * width + k}][lane]`
  return width === 1 ? one(0) : `vec4f(${written(4, one, ', ')})`
}

/** Code that adds `count` numbers at `other` to those at `lane`. */
export function addSlots(count: number): string {
  return `for (var k = 0u; k < ${count}u; k++) { slots[k][lane] += slots[k][other]; }`
}

/** Uniforms of `chunkMain`. */
export const chunkUniforms = { tasks: 'u32', rows: 'u32', rowsPerChunk: 'u32', chunks: 'u32' } as const

export function chunkValues(plan: ChannelPlan, samples: number, rows: number): Record<string, number> {
  const { rowsPerChunk, chunks, tiles } = plan
  return { tasks: samples * chunks * tiles, rows, rowsPerChunk, chunks }
}

export function chunkGroups({ chunks, tiles }: ChannelPlan, samples: number): [number, number, number] {
  return spread(samples * chunks * tiles)
}

/**
 * `main` for a chunk of rows. `accumulate` is run where the lane has a unit, and loops with `rowLoop`; `share` stores what it
 * found in workgroup memory at `lane`, always; `merge` adds what lies at `other` to what lies at `lane`; `write` stores the
 * sums of `unit` of sample `n`, which lie at `lane`, for the chunk `part`, counted over all samples.
 */
export function chunkMain(
  { units, unitsPerTile, tiles, rowsAtOnce }: ChannelPlan,
  code: { readonly accumulate: string; readonly share: string; readonly merge: string; readonly write: string },
): string {
  return taskMain(`
  let part = task / ${tiles}u;
  let n = part / u.chunks;
  let begin = (part % u.chunks) * u.rowsPerChunk;
  let end = min(begin + u.rowsPerChunk, u.rows);
  let row = lane / ${unitsPerTile}u;
  let unit = (task % ${tiles}u) * ${unitsPerTile}u + lane % ${unitsPerTile}u;
  let works = row < ${rowsAtOnce}u && unit < ${units}u;
  ${code.accumulate}
  ${code.share}
  ${tree(
    rowsAtOnce,
    `
    if (row < step && row + step < ${rowsAtOnce}u) {
      let other = lane + step * ${unitsPerTile}u;
      ${code.merge}
    }`,
  )}
  if (row == 0u && works) {
    ${code.write}
  }`)
}

/** Runs `body` for each of the lane's rows, with the place of its unit in `at`. */
export function rowLoop({ units, rowsAtOnce }: ChannelPlan, body: string): string {
  return `
  if (works) {
    for (var r = begin + row; r < end; r += ${rowsAtOnce}u) {
      let at = (n * u.rows + r) * ${units}u + unit;
      ${body}
    }
  }`
}
