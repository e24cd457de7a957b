/** Limiting and rescaling intensities. */

export interface ClipOptions {
  readonly min: number
  readonly max: number
  /** What min and max become. */
  readonly to: readonly [number, number]
}

/**
 * A new array: [min, max] becomes [to[0], to[1]], values outside are limited. MONAI's `ScaleIntensityRange` with clip:
 * scaled first, limited afterwards, every operation rounded to float32, in its order. `min < max` is the caller's care.
 */
export function clipTo(voxels: Float32Array, { min, max, to }: ClipOptions): Float32Array {
  const { fround } = Math
  const low = fround(min)
  const range = fround(max - min)
  const [from, until] = [fround(to[0]), fround(to[1])]
  const scale = fround(to[1] - to[0])
  const clipped = new Float32Array(voxels.length)
  for (let i = 0; i < voxels.length; i++) {
    const value = fround(fround(fround(fround(voxels[i]! - low) / range) * scale) + from)
    clipped[i] = value < from ? from : value > until ? until : value
  }
  return clipped
}
