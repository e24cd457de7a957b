/** RLE Lossless (PS3.5 annex G): the bytes of all voxels from the highest to the lowest, each as a PackBits segment. */

/** Little-endian voxels. An Error where the segments are damaged or do not give `count` voxels. */
export function decodeRle(encoded: Uint8Array, count: number, bytesPerVoxel: number): Uint8Array {
  if (encoded.length < 64) throw new Error(`expected a header of 64 bytes, found ${encoded.length}`)
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  const segments = view.getUint32(0, true)
  if (segments !== bytesPerVoxel) throw new Error(`expected ${bytesPerVoxel} segments, found ${segments}`)
  const voxels = new Uint8Array(count * bytesPerVoxel)
  for (let i = 0; i < segments; i++) {
    const from = view.getUint32(4 + 4 * i, true)
    const to = i + 1 < segments ? view.getUint32(8 + 4 * i, true) : encoded.length
    if (from < 64 || to < from || to > encoded.length) throw new Error(`segment ${i + 1} lies outside the frame`)
    unpack(encoded.subarray(from, to), voxels, segments - 1 - i, bytesPerVoxel, i + 1)
  }
  return voxels
}

/** Writes every `step`th byte, from `first` on. */
function unpack(packed: Uint8Array, to: Uint8Array, first: number, step: number, segment: number): void {
  let at = first
  let i = 0
  while (at < to.length) {
    const code = packed[i++]
    const length = code === undefined ? 0 : code < 128 ? code + 1 : 257 - code
    const isRun = code !== undefined && code > 128
    if (code === undefined || i + (isRun ? 1 : length) > packed.length + (code === 128 ? length : 0))
      throw new Error(`segment ${segment} ends before its last voxel`)
    // A code for nothing.
    if (code === 128) continue
    if (at + (length - 1) * step >= to.length) throw new Error(`segment ${segment} goes on behind its last voxel`)
    for (let k = 0; k < length; k++, at += step) to[at] = packed[isRun ? i : i + k]!
    i += isRun ? 1 : length
  }
}
