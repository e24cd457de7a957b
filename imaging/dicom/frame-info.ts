/** Extents of compressed frames by their own headers, read before a decoder believes them and asks for memory. */

export interface FrameInfo {
  readonly width: number
  readonly height: number
  readonly bitsPerSample: number
  readonly componentCount: number
  readonly isSigned: boolean
}

/**
 * The frame header of a JPEG or JPEG-LS stream (ISO 10918-1, B.2.2) that begins with one of the markers. An Error where there
 * is none, or where the stream does not end as it should: what is cut off may look like an image to a decoder.
 */
export function jpegInfo(encoded: Uint8Array, markers: readonly number[]): FrameInfo {
  expectEnd(encoded)
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  for (let at = 2; at + 10 <= encoded.length && encoded[at] === 0xff;) {
    const marker = encoded[at + 1]!
    if (markers.includes(marker)) {
      return {
        bitsPerSample: encoded[at + 4]!,
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        componentCount: encoded[at + 9]!,
        isSigned: false,
      }
    }
    // Filling bytes may lie before a marker.
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2)
  }
  throw new Error(`expected a frame header (${markers.map(hex).join(' or ')}), found none`)
}

/** The image and tile size of a JPEG 2000 codestream (ISO 15444-1, A.5.1). */
export function jpeg2000Info(encoded: Uint8Array): FrameInfo {
  expectEnd(encoded)
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
  if (encoded.length < 43 || view.getUint32(0) !== 0xff4fff51)
    throw new Error('expected a JPEG 2000 codestream, found none')
  const depth = encoded[42]!
  return {
    width: view.getUint32(8) - view.getUint32(16),
    height: view.getUint32(12) - view.getUint32(20),
    componentCount: view.getUint16(40),
    bitsPerSample: (depth & 0x7f) + 1,
    isSigned: (depth & 0x80) !== 0,
  }
}

/** Both families end with the same marker; behind it a fragment may be filled up. */
function expectEnd(encoded: Uint8Array): void {
  let end = encoded.length
  while (end > 0 && encoded[end - 1] === 0) end--
  if (encoded[end - 2] !== 0xff || encoded[end - 1] !== 0xd9)
    throw new Error('expected the marker of its end (FFD9), found none: it is cut off')
}

function hex(marker: number): string {
  return `FF${marker.toString(16).toUpperCase()}`
}
