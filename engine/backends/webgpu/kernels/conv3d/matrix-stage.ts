/**
 * A box's input in workgroup memory as the matrix products read it: position by position, each with its channels.
 *
 * Neighbours in a matrix must lie at equal distances, across rows of the volume too. So a matrix goes along the flattened
 * positions of a plane with its halo; what it finds between the end of one row and the begin of the next is thrown away.
 * With a stride, positions are sorted by their place modulo the stride, so that neighbours out read neighbours in.
 *
 * A matrix takes several taps in a row, where the channels are fewer than it takes numbers. Its rows must not overlap, so that
 * each position then has copies of the next ones' channels behind its own. Past the last tap these are met by zeros: only
 * where one is NaN or infinite is a voxel's sum touched by what lies outside its filter.
 */

import { each, readChannels, vec3u, vector, type Lanes } from './access.ts'
import { perAxis, volumeOf, type Triple } from './geometry.ts'
import { normCode } from './norm.ts'
import type { MatrixWgsl } from './matrix-unit.ts'

/** Taps of a row whose places have the same remainder by the stride. */
export interface TapRun {
  readonly remainder: number
  /** Matrices that cover their channels, and how many cover the runs before. */
  readonly pieces: number
  readonly before: number
}

export interface StageLayout {
  /** Positions of one remainder, with the halo, and how many remainders there are. */
  readonly extents: Triple
  readonly classes: number
  readonly volume: number
  /** All positions, with those that only a matrix's end reaches. */
  readonly positions: number
  readonly channels: number
  /** Positions whose channels lie at each, and the numbers of all of them. */
  readonly copies: number
  readonly pitch: number
  /** From one matrix of a run of taps to the next, in numbers. */
  readonly perPiece: number
  readonly runs: readonly TapRun[]
  /** Matrices of one row of taps. */
  readonly pieces: number
  /** Matrices along the positions of one plane of the box. */
  readonly perPlane: number
}

export interface StageShape {
  /** Voxels out. */
  readonly box: Triple
  readonly step: Triple
  readonly taps: Triple
  /** A multiple of 8. */
  readonly channels: number
}

/** `along`: positions of a matrix; `across`: its numbers of taps and channels. */
export function stageLayout({ box, step, taps, channels }: StageShape, along: number, across: number): StageLayout {
  const reach = perAxis((k, s) => Math.ceil(k / s) - 1, taps, step)
  const extents = perAxis((n, r) => n + r, box, reach)
  const runs: TapRun[] = []
  for (let remainder = 0; remainder < Math.min(step[2], taps[2]); remainder++) {
    const last = runs.at(-1)
    const count = Math.ceil((taps[2] - remainder) / step[2])
    const before = last ? last.before + last.pieces : 0
    runs.push({ remainder, pieces: Math.ceil((count * channels) / across), before })
  }
  const perPlane = Math.ceil(((box[1] - 1) * extents[2] + box[2]) / along)
  const plane = extents[1] * extents[2]
  const lastMatrix = (box[0] - 1 + reach[0]) * plane + reach[1] * extents[2] + (perPlane - 1) * along
  const copies = Math.max(1, across / channels)
  const pitch = channels * copies
  const perPiece = across * copies
  const longest = Math.max(...runs.map(({ pieces }) => Math.ceil((pieces * perPiece) / pitch)))
  const volume = volumeOf(extents)
  const classes = volumeOf(step)
  return {
    extents,
    classes,
    volume,
    positions: (classes - 1) * volume + Math.max(volume, lastMatrix + along - 1 + longest),
    channels,
    copies,
    pitch,
    perPiece,
    runs,
    pieces: runs.reduce((sum, { pieces }) => sum + pieces, 0),
    perPlane,
  }
}

