/** Tensors as a checkpoint describes them: a view of a storage, materialised only when asked for and only if it can be. */

import { PipelineError } from '../../pipeline/errors.ts'
import { decoders, type Dtype } from '../dtypes.ts'
import { sizeOf } from '../parameters.ts'
import { damaged } from './file-bytes.ts'
import { shown, type PyValue } from './pickle.ts'

/** A region of a file that is read as a whole. */
export interface StoredBytes {
  /** The bytes, little-endian. ERR_WEIGHTS where the file does not hold them. */
  readonly read: () => Promise<Uint8Array>
}

/** Raw values in a file, shared by any number of tensors. */
export interface Storage {
  /** Its name in the file. */
  readonly key: string
  /** `undefined` for bytes without a type: the tensor says what they are. */
  readonly dtype: Dtype | undefined
  /** Bytes that the pickle claims; reading checks them against the file. */
  readonly byteLength: number
  /** What it is part of: the same object for all storages that lie in the same bytes. */
  readonly stored: StoredBytes
  /** Its first byte there. */
  readonly begin: number
}

/** What PyTorch's `_rebuild_tensor` is given. Offset and strides count values, not bytes. */
export class TorchTensor {
  readonly storage: Storage
  readonly dtype: Dtype
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  /** ERR_WEIGHTS for a view that makes no sense or reaches outside of its storage. */
  constructor(
    path: string,
    storage: Storage,
    offset: unknown,
    shape: unknown,
    strides: unknown,
    dtype = storage.dtype,
  ) {
    const bad = (what: string): PipelineError => damaged(path, `a tensor in storage ${storage.key}: ${what}`)
    if (dtype === undefined) throw bad('expected a number format, found untyped bytes')
    if (
      !isCounts(shape) ||
      !isCounts(strides) ||
      !isCount(offset) ||
      shape.length !== strides.length ||
      shape.length > 64
    )
      throw bad(
        `expected an offset and as many strides as extents, none negative; found offset ${show(offset)}, shape ${show(shape)}, strides ${show(strides)}`,
      )
    const held = Math.floor(storage.byteLength / decoders[dtype].bytes)
    const last = shape.includes(0) ? -1 : shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, offset)
    if (last >= held)
      throw bad(
        `shape ${show(shape)} with strides ${show(strides)} reaches value ${last}, outside of the ${held} values there`,
      )
    this.storage = storage
    this.dtype = dtype
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }

  /** Number of values. */
  get size(): number {
    return sizeOf(this.shape)
  }

  get isContiguous(): boolean {
    let step = 1
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      if (this.shape[axis] !== 1 && this.strides[axis] !== step) return false
      step *= this.shape[axis]!
    }
    return true
  }
}

/** How many times a file's own bytes tensors that share storages may take once they stand apart; tied weights need 2. */
const sharing = 8
const slackBytes = 16 << 20

/** Refuses tensors that share or repeat (stride 0) so few bytes that their values could fill any memory. */
export function checkExpansion(path: string, fileBytes: number, tensors: Iterable<TorchTensor>): void {
  const allowed = sharing * fileBytes + slackBytes
  let bytes = 0
  for (const { size } of tensors) {
    bytes += 4 * size
    if (!(bytes <= allowed))
      throw damaged(
        path,
        `its tensors claim more than ${allowed} bytes of values, and the file has ${fileBytes}: expanded tensors (stride 0)? Call .contiguous() before saving, or leave them out`,
      )
  }
}

/** The values of several tensors as float32, C order; all bytes are read once, one storage after the other. */
export async function materialiseTensors(
  tensors: ReadonlyMap<string, TorchTensor>,
): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
  const results = new Map<string, { shape: readonly number[]; data: Float32Array }>()
  const groups = new Map<StoredBytes, [string, TorchTensor][]>()
  for (const entry of tensors) {
    const { stored } = entry[1].storage
    const group = groups.get(stored)
    if (group) group.push(entry)
    else groups.set(stored, [entry])
  }
  for (const [stored, group] of groups) {
    const bytes = await stored.read()
    for (const [name, tensor] of group) {
      const { begin, byteLength } = tensor.storage
      const part = bytes.subarray(begin, begin + byteLength)
      results.set(name, { shape: tensor.shape, data: valuesOf(tensor, part) })
    }
  }
  return new Map([...tensors.keys()].map(name => [name, results.get(name)!]))
}

/** Looks at the tensor's own values alone: many small tensors may be spread over one large storage. */
function valuesOf(tensor: TorchTensor, bytes: Uint8Array): Float32Array {
  const { bytes: width, decode, read } = decoders[tensor.dtype]
  const { offset, shape, strides, size } = tensor
  if (size === 0) return new Float32Array(0)
  if (tensor.isContiguous) return decode(bytes.subarray(offset * width, (offset + size) * width))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Float32Array(size)
  const index = shape.map(() => 0)
  let from = offset
  for (let at = 0; at < size; at++) {
    out[at] = read(view, from * width)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!
      if (++index[axis]! < shape[axis]!) break
      from -= strides[axis]! * shape[axis]!
      index[axis] = 0
    }
  }
  return out
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount)
}

function show(value: PyValue): string {
  if (!Array.isArray(value)) return shown(value)
  return `(${value.slice(0, 8).map(shown).join(', ')}${value.length > 8 ? ', ...' : ''})`
}
