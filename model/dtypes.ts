/** Number formats of weight files, to float32 and from it. */

/** Named as safetensors names them. */
export type Dtype = 'F32' | 'F16' | 'BF16' | 'F64' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL'

export interface Decoder {
  /** Of one value. */
  readonly bytes: number
  /** The value at a byte of a view, little-endian. */
  readonly read: (view: DataView, at: number) => number
  /** Values one after the other; rounded to the nearest float32 where the format is wider. */
  readonly decode: (bytes: Uint8Array) => Float32Array
}

export const decoders: Readonly<Record<Dtype, Decoder>> = {
  F32: { ...decoder(4, (view, at) => view.getFloat32(at, true)), decode: float32 },
  F16: decoder(2, (view, at) => fromFloat16(view.getUint16(at, true))),
  BF16: decoder(2, (view, at) => fromBfloat16(view.getUint16(at, true))),
  F64: decoder(8, (view, at) => view.getFloat64(at, true)),
  I64: decoder(8, (view, at) => Number(view.getBigInt64(at, true))),
  I32: decoder(4, (view, at) => view.getInt32(at, true)),
  I16: decoder(2, (view, at) => view.getInt16(at, true)),
  I8: decoder(1, (view, at) => view.getInt8(at)),
  U8: decoder(1, (view, at) => view.getUint8(at)),
  BOOL: decoder(1, (view, at) => (view.getUint8(at) === 0 ? 0 : 1)),
}

/** Whether float32 holds every value of the format as it is. */
export function isExactInFloat32(dtype: Dtype): boolean {
  return !['F64', 'I64', 'I32'].includes(dtype)
}

/** For people: that values were rounded, where they were. */
export function roundingNote(rounded: readonly string[]): string[] {
  if (rounded.length === 0) return []
  return [`rounded to float32: ${rounded.length < 4 ? rounded.join(', ') : `${rounded.length} tensors`}`]
}

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(decoders, value)
}

/** IEEE half precision, subnormals and infinities included. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The upper half of a float32. */
export function fromBfloat16(bits: number): number {
  scratch.setUint32(0, bits << 16)
  return scratch.getFloat32(0)
}

/** The bytes of an array without a copy where the machine is little-endian, which all machines that run Node but one are. */
export function littleEndian(data: Float32Array): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return isLittleEndian ? bytes : Buffer.from(bytes).swap32()
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

const scratch = new DataView(new ArrayBuffer(4))

function decoder(size: number, read: Decoder['read']): Decoder {
  return {
    bytes: size,
    read,
    decode(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const out = new Float32Array(bytes.byteLength / size)
      for (let i = 0; i < out.length; i++) out[i] = read(view, i * size)
      return out
    },
  }
}

/** As bytes, so that every bit stays, those of a NaN too. */
function float32(bytes: Uint8Array): Float32Array {
  const copy = new Uint8Array(bytes) // aligned, and no view, which a Buffer's slice would be
  if (!isLittleEndian) Buffer.from(copy.buffer).swap32()
  return new Float32Array(copy.buffer)
}