/** WGSL: the first position, in numbers, that the taps (kz, ky) of a remainder along W meet. */
export function tapOffset({ extents, volume, pitch }: StageLayout, step: Triple, remainder: string): string {
  const position = `((kz % ${step[0]}u * ${step[1]}u + ky % ${step[1]}u) * ${step[2]}u + ${remainder}) * ${volume}u + (kz / ${step[0]}u * ${extents[1]}u + ky / ${step[1]}u) * ${extents[2]}u`
  return `(${position}) * ${pitch}u`
}

/** WGSL: sets `remainder` and makes `piece` count from that run's first. */
export function findRun(runs: readonly TapRun[]): string {
  return runs
    .slice(1)
    .map(({ remainder, before }, i) => {
      const length = before - runs[i]!.before
      return `if (remainder == ${remainder - 1}u && piece >= ${length}u) { piece -= ${length}u; remainder = ${remainder}u; }`
    })
    .join('\n')
}

export interface StageFill {
  readonly layout: StageLayout
  readonly step: Triple
  readonly threads: number
  readonly channelsIn: number
  readonly groups?: number | undefined
  readonly scaled: boolean
}

export function lanesOfStage(channelsIn: number): Lanes {
  return channelsIn % 4 === 0 ? 4 : 1
}

/** Functions that `fillStage` calls. */
export function stageFunctions({ channelsIn, groups }: Pick<StageFill, 'channelsIn' | 'groups'>): string {
  const lanes = lanesOfStage(channelsIn)
  return `${readChannels('readX', 'x', channelsIn, lanes)}
${groups === undefined ? '' : normCode(channelsIn, groups, lanes)}`
}

/**
 * WGSL that fills `tile` from `x`, normed and scaled, zeros outside. It reads `n`, `lane`, `origin` and `extents` (both
 * vec3i) and, for the channels, `block`.
 */
export function fillStage(fill: StageFill, block: string, { rounded }: MatrixWgsl): string {
  const { layout, step, threads, channelsIn, groups, scaled } = fill
  const { extents, classes, volume, positions, channels, copies, pitch } = layout
  const lanes = lanesOfStage(channelsIn)
  const perPosition = channels / lanes
  return `
    {
      let c = lane % ${perPosition}u;
      let channel = ${block} * ${perPosition}u + c;
${groups === undefined ? '' : '      let norm = normOf(n, channel);'}
      for (var i = lane / ${perPosition}u; i < ${positions + copies - 1}u; i += ${threads / perPosition}u) {
        let remainder = min(i / ${volume}u, ${classes - 1}u);
        let position = i - remainder * ${volume}u;
        let row = position / ${extents[2]}u;
        let at = vec3u(row / ${extents[1]}u, row % ${extents[1]}u, position % ${extents[2]}u);
        let place = origin + vec3i(at * ${vec3u(step)} + vec3u(remainder / ${step[1] * step[2]}u, remainder / ${step[2]}u % ${step[1]}u, remainder % ${step[2]}u));
        var value = ${vector(lanes)}();
        if (position < ${volume}u && all(place >= vec3i()) && all(place < extents) && channel < ${channelsIn / lanes}u) {
          let voxel = ((n * u.inD + u32(place.x)) * u.inH + u32(place.y)) * u.inW + u32(place.z);
          value = ${groups === undefined ? 'readX(voxel, channel)' : 'normed(readX(voxel, channel), norm)'}${scaled ? ' * scale[2u * n]' : ''};
        }
${each(copies)
  .map(copy => {
    const write = each(lanes).map(e => {
      const at = `(i - ${copy}u) * ${pitch}u + ${copy * channels}u + c * ${lanes}u + ${e}u`
      return `        tile[${at}] = ${rounded(`value${lanes === 1 ? '' : `[${e}]`}`)};`
    })
    // Those past the last position are there for their copies alone.
    if (copies === 1) return write.join('\n')
    return [`        if (i >= ${copy}u && i < ${positions + copy}u) {`, ...write, '        }'].join('\n')
  })
  .join('\n')}
      }
    }`
}
