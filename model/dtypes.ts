/** Number formats of weight files, to float32 and from it. */

/** Named as safetensors names them. */
export type Dtype = 'F32' | 'F16' | 'BF16' | 'F64' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL'

/** Bytes of one value and how to read little-endian bytes; rounds to the nearest float32 where the format is wider. */
export const decoders: Readonly<Record<Dtype, { bytes: number; decode: (bytes: Uint8Array) => Float32Array }>> = {
  F32: { bytes: 4, decode: bytes => values(bytes, 4, (view, at) => view.getFloat32(at, true)) },
  F16: { bytes: 2, decode: bytes => values(bytes, 2, (view, at) => fromFloat16(view.getUint16(at, true))) },
  BF16: { bytes: 2, decode: bytes => values(bytes, 2, (view, at) => fromBfloat16(view.getUint16(at, true))) },
  F64: { bytes: 8, decode: bytes => values(bytes, 8, (view, at) => view.getFloat64(at, true)) },
  I64: { bytes: 8, decode: bytes => values(bytes, 8, (view, at) => Number(view.getBigInt64(at, true))) },
  I32: { bytes: 4, decode: bytes => values(bytes, 4, (view, at) => view.getInt32(at, true)) },
  I16: { bytes: 2, decode: bytes => values(bytes, 2, (view, at) => view.getInt16(at, true)) },
  I8: { bytes: 1, decode: bytes => values(bytes, 1, (view, at) => view.getInt8(at)) },
  U8: { bytes: 1, decode: bytes => values(bytes, 1, (view, at) => view.getUint8(at)) },
  BOOL: { bytes: 1, decode: bytes => values(bytes, 1, (view, at) => (view.getUint8(at) === 0 ? 0 : 1)) },
}

/** Whether float32 holds every value of the format as it is. */
export function isExactInFloat32(dtype: Dtype): boolean {
  return !['F64', 'I64', 'I32'].includes(dtype)
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
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 1) return bytes
  return Buffer.from(bytes).swap32()
}

const scratch = new DataView(new ArrayBuffer(4))

function values(bytes: Uint8Array, size: number, read: (view: DataView, at: number) => number): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Float32Array(bytes.byteLength / size)
  for (let i = 0; i < out.length; i++) out[i] = read(view, i * size)
  return out
}
